"""Looks at a database before it is used: whether it can be reached, and which schema it has."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from sqlalchemy import text

from strongroom.store.postgresql.address import Address
from strongroom.store.postgresql.connection import PoolerBetweenError
from strongroom.store.postgresql.engine import DATABASE_ERRORS, driver_of, open_postgresql
from strongroom.store.postgresql.faults import fault_of_postgresql
from strongroom.store.postgresql.schema_version import require_this_schema

_PLACE = text("SELECT oid, number, tag FROM generation, pg_database WHERE datname = current_database()")
_RIGHTS = text("SELECT current_user, has_table_privilege(current_user, 'generation', 'UPDATE')")
_SIZE = text("SELECT pg_database_size(current_database())")


class UnusableDatabaseError(Exception):
    """A database cannot be used now; the message says why and what to do."""


def require_usable(address: Address, timeout: float) -> None:
    """Make sure that a database server can be reached, and that the database has this release's schema.

    A statement may take ``timeout`` seconds. Raises UnusableDatabaseError, also if a pooler answers, and
    WrongSchemaError.
    """
    with (
        explained(address),
        closing(open_postgresql(address, size=1, statement_limit=timeout)) as database,
        database.connect() as connection,
    ):
        driver_of(connection).require_direct()
        require_this_schema(connection)


def require_same(pooled: Address, direct: Address, timeout: float) -> None:
    """Make sure that a pooler leads to the database that is at ``direct``; raises UnusableDatabaseError.

    The copy of a database has the same history, so what is compared is its place on the server, and its newest commit
    with those that ``direct`` has before and afterwards. What has been copied on another server and not been changed
    since is not found; then a write waits for a minute, and the log tells of it.
    """
    before, through, after = (_place(each, timeout) for each in (direct, pooled, direct))
    tags = {number: tag for _, number, tag in (before, after)}
    if (
        before[0] != through[0]
        or not before[1] <= through[1] <= after[1]
        or tags.get(through[1], through[2]) != through[2]
    ):
        raise UnusableDatabaseError(
            f"`store` ({pooled.name}) and `store-direct` ({direct.name}) lead to different databases; correct one"
        )


def _place(address: Address, timeout: float) -> tuple[int, int, bytes]:
    """Return the id of a database on its server, and the number and tag of its newest commit."""
    with (
        explained(address),
        closing(open_postgresql(address, size=1, statement_limit=timeout, prepare=False)) as database,
        database.connect() as connection,
    ):
        oid, number, tag = connection.execute(_PLACE).one()
    return oid, number, bytes(tag)


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
    except PoolerBetweenError as error:
        raise UnusableDatabaseError(f"the database `{address.name}`: {error}") from None
    except DATABASE_ERRORS as error:
        fault = fault_of_postgresql(error, writing=False)
        raise UnusableDatabaseError(str(error) if fault is None else fault.explain(address.name)) from None
