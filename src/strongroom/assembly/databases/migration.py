"""Makes or upgrades the tables of a PostgreSQL database, as its owner, and gives roles their rights."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import msgspec

from strongroom.assembly.databases.postgresql import PostgresqlDatabase
from strongroom.clock import Clock
from strongroom.store.postgresql.engine import Database, open_postgresql
from strongroom.store.postgresql.migrate import Granted, contract_patiently, migrate_patiently
from strongroom.store.postgresql.opening import explained

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
    with _pool(database) as pool:
        before, now, granted = migrate_patiently(pool.engine, serve, read, clock.timer, patience)
    return Migrated(database.folder.database_name, before, now, granted)


def contract_database(database: PostgresqlDatabase, clock: Clock, patience: float) -> tuple[str, str]:
    """End the service of earlier releases; return the oldest schema before, and the one now, whose releases may serve.

    Raises DataFolderError if a node of an earlier release lives, and as ``migrate_database`` does.
    """
    with _pool(database) as pool:
        before = contract_patiently(pool.engine, clock.timer, patience)
    return before.oldest, before.newest


@contextmanager
def _pool(database: PostgresqlDatabase) -> Iterator[Database]:
    """Connect as the owner of the tables; raises DataFolderError, also for errors of the block."""
    address = database.address
    with (
        database.typed_errors(),
        explained(address),
        closing(open_postgresql(address, size=1, statement_limit=_LIMIT)) as pool,
    ):
        yield pool
