"""Makes the codes of rows that are in the database already.

``adopt_rows`` takes the rows of an older release as they are found. It is done once, by the start that upgrades.
``renew_codes`` makes codes anew under the newest domain key, some rows at a time. It authenticates each row before: one
that was changed keeps the code that it has, and stays quarantined. What the rows say stays the same, so no cache has to
forget them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec
from sqlalchemy import ColumnElement, Connection, LargeBinary, Table, bindparam, func, literal, select, tuple_, update

from strongroom.crypto.token_versions import encoded_version
from strongroom.store.row_authenticator import RowAuthenticator
from strongroom.store.sql.key_rows import materials_of, tags_of
from strongroom.store.sql.row_guard import UNREADABLE_ERRORS, RowGuard, name_of
from strongroom.store.sql.row_macs import AUTHENTICATED, FORMATS, MAC
from strongroom.store.sql.row_walk import keys_of, rows_of
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import key_material, key_tag, kms_key
from strongroom.store.sql.statements import KEY, where
from strongroom.store.subjects.records import RenewalPlace, RenewedCodes

_AT_ONCE = 1000
_MATERIALS = select(key_material).where(where(key_material, *KEY)).order_by(key_material.c.ordinal)
_TAGS = select(key_tag).where(where(key_tag, *KEY))

_Codes = Mapping[str, object]
"""What is to be written to a row: its code, and the codes of a key's materials."""


def adopt_rows(connection: Connection, authenticator: RowAuthenticator) -> int:
    """Write the code of every row that has one; return how many rows that are.

    A row with text that is no UTF-8 gets none, and stays quarantined.
    """
    return sum(_write(connection, table, _all_codes(connection, table, authenticator)) for table in AUTHENTICATED)


def codes_under_older(connection: Connection, version: int) -> int:
    """Count the rows whose codes were made with an older version of the domain key."""
    values = {"version": encoded_version(version)}
    counts = (select(func.count()).select_from(table).where(_is_older(table)) for table in AUTHENTICATED)
    return sum(connection.execute(count, values).scalar_one() for count in counts)


def renew_codes(connection: Connection, guard: RowGuard, place: RenewalPlace, limit: int) -> RenewedCodes:
    """Renew the codes of ``limit`` rows after a place; see ``subjects.records``."""
    authenticator = guard.authenticator
    if authenticator is None:
        return RenewedCodes(None, 0, ())
    table = AUTHENTICATED[place.table]
    key = [*table.primary_key]
    # Locked, where a database has several writers: a code must not be made of a row that another one replaces.
    query = select(table).where(_is_older(table)).order_by(*key).limit(limit).with_for_update()
    if place.after:
        query = query.where(tuple_(*key) > tuple_(*map(literal, place.after)))
    found = connection.execute(query, {"version": encoded_version(authenticator.version)}).all()
    codes = [_renewed(connection, table, row, guard, authenticator) for row in found]
    renewed = _write(connection, table, ((row, each) for row, each in zip(found, codes, strict=True)))
    refused = tuple(name_of(table, row) for row, each in zip(found, codes, strict=True) if each is None)
    following: RenewalPlace | None
    if len(found) == limit:
        following = RenewalPlace(place.table, tuple(getattr(found[-1], column.name) for column in key))
    else:
        following = RenewalPlace(place.table + 1) if place.table + 1 < len(AUTHENTICATED) else None
    return RenewedCodes(following, renewed, refused)


def _all_codes(
    connection: Connection, table: Table, authenticator: RowAuthenticator
) -> Iterator[tuple[AnyRow, _Codes | None]]:
    """Yield each row of a table, and what is to be written to it."""
    if table is kms_key:
        for each in keys_of(connection):
            yield each.row, _codes_of_key(each.row, each.materials, each.tags, authenticator)
    else:
        for row in rows_of(connection, table):
            yield row, _codes_of_row(table, row, authenticator)


def _renewed(
    connection: Connection, table: Table, row: AnyRow, guard: RowGuard, authenticator: RowAuthenticator
) -> _Codes | None:
    """Return what is to be written to a row; None if it, or anything that belongs to it, was changed."""
    if table is not kms_key:
        return _codes_of_row(table, row, authenticator) if guard.is_authentic(table, row) else None
    place = {f"of_{name}": getattr(row, name) for name in KEY}
    materials, tags = (connection.execute(part, place).all() for part in (_MATERIALS, _TAGS))
    try:
        whole = guard.is_authentic(kms_key, row, parts=tags_of(tags)) and not materials_of(guard, row, materials)[1]
    except UNREADABLE_ERRORS:
        whole = False
    return _codes_of_key(row, materials, tags, authenticator) if whole else None


def _codes_of_row(table: Table, row: AnyRow, authenticator: RowAuthenticator) -> _Codes | None:
    message = FORMATS[table.name].of_row(row)
    return None if message is None else {MAC: authenticator.mac(message)}


def _codes_of_key(
    row: AnyRow, materials: Sequence[AnyRow], tags: Sequence[AnyRow], authenticator: RowAuthenticator
) -> _Codes | None:
    messages = [(each.material_id, FORMATS[key_material.name].of_row(each)) for each in materials]
    macs = [(material_id, authenticator.mac(message)) for material_id, message in messages if message is not None]
    changed = {"material_macs": msgspec.msgpack.encode(macs)}
    try:
        parts = tags_of(tags)
    except TypeError:
        return None
    after = [changed.get(name, value) for name, value in zip(kms_key.c.keys(), row, strict=True)]
    message = FORMATS[kms_key.name].of_row(after, parts)
    return None if message is None else {**changed, MAC: authenticator.mac(message)}


def _write(connection: Connection, table: Table, codes: Iterable[tuple[AnyRow, _Codes | None]]) -> int:
    names = [column.name for column in table.primary_key]
    changed = [MAC, "material_macs"] if table is kms_key else [MAC]
    statement = update(table).where(where(table, *names)).values({name: bindparam(name) for name in changed})
    values = ({**_place(table, row), **each} for row, each in codes if each is not None)
    rows = 0
    while page := list(islice(values, _AT_ONCE)):
        connection.execute(statement, page)
        rows += len(page)
    return rows


def _is_older(table: Table) -> ColumnElement[bool]:
    """Return the condition that a row's code was made with a version before the parameter ``version``."""
    return func.substr(table.c[MAC], 2, 4, type_=LargeBinary) < bindparam("version", type_=LargeBinary)


def _place(table: Table, row: AnyRow) -> dict[str, object]:
    return {f"of_{column.name}": getattr(row, column.name) for column in table.primary_key}
