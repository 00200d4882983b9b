"""Makes or upgrades the tables of a PostgreSQL database, as its owner, and gives roles their rights."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import msgspec

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.databases.postgresql import PostgresqlDatabase
from strongroom.store.postgresql.engine import Database as Pool
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.migrate import Granted, contract, grant_roles, migrate, require_roles, schema_of
from strongroom.store.postgresql.opening import UnusableDatabaseError, explained
from strongroom.store.postgresql.schema_version import SCHEMA, WrongSchemaError

_LIMIT = 3600.0
"""How long one statement of a migration may take, seconds: it may have to rewrite a table."""


class Migrated(msgspec.Struct, frozen=True):
    """What was done: the schema ``before``, None if there were no tables, the one now, and the rights of roles."""

    name: str
    before: str | None
    now: str
    granted: Granted


def migrate_database(database: PostgresqlDatabase, serve: Sequence[str], read: Sequence[str]) -> Migrated:
    """Make or upgrade the tables, and grant the roles of servers and readers their rights on all of them.

    Roles that have rights already get them on new tables as well. Servers go on meanwhile. Raises DataFolderError.
    """
    with _opened(database) as pool:
        require_roles(pool.engine, (*serve, *read))
        before = schema_of(pool.engine)
        migrate(pool.engine)
        return Migrated(database.folder.database_name, before, SCHEMA, grant_roles(pool.engine, serve, read))


def contract_database(database: PostgresqlDatabase) -> None:
    """Remove what only servers of the release before needed; raises DataFolderError if one of them serves."""
    with _opened(database) as pool:
        contract(pool.engine)


@contextmanager
def _opened(database: PostgresqlDatabase) -> Iterator[Pool]:
    """Connect as the owner of the tables; turn what goes wrong into DataFolderError."""
    address = database.address
    try:
        with explained(address), closing(open_postgresql(address, size=1, statement_limit=_LIMIT)) as pool:
            yield pool
    except UnusableDatabaseError as error:
        raise DataFolderError(str(error)) from None
    except WrongSchemaError as error:
        raise DataFolderError(f"{database.folder.database_name}: {error}") from None
