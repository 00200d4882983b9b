"""Gives the rows of an older release their codes, as they are found. It is done once, by the start that upgrades."""

from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec
from sqlalchemy import Connection, Table, bindparam, update

from strongroom.store.row_authenticator import RowAuthenticator
from strongroom.store.sql.key_rows import tags_of
from strongroom.store.sql.row_macs import AUTHENTICATED, FORMATS, MAC
from strongroom.store.sql.row_walk import KeyRows, keys_of, rows_of
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import key_material, kms_key
from strongroom.store.sql.statements import where

_AT_ONCE = 1000


def adopt_rows(connection: Connection, authenticator: RowAuthenticator) -> int:
    """Write the code of every row that has one; return how many rows that are.

    A row with text that is no UTF-8 gets none, and stays quarantined.
    """
    return sum(_write(connection, table, _codes(connection, table, authenticator)) for table in AUTHENTICATED)


def _codes(connection: Connection, table: Table, authenticator: RowAuthenticator) -> Iterator[Mapping[str, object]]:
    """Yield what is to be written to each row of a table."""
    if table is kms_key:
        found = (_code_of_key(key, authenticator) for key in keys_of(connection))
        yield from (each for each in found if each is not None)
        return
    to_message = FORMATS[table.name].of_row
    for row in rows_of(connection, table):
        message = to_message(row)
        if message is not None:
            yield {**_place(table, row), MAC: authenticator.mac(message)}


def _code_of_key(key: KeyRows, authenticator: RowAuthenticator) -> Mapping[str, object] | None:
    messages = [(each.material_id, FORMATS[key_material.name].of_row(each)) for each in key.materials]
    macs = [(material_id, authenticator.mac(message)) for material_id, message in messages if message is not None]
    changed = {"material_macs": msgspec.msgpack.encode(macs)}
    try:
        parts = tags_of(key.tags)
    except TypeError:
        return None
    row = [changed.get(name, value) for name, value in zip(kms_key.c.keys(), key.row, strict=True)]
    message = FORMATS[kms_key.name].of_row(row, parts)
    if message is None:
        return None
    return {**_place(kms_key, key.row), **changed, MAC: authenticator.mac(message)}


def _write(connection: Connection, table: Table, codes: Iterator[Mapping[str, object]]) -> int:
    names = [column.name for column in table.primary_key]
    changed = [MAC, "material_macs"] if table is kms_key else [MAC]
    statement = update(table).where(where(table, *names)).values({name: bindparam(name) for name in changed})
    rows = 0
    while page := list(islice(codes, _AT_ONCE)):
        connection.execute(statement, page)
        rows += len(page)
    return rows


def _place(table: Table, row: AnyRow) -> dict[str, object]:
    return {f"of_{column.name}": getattr(row, column.name) for column in table.primary_key}
