"""Leaves a PostgreSQL database for another one: nothing serves it or writes to it meanwhile, or ever again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, func, select, update

from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.store.postgresql.engine import Database, transaction
from strongroom.store.postgresql.living_members import ended_members, remove_ended
from strongroom.store.postgresql.schema import generation, metadata, schema_window

_domain_key = metadata.tables["domain_key"]
_PATIENT = "SET LOCAL idle_in_transaction_session_timeout = 0"
# In this order: a node that joins, or a write, may hold one of them for a moment.
_WINDOW = select(schema_window.c.moved_to).with_for_update()
_CODE_KEYS = (
    select(_domain_key.c.version)
    .where(_domain_key.c.scope == IAM_SCOPE)
    .order_by(_domain_key.c.version.desc())
    .with_for_update()
)
_NEWEST_CODE_KEY = select(func.max(_domain_key.c.version)).where(_domain_key.c.scope == IAM_SCOPE)
_GENERATION = select(generation.c.number).with_for_update()


class Leaving:
    """A transaction besides which no node can join, and nothing can be written."""

    def __init__(self, connection: Connection, moved_to: str | None) -> None:
        self._connection = connection
        self.moved_to = moved_to
        """Where the deployment has moved already, None if it has not."""

    def mark(self, moved_to: str) -> None:
        """Say where the deployment is from now on, once the transaction is committed."""
        self._connection.execute(update(schema_window).values(moved_to=moved_to))


def moved_to(database: Database) -> str | None:
    """Return where a deployment has moved that was in a database; None if it has not."""
    with database.connect() as connection:
        found: str | None = connection.execute(select(schema_window.c.moved_to)).scalar_one()
        return found


def _wait_for_writes(connection: Connection) -> None:
    """Lock what every write locks first, the newest domain key that codes of rows are made with, against all of them.

    One of those that are waited for may add a newer one.
    """
    while True:
        locked = connection.execute(_CODE_KEYS).scalars().all()
        newest = connection.execute(_NEWEST_CODE_KEY).scalar_one()
        if newest is None or newest in locked:
            return


@contextmanager
def leaving(database: Database, pause: Callable[[float], object]) -> Iterator[Leaving]:
    """Keep everything out of a database until the block ends, and commit what it says then.

    It waits until the leases of killed nodes have ended; ``pause`` waits for some seconds. Raises LivingMembersError if
    a node serves the database.
    """
    ended = ended_members(database.engine, pause)
    with transaction(database.engine) as connection:
        connection.exec_driver_sql(_PATIENT)
        # Of an earlier move, the COMMIT may have been waited for here.
        there: str | None = connection.execute(_WINDOW).scalar_one()
        _wait_for_writes(connection)
        connection.execute(_GENERATION)
        remove_ended(connection, ended)
        yield Leaving(connection, there)
