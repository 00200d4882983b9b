"""Lists all KMS keys with their last uses and the number of their grants, as the rows are read."""

from collections.abc import Iterator

from sqlalchemy import Connection, Row, func, select

from strongroom.errors import QuarantinedRecordException
from strongroom.keys.arns import KeyLocator
from strongroom.store.records import KeyUse, ListedKey
from strongroom.store.sql.key_rows import read_key
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.row_walk import Place, belonging, keys_of, place_of, rows_of
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import key_grant, key_usage
from strongroom.store.sql.statements import KEY

_AT_ONCE = 1000
_OWNER = [key_grant.c[name] for name in KEY]
_GRANTS = select(*_OWNER, func.count().label("grants")).group_by(*_OWNER).order_by(*_OWNER)


def listed_keys(connection: Connection, guard: RowGuard) -> Iterator[ListedKey]:
    """Yield every key by its primary key; without what is stored of it if that is not authentic."""
    uses = belonging(connection, key_usage, KEY, "used_at")
    grants = _Counts(connection)
    for parts in keys_of(connection):
        place = place_of(parts.row, KEY)
        found = uses(place)
        locator = KeyLocator(parts.row.account, parts.row.region, parts.row.key_id)
        try:
            key = read_key(guard, *parts)
        except QuarantinedRecordException:
            key = None
        yield ListedKey(locator, key, _use_of(found[0]) if found else None, grants.of(place))


def saved_uses(connection: Connection) -> Iterator[KeyUse]:
    """Yield the last use of every key that was saved."""
    return (_use_of(row) for row in rows_of(connection, key_usage))


class _Counts:
    """The numbers of grants of keys, asked for in the order of their primary keys."""

    def __init__(self, connection: Connection) -> None:
        self._rows: Iterator[Row[tuple[object, ...]]] = iter(
            connection.execute(_GRANTS, execution_options={"yield_per": _AT_ONCE})
        )
        self._next = next(self._rows, None)

    def of(self, place: Place) -> int:
        while self._next is not None and place_of(self._next, KEY) < place:
            self._next = next(self._rows, None)
        return self._next.grants if self._next is not None and place_of(self._next, KEY) == place else 0


def _use_of(row: AnyRow) -> KeyUse:
    return KeyUse(
        KeyLocator(row.account, row.region, row.key_id), row.operation, row.used_at, row.event_id, row.request_id
    )
