"""Reads a key with its materials, tags and aliases in one statement: a database behind a network is asked once.

The rows of the other tables come as JSON arrays. Each becomes what a SELECT of its table returns, to the type of each
value, because the codes of rows depend on that. The statement is run by the driver, at a third of what SQLAlchemy adds.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from sqlalchemy import Column, Float, LargeBinary, Table

from strongroom.keys.arns import KeyLocator
from strongroom.store.leases.generation import Generation
from strongroom.store.postgresql.connection import StoreConnection
from strongroom.store.sql.history import EmptiedTableError
from strongroom.store.sql.key_rows import KeyRows
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import alias, key_material, key_tag, kms_key

_PARTS = ((key_material, "ordinal"), (key_tag, "tag_key"), (alias, "name"))
"""The tables of what belongs to a key, and what their rows are ordered by."""

_decode = msgspec.json.Decoder(list[list[Any]]).decode


def _row_type(table: Table) -> Callable[[Sequence[object]], AnyRow]:
    """Return what makes a row of a table, with its columns as attributes, from their values."""
    make = NamedTuple(table.name, [(column.name, Any) for column in table.c])._make
    return cast("Callable[[Sequence[object]], AnyRow]", make)


def _as_json(column: Column[Any]) -> str:
    return f"encode({column.name}, 'hex')" if isinstance(column.type, LargeBinary) else column.name


def _converters(table: Table) -> list[tuple[int, Callable[[Any], object]]]:
    """Return which values of a row JSON has in another form, and what undoes that."""
    undo: list[tuple[int, Callable[[Any], object]]] = []
    for place, column in enumerate(table.c):
        if isinstance(column.type, LargeBinary):
            undo.append((place, bytes.fromhex))
        elif isinstance(column.type, Float):
            undo.append((place, float))
    return undo


def _part(table: Table, order: str) -> str:
    values = ", ".join(_as_json(column) for column in table.c)
    # Names of our own. Text that sorts by its bytes is in a column that says so.
    return (
        f"(SELECT CAST(json_agg(json_build_array({values}) ORDER BY {order}) AS TEXT) FROM {table.name} AS part "  # noqa: S608
        "WHERE part.account = owner.account AND part.region = owner.region AND part.key_id = owner.key_id)"
    )


_COLUMNS = ", ".join(
    [*(f"owner.{column.name}" for column in kms_key.c), *(_part(table, order) for table, order in _PARTS)]
)
_IS_KEY = "owner.account = %(account)s AND owner.region = %(region)s AND owner.key_id = %(key_id)s"
_KEY = f"SELECT {_COLUMNS} FROM kms_key AS owner WHERE {_IS_KEY}".encode()  # noqa: S608 - names of our own
_LOAD = (
    f"SELECT generation.number, generation.tag, {_COLUMNS} FROM generation LEFT JOIN kms_key AS owner ON {_IS_KEY}"  # noqa: S608
).encode()

_make_key = _row_type(kms_key)
_WIDTH = len(kms_key.c)
_KEY_ID = [column.name for column in kms_key.c].index("key_id")
_MAKERS = [(_row_type(table), _converters(table)) for table, _ in _PARTS]


def read_key_rows(connection: StoreConnection, locator: KeyLocator) -> KeyRows | None:
    """Return the rows of a key, in the transaction that has begun; None if there is no such key."""
    found = connection.execute(_KEY, msgspec.structs.asdict(locator)).fetchone()
    return None if found is None else _rows(found)


def load_key_rows(connection: StoreConnection, locator: KeyLocator) -> tuple[Generation, KeyRows | None]:
    """Return the rows of a key, and the generation of the state that has them, in a transaction of its own."""
    found = connection.execute(_LOAD, msgspec.structs.asdict(locator)).fetchone()
    if found is None:
        raise EmptiedTableError("generation")
    number, tag, *values = found
    return Generation(number, bytes(tag)), None if values[_KEY_ID] is None else _rows(values)


def _rows(found: Sequence[Any]) -> KeyRows:
    parts = (_part_rows(text, *how) for text, how in zip(found[_WIDTH:], _MAKERS, strict=True))
    return KeyRows(_make_key(found[:_WIDTH]), *parts)


def _part_rows(
    text: str | None, make: Callable[[Sequence[object]], AnyRow], undo: Sequence[tuple[int, Callable[[Any], object]]]
) -> list[AnyRow]:
    if text is None:
        return []
    found = _decode(text)
    for values in found:
        for place, convert in undo:
            if values[place] is not None:
                values[place] = convert(values[place])
    return [make(values) for values in found]
