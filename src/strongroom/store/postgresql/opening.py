"""Looks at a database before it is used: whether it can be reached, and which schema it has."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from sqlalchemy import text

from strongroom.store.postgresql.address import Address
from strongroom.store.postgresql.engine import DATABASE_ERRORS, open_postgresql
from strongroom.store.postgresql.faults import fault_of_postgresql
from strongroom.store.postgresql.schema_version import require_this_schema

_SIZE = text("SELECT pg_database_size(current_database())")


class UnusableDatabaseError(Exception):
    """A database cannot be used now; the message says why and what to do."""


def require_usable(address: Address, timeout: float) -> None:
    """Make sure that a database can be reached and has this release's schema. A statement may take ``timeout`` seconds.

    Raises UnusableDatabaseError, WrongSchemaError.
    """
    with (
        explained(address),
        closing(open_postgresql(address, size=1, statement_limit=timeout)) as database,
        database.connect() as connection,
    ):
        require_this_schema(connection)


def size_of(address: Address, timeout: float) -> int:
    """Return how many bytes a database has on its disk; raises UnusableDatabaseError."""
    with (
        explained(address),
        closing(open_postgresql(address, size=1, statement_limit=timeout)) as database,
        database.connect() as connection,
    ):
        return int(connection.execute(_SIZE).scalar_one())


@contextmanager
def explained(address: Address) -> Iterator[None]:
    """Turn errors of the database into UnusableDatabaseError."""
    try:
        yield
    except DATABASE_ERRORS as error:
        fault = fault_of_postgresql(error, writing=False)
        raise UnusableDatabaseError(str(error) if fault is None else fault.explain(address.name)) from None
