"""The change log, read by processes that have seen a part of it before.

Sequence numbers are without gaps and in the order of commits. Each entry has the tag of its commit. So a process that
remembers the tag of the last entry it has seen notices when the database has another history than before: after a
failover that lost commits, or a restore. Then everything may have changed.
"""

from collections import OrderedDict
from functools import partial
from threading import Lock

from sqlalchemy import Connection, bindparam, delete, func, select

from strongroom.store.leases.generation import NO_GENERATION, Generation
from strongroom.store.postgresql.schema import change, generation, receipt
from strongroom.store.postgresql.statements import Entry
from strongroom.store.records import ChangeKind, Changes
from strongroom.store.sql.change_log import read_change, remove_in_slices, trim_oldest
from strongroom.store.sql.history import EmptiedTableError

_MOST_REMEMBERED = 1024
RECEIPTS_KEPT = 3600.0
"""How long a receipt stays, seconds. A writer asks for its own for half of that at most (``writes.SETTLED_WITHIN``)."""

_KINDS = frozenset(ChangeKind)
_GENERATION = select(generation.c.number, generation.c.tag)
_SINCE = select(change).where(change.c.sequence >= bindparam("after")).order_by(change.c.sequence)
_OLD_RECEIPTS = (
    select(receipt.c.tag)
    .where(receipt.c.made_at < func.extract("epoch", func.now()) - RECEIPTS_KEPT)
    .order_by(receipt.c.made_at)
    .limit(bindparam("most"))
)
_TRIM_RECEIPTS = delete(receipt).where(receipt.c.tag.in_(_OLD_RECEIPTS))


class CollectedChanges:
    """Collects the entries of one write: they get their numbers when it commits."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.contradicting = 0
        """How many of the entries name what some node may have cached as it was before."""
        self.committed = NO_GENERATION
        """The newest commit, this one or one before it, once the write has committed."""

    def add(self, kind: ChangeKind, account: str, region: str, name: str, *, is_new: bool = False) -> None:
        """Add an entry for something that changed; see ``sql.change_log.ChangeLog``."""
        self.entries.append(Entry(kind, account, region, name))
        self.contradicting += not is_new

    @property
    def size(self) -> tuple[int, int]:
        """How many entries there are, and how many of them are ``contradicting``."""
        return len(self.entries), self.contradicting

    def cut(self, size: tuple[int, int]) -> None:
        """Remove what was added since ``size`` was this."""
        entries, self.contradicting = size
        del self.entries[entries:]


class SeenChanges:
    """Reads the change log, and remembers the tags of the entries that callers have seen last. For many threads."""

    def __init__(self) -> None:
        self._tags: OrderedDict[int, bytes] = OrderedDict()
        self._lock = Lock()

    def read(self, connection: Connection, newest: Generation, after: int) -> Changes:
        """Return the entries after a sequence number, in a state of the database whose generation is ``newest``.

        They are incomplete if entries were trimmed, if the entry ``after`` has another tag than when it was returned,
        or if none has that number any more; also if the next release has written an entry of a kind that this one does
        not know. Raises ValueError for an entry that this service did not write.
        """
        rows = connection.execute(_SINCE, {"after": after}).all()
        tags = {row.sequence: bytes(row.tag) for row in rows}
        known = self._known(after)
        same = after == 0 or (after in tags and known in {None, tags[after]})
        same = same and all(row.kind in _KINDS for row in rows if row.sequence > after)
        entries = [read_change(row) for row in rows if row.sequence > after] if same else []
        self._remember(newest)
        complete = same and len(entries) == newest.number - after
        return Changes(entries=entries, last=newest.number, complete=complete)

    def _known(self, number: int) -> bytes | None:
        with self._lock:
            return self._tags.get(number)

    def _remember(self, newest: Generation) -> None:
        with self._lock:
            self._tags[newest.number] = newest.tag
            self._tags.move_to_end(newest.number)
            if len(self._tags) > _MOST_REMEMBERED:
                self._tags.popitem(last=False)


def read_generation(connection: Connection) -> Generation:
    """Return how far the database has come; raises EmptiedTableError."""
    found = connection.execute(_GENERATION).one_or_none()
    if found is None:
        raise EmptiedTableError(generation.name)
    return Generation(found[0], bytes(found[1]))


def trim(connection: Connection, keep: int) -> None:
    """Remove all but the newest ``keep`` entries and the one before them, and receipts that no writer needs any more.

    A reader that has seen that one still needs its tag.
    """
    first = read_generation(connection).number - keep
    remove_in_slices(partial(trim_oldest, connection, first))
    remove_in_slices(lambda most: connection.execute(_TRIM_RECEIPTS, {"most": most}).rowcount)
