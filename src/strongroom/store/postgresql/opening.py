"""Looks at a database before it is used: whether it can be reached, and which schema it has."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from sqlalchemy import text

from strongroom.store.postgresql.address import Address
from strongroom.store.postgresql.engine import DATABASE_ERRORS, open_postgresql
from strongroom.store.postgresql.faults import fault_of_postgresql
from strongroom.store.postgresql.schema_version import require_this_schema

_RIGHTS = text("SELECT current_user, has_table_privilege(current_user, 'generation', 'UPDATE')")
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


def require_right_to_write(address: Address, timeout: float) -> None:
    """Make sure that the role of an address has the rights of a server; raises UnusableDatabaseError."""
    with (
        explained(address),
        closing(open_postgresql(address, size=1, statement_limit=timeout)) as database,
        database.connect() as connection,
    ):
        role, may_write = connection.execute(_RIGHTS).one()
    if not may_write:
        raise UnusableDatabaseError(
            f"the role `{role}` may not write to the database `{address.name}`; give it the rights of a server, as the "
            f"owner of the tables, with: strongroom database migrate --serve {role}"
        )


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
