"""Goes through whole tables in the order of their primary keys. What is read at once is bounded."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, Table, select

from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import alias, key_material, key_tag, kms_key
from strongroom.store.sql.statements import KEY

_AT_ONCE = 1000

Place = tuple[tuple[int, object], ...]
"""Values of some columns, in a form that has the database's order whatever their types are."""


class KeyRows(NamedTuple):
    """The rows of one KMS key."""

    row: AnyRow
    materials: Sequence[AnyRow]
    tags: Sequence[AnyRow]
    aliases: Sequence[AnyRow]


def rows_of(connection: Connection, table: Table, *order: str) -> Iterator[AnyRow]:
    """Yield all rows of a table with all their columns, by its primary key, or by the ``order`` columns.

    Meanwhile the rows that were yielded may be updated over the same connection, but for these columns.
    """
    columns = [table.c[name] for name in order] or [*table.primary_key]
    yield from connection.execute(select(table).order_by(*columns), execution_options={"yield_per": _AT_ONCE})


def keys_of(connection: Connection) -> Iterator[KeyRows]:
    """Yield all KMS keys with the rows that belong to each."""
    parts = [
        belonging(connection, table, KEY, order)
        for table, order in ((key_material, "ordinal"), (key_tag, "tag_key"), (alias, "name"))
    ]
    for row in rows_of(connection, kms_key):
        place = place_of(row, KEY)
        materials, tags, aliases = (of(place) for of in parts)
        yield KeyRows(row, materials, tags, aliases)


def belonging(
    connection: Connection, table: Table, owner: Sequence[str], order: str
) -> Callable[[Place], Sequence[AnyRow]]:
    """Return a function that returns the rows whose ``owner`` columns have some values.

    It must be called in the order of these values, and for each at most once.
    """
    groups = groupby(rows_of(connection, table, *owner, order), lambda row: place_of(row, owner))
    following: list[tuple[Place, list[AnyRow]]] = []

    def take(place: Place) -> Sequence[AnyRow]:
        while not following or following[0][0] < place:
            group = next(groups, None)
            if group is None:
                return ()
            following[:] = [(group[0], list(group[1]))]
        return following.pop()[1] if following[0][0] == place else ()

    return take


def place_of(row: AnyRow, columns: Sequence[str]) -> Place:
    """Return the values of some columns."""
    return tuple(_comparable(getattr(row, name)) for name in columns)


def _comparable(value: object) -> tuple[int, object]:
    """Return a value so that it has its place among values of all types (sqlite.org/datatype3.html, 4.1)."""
    if isinstance(value, str):
        return 2, value.encode(errors="surrogateescape")
    return (3, value) if isinstance(value, bytes) else (1, value)
