"""Statements that are made once and run with parameters: making one takes SQLAlchemy five times as long as running it.

The parameters of a condition are named ``of_COLUMN``, apart from those that an UPDATE writes.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, CursorResult, Float, Select, Table, and_, bindparam, or_, select
from sqlalchemy.dialects import postgresql

from strongroom.clock import DAY
from strongroom.keys.arns import KeyLocator
from strongroom.store.retries import WriteConflict

KEY = ("account", "region", "key_id")
"""What the rows of a key have in common."""


def where(table: Table, *columns: str) -> ColumnElement[bool]:
    """Return the condition that columns equal their parameters."""
    return and_(*(table.c[name] == bindparam(f"of_{name}", type_=table.c[name].type) for name in columns))


def may_replace(saved: ColumnElement[float], used_at: ColumnElement[float]) -> ColumnElement[bool]:
    """Return the condition that a last use may take the place of a saved one: it is later, or the saved one is wrong.

    Nothing was used in the future. So a saved use that is a day later than the parameter ``now`` was noted while a
    clock was ahead. One that is only later than this use is right: another node may have saved it long before this use
    was found, in the log of a node that was down.
    """
    return or_(saved <= used_at, saved > bindparam("now", type_=Float) + DAY)


def insert_below_limit(table: Table, count: Select[int]) -> postgresql.Insert:
    """Return an INSERT of one row that inserts nothing if ``count`` is not below the parameter ``limit``.

    The values of the row are parameters named as those of a condition. The check and the INSERT are one statement, so
    no other writer comes between them on SQLite; on PostgreSQL the lock of the write's scope does the same.
    """
    row = select(*(bindparam(f"of_{column.name}", type_=column.type) for column in table.c))
    return postgresql_insert(table).from_select(
        [*table.c.keys()], row.where(count.scalar_subquery() < bindparam("limit"))
    )


def upsert(table: Table, *keys: str, kept: Sequence[str] = ()) -> postgresql.Insert:
    """Return an INSERT that replaces the other columns, but the ``kept`` ones, of the row with the same ``keys``."""
    statement = postgresql_insert(table)
    replaced = {column.name: statement.excluded[column.name] for column in table.c if column.name not in {*keys, *kept}}
    return statement.on_conflict_do_update(index_elements=keys, set_=replaced)


def postgresql_insert(table: Table) -> postgresql.Insert:
    """Return an INSERT that can have an ON CONFLICT clause.

    SQLite took over PostgreSQL's syntax (sqlite.org/lang_upsert.html), so the same construct compiles for both.
    """
    return postgresql.insert(table)


def require_changed(result: CursorResult[tuple[object, ...]]) -> None:
    """Raise WriteConflict if an UPDATE or DELETE found no row: another writer has changed or removed it."""
    if not result.rowcount:
        raise WriteConflict("The key store was changed by another writer.")


def of(**values: object) -> dict[str, object]:
    """Return the parameters of a condition."""
    return {f"of_{name}": value for name, value in values.items()}


def of_key(locator: KeyLocator) -> dict[str, object]:
    """Return the parameters of the condition that a row is a key's."""
    return {"of_account": locator.account, "of_region": locator.region, "of_key_id": locator.key_id}
