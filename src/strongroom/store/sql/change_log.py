"""The change log: names what each commit changed, so that every worker evicts just that from its caches."""

from collections.abc import Callable
from typing import Protocol

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from strongroom.store.records import Change, ChangeKind, Changes
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import change

_LOG = insert(change)
_CHANGES = select(change).where(change.c.sequence > bindparam("after")).order_by(change.c.sequence)
_NEWEST = select(func.max(change.c.sequence))
_TRIM = delete(change).where(
    change.c.sequence < bindparam("first"),
    change.c.sequence < select(func.min(change.c.sequence)).scalar_subquery() + bindparam("most"),
)
_SLICE = 10_000
_SLICES = 100


class ChangeLog(Protocol):
    """Takes the entries of one transaction."""

    def add(self, kind: ChangeKind, account: str, region: str, name: str, *, is_new: bool = False) -> None:
        """Add an entry for something that changed; it is committed with the change.

        ``is_new`` tells that nothing of that name was there before, and that no cache remembers its absence: then
        nothing that is cached is wrong after the commit.
        """
        ...


class InsertedChanges:
    """Inserts each entry at once, for a database that gives sequence numbers in the order of commits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        kind: ChangeKind,
        account: str,
        region: str,
        name: str,
        *,
        is_new: bool = False,  # noqa: ARG002 - see below
    ) -> None:
        """Add an entry for something that changed, in the transaction that changed it.

        Processes on one machine learn of every entry at once, so ``is_new`` makes no difference.
        """
        self._connection.execute(_LOG, {"kind": kind.value, "account": account, "region": region, "name": name})


def read_changes(connection: Connection, after: int) -> Changes:
    """Return the entries after a sequence number; raises ValueError for one that this service did not write.

    Numbers have no gaps. So entries that were trimmed, or removed, are missed.
    """
    entries = [read_change(row) for row in connection.execute(_CHANGES, {"after": after})]
    last = entries[-1].sequence if entries else after
    return Changes(entries=entries, last=last, complete=len(entries) == last - after)


def newest_change(connection: Connection) -> int:
    """Return the sequence number of the newest entry, 0 if there is none."""
    return connection.execute(_NEWEST).scalar_one() or 0


def trim_oldest(connection: Connection, first: int, most: int) -> int:
    """Remove the ``most`` oldest entries, but none from the number ``first`` on; return how many were removed."""
    return connection.execute(_TRIM, {"first": first, "most": most}).rowcount


def remove_in_slices(remove: Callable[[int], int]) -> None:
    """Call ``remove`` with the most rows that it may remove, until it has found fewer; it returns how many it has.

    While no server ran, a command may have added millions. One statement for all of them would hold up writers, or
    reach the limit of its time, in this round of the keeper and in every later one. What is left after a hundred calls
    is for the next round.
    """
    for _ in range(_SLICES):
        if remove(_SLICE) < _SLICE:
            return


def read_change(row: AnyRow) -> Change:
    """Read an entry; raises ValueError for one that this service did not write."""
    # All that is named has a name in ASCII. Bytes that are no UTF-8 are read as other characters.
    if not all(isinstance(each, str) and each.isascii() for each in (row.account, row.region, row.name)):
        raise ValueError(row.sequence)
    return Change(row.sequence, ChangeKind(row.kind), row.account, row.region, row.name)
