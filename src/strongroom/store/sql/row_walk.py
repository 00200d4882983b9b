"""Goes through whole tables in pages, in the order of their primary keys, also while rows of them are written."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Connection, Table, select, tuple_

from strongroom.store.sql.row_guard import AnyRow
from strongroom.store.sql.schema import alias, key_material, key_tag, kms_key
from strongroom.store.sql.statements import KEY

_PAGE = 1000


class KeyRows(NamedTuple):
    """The rows of one KMS key."""

    row: AnyRow
    materials: Sequence[AnyRow]
    tags: Sequence[AnyRow]
    aliases: Sequence[AnyRow]


def pages(connection: Connection, table: Table) -> Iterator[Sequence[AnyRow]]:
    """Yield all rows of a table with all their columns, up to a thousand at once."""
    names = [column.name for column in table.primary_key]
    place = tuple_(*table.primary_key)
    query = select(table).order_by(*table.primary_key).limit(_PAGE)
    page = connection.execute(query).all()
    while page:
        yield page
        page = connection.execute(query.where(place > tuple_(*place_of(page[-1], names)))).all()


def rows_of(connection: Connection, table: Table) -> Iterator[AnyRow]:
    """Yield all rows of a table with all their columns."""
    return chain.from_iterable(pages(connection, table))


def key_pages(connection: Connection) -> Iterator[list[KeyRows]]:
    """Yield all KMS keys with the rows that belong to each, up to a thousand at once."""
    for page in pages(connection, kms_key):
        materials, tags, aliases = (
            belonging(connection, table, KEY, page, order)
            for table, order in ((key_material, "ordinal"), (key_tag, "tag_key"), (alias, "name"))
        )
        owners = ((row, place_of(row, KEY)) for row in page)
        yield [KeyRows(row, materials[owner], tags[owner], aliases[owner]) for row, owner in owners]


def belonging(
    connection: Connection, table: Table, owner: Sequence[str], page: Sequence[AnyRow], order: str
) -> defaultdict[tuple[object, ...], list[AnyRow]]:
    """Return the rows of a table that belong to the rows of a page, by the values of their ``owner`` columns."""
    columns = [table.c[name] for name in owner]
    first, last = (tuple_(*place_of(row, owner)) for row in (page[0], page[-1]))
    query = select(table).where(tuple_(*columns).between(first, last)).order_by(*columns, table.c[order])
    found: defaultdict[tuple[object, ...], list[AnyRow]] = defaultdict(list)
    for row in connection.execute(query):
        found[place_of(row, owner)].append(row)
    return found


def place_of(row: AnyRow, columns: Sequence[str]) -> tuple[object, ...]:
    """Return the values of some columns."""
    return tuple(getattr(row, name) for name in columns)
