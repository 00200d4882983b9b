"""A PostgreSQL database that is to be filled."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.databases.postgresql import PostgresqlDatabase
from strongroom.assembly.unsealing import document_of
from strongroom.crypto.seal import SealedDomainKey
from strongroom.crypto.seals.document import encode_document
from strongroom.crypto.seals.root_key import generation_of
from strongroom.entropy import Entropy
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.filling import PostgresqlFilling, filled_database
from strongroom.store.postgresql.opening import UnusableDatabaseError, explained
from strongroom.store.postgresql.schema_version import WrongSchemaError

LONG = 3600.0
"""How long one statement of a move may take, seconds: the COMMIT may have to wait for a standby that is behind."""


def put_seal_document(filling: PostgresqlFilling, folder: DataFolder) -> None:
    """Store the seals that are in a file of a data folder: other nodes do not have it."""
    document = document_of(folder, generation_of(_first(filling)))
    if document is not None:
        filling.put_seal_document(document.generation, encode_document(document))


def _first(filling: PostgresqlFilling) -> SealedDomainKey:
    with filling.read() as reader:
        return reader.domain_keys()[0]


@contextmanager
def filling_of(target: PostgresqlDatabase, entropy: Entropy) -> Iterator[PostgresqlFilling]:
    """Fill a database, and commit when the block ends; raises DataFolderError if it cannot be used."""
    try:
        with (
            explained(target.address),
            closing(open_postgresql(target.address, size=1, statement_limit=LONG)) as pool,
            filled_database(pool, entropy) as filling,
        ):
            yield filling
    except UnusableDatabaseError as error:
        raise DataFolderError(f"{error}. Run the same command again") from None
    except WrongSchemaError as error:
        raise DataFolderError(f"{target.folder.database_name}: {error}") from None
