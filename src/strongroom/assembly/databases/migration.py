"""Makes or upgrades the tables of a PostgreSQL database, as its owner, and gives roles their rights."""

from collections.abc import Sequence
from contextlib import closing

import msgspec

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.databases.postgresql import PostgresqlDatabase
from strongroom.clock import Clock
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.migrate import Granted, contract_patiently, migrate_patiently
from strongroom.store.postgresql.opening import UnusableDatabaseError, explained
from strongroom.store.postgresql.schema_version import WrongSchemaError

_LIMIT = 3600.0
"""How long one statement of a migration may take, seconds: it may have to rewrite a table."""


class Migrated(msgspec.Struct, frozen=True):
    """What was done: the schema ``before``, None if there were no tables, the one now, and the rights of roles."""

    name: str
    before: str | None
    now: str
    granted: Granted


def migrate_database(
    database: PostgresqlDatabase, serve: Sequence[str], read: Sequence[str], clock: Clock, patience: float
) -> Migrated:
    """Make or upgrade the tables, and grant the roles of servers and readers their rights on all of them.

    Roles that have rights already keep them, on new tables as well. While a long read of a table keeps it from being
    changed, this tries again for ``patience`` seconds. Raises DataFolderError.
    """
    address = database.address
    name = database.folder.database_name
    try:
        with explained(address), closing(open_postgresql(address, size=1, statement_limit=_LIMIT)) as pool:
            before, now, granted = migrate_patiently(pool.engine, serve, read, clock.timer, patience)
    except UnusableDatabaseError as error:
        raise DataFolderError(str(error)) from None
    except WrongSchemaError as error:
        raise DataFolderError(f"{name}: {error}") from None
    return Migrated(name, before, now, granted)


def contract_database(database: PostgresqlDatabase, clock: Clock, patience: float) -> tuple[str, str]:
    """End the service of earlier releases; return the oldest schema before, and the one now, whose releases may serve.

    Raises DataFolderError if a node of an earlier release lives, and as ``migrate_database`` does.
    """
    address = database.address
    try:
        with explained(address), closing(open_postgresql(address, size=1, statement_limit=_LIMIT)) as pool:
            before = contract_patiently(pool.engine, clock.timer, patience)
    except UnusableDatabaseError as error:
        raise DataFolderError(str(error)) from None
    except WrongSchemaError as error:
        raise DataFolderError(f"{database.folder.database_name}: {error}") from None
    return before.oldest, before.newest
