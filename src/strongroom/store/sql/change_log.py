"""The change log: names what each commit changed, so that every worker evicts just that from its caches."""

from sqlalchemy import Connection, bindparam, func, insert, select

from strongroom.store.records import Change, ChangeKind, Changes
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import change

_LOG = insert(change)
_CHANGES = select(change).where(change.c.sequence > bindparam("after")).order_by(change.c.sequence)
_NEWEST = select(func.max(change.c.sequence))


def log_change(connection: Connection, kind: ChangeKind, account: str, region: str, name: str) -> None:
    """Add an entry for something that changed, in the transaction that changed it."""
    connection.execute(_LOG, {"kind": kind.value, "account": account, "region": region, "name": name})


def read_changes(connection: Connection, after: int) -> Changes:
    """Return the entries after a sequence number; raises ValueError for one that this service did not write.

    Numbers have no gaps. So entries that were trimmed, or removed, are missed.
    """
    entries = [_entry(row) for row in connection.execute(_CHANGES, {"after": after})]
    last = entries[-1].sequence if entries else after
    return Changes(entries=entries, last=last, complete=len(entries) == last - after)


def newest_change(connection: Connection) -> int:
    """Return the sequence number of the newest entry, 0 if there is none."""
    return connection.execute(_NEWEST).scalar_one() or 0


def _entry(row: AnyRow) -> Change:
    # All that is named has a name in ASCII. Bytes that are no UTF-8 are read as other characters.
    if not all(isinstance(each, str) and each.isascii() for each in (row.account, row.region, row.name)):
        raise ValueError(row.sequence)
    return Change(row.sequence, ChangeKind(row.kind), row.account, row.region, row.name)
