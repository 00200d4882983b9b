"""The last use of keys: noted in memory on every use, written to the database from time to time.

So a use needs no write. Uses that other workers of this node have not written yet, or that this worker lost in a crash,
are in the audit log: every use is recorded there before its answer is sent. The database has a mark for each writer of
the audit log, up to which its uses are written. Uses after the mark are read from the log. Other nodes have their logs
on their own disks. Their uses are visible here once they are in the database: the keeper's interval later, at most.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Protocol

import msgspec

from strongroom.audit.sink import AuditMark
from strongroom.keys.arns import KeyLocator, locator_of
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import KeyUse
from strongroom.usage.recorded_uses import RecordedUse, uses_in

_AT_ONCE = 500


class Tail(Protocol):
    """The newest part of the audit log."""

    def since(self, mark: AuditMark, text: bytes) -> Iterator[bytes]:
        """Yield the whole lines that hold a text and come after a mark, the newest first."""
        ...


class KeyUses:
    """Notes uses by some operations, and finds the last use of each key. Safe to use from several threads."""

    def __init__(
        self,
        store: Store,
        tail: Tail,
        operations: frozenset[str],
        is_local: Callable[[str], bool],
        now: Callable[[], float],
    ) -> None:
        """Note uses by ``operations``. ``is_local`` tells whether the log of an audit writer is on this node.

        ``now`` returns epoch seconds.
        """
        self._store = store
        self._tail = tail
        self._operations = operations
        self._is_local = is_local
        self._now = now
        self._lock = Lock()
        self._noted: dict[KeyLocator, KeyUse] = {}
        self._being_written: dict[KeyLocator, KeyUse] = {}
        self._recovered: set[str] = set()
        """Writers whose uses are all noted here or written: this worker, and writers that have stopped."""
        self._marks: dict[str, AuditMark] = {}

    def note(self, use: KeyUse) -> None:
        """Note a successful use. A use that began later may be noted already."""
        with self._lock:
            known = self._noted.get(use.locator)
            if known is None or known.used_at <= use.used_at:
                self._noted[use.locator] = use

    def last(self, locator: KeyLocator) -> KeyUse | None:
        """Return the last use of a key by this node, or one that another node has saved; None if there is none."""
        with self._lock:
            found = [self._noted.get(locator), self._being_written.get(locator)]
        with self._store.read() as reader:
            found.append(reader.key_use(locator))
            marks = [mark for mark in reader.audit_marks() if self._is_open(mark.writer)]
        found += [self._last_recorded(mark, locator) for mark in marks]
        return max((use for use in found if use is not None), key=lambda use: use.used_at, default=None)

    def unsaved(self) -> Mapping[KeyLocator, KeyUse]:
        """Return the last uses by this node that are in the audit log and not in the database yet, by key."""
        with self._store.read() as reader:
            writers = [mark.writer for mark in reader.audit_marks() if self._is_open(mark.writer)]
        for writer in writers:
            self.recover(writer)
        with self._lock:
            return dict(self._noted)

    def recover(self, writer: str) -> None:
        """Note the uses that a writer had recorded and not saved: this worker at its start, or one that has ended."""
        with self._store.read() as reader:
            marks = [mark for mark in reader.audit_marks() if mark.writer == writer]
        last: dict[str, RecordedUse] = {}
        for mark in marks:
            for use in self._recorded(mark, b'"eventType":"AwsApiCall"'):
                last.setdefault(use.arn, use)
        for use in last.values():
            self.note(_key_use_of(locator_of(use.arn), use))
        self._recovered.add(writer)

    def write(self, *marks: AuditMark) -> None:
        """Save the uses noted since the last time.

        ``marks`` are the ends of the log before the call, of this worker and of those it has recovered.
        """
        with self._lock:
            # A use that could not be written the last time may be later than one that was noted since.
            for locator, use in self._being_written.items():
                noted = self._noted.get(locator)
                if noted is None or noted.used_at < use.used_at:
                    self._noted[locator] = use
            self._being_written, self._noted = self._noted, {}
        uses = list(self._being_written.values())
        # All writers use the same order, so that they cannot deadlock on each other's rows.
        uses.sort(key=lambda use: msgspec.structs.astuple(use.locator))
        for start in range(0, len(uses), _AT_ONCE):
            # In several transactions, so that other writers need not wait for all of them.
            self._save(uses[start : start + _AT_ONCE])
        moved = [mark for mark in marks if mark != self._marks.get(mark.writer)]
        if moved:

            def move(transaction: Transaction) -> None:
                for mark in moved:
                    transaction.put_audit_mark(mark)

            self._store.write(move)
            self._marks |= {mark.writer: mark for mark in moved}
        with self._lock:
            self._being_written = {}

    def _is_open(self, writer: str) -> bool:
        """Tell whether the log of a writer may hold uses that are neither noted here nor written, and can be read."""
        return writer not in self._recovered and self._is_local(writer)

    def _save(self, uses: Sequence[KeyUse]) -> None:
        now = self._now()
        self._store.write(lambda transaction: transaction.note_key_uses(uses, now))

    def _last_recorded(self, mark: AuditMark, locator: KeyLocator) -> KeyUse | None:
        uses = self._recorded(mark, locator.arn.encode())
        return next((_key_use_of(locator, use) for use in uses if use.arn == locator.arn), None)

    def _recorded(self, mark: AuditMark, text: bytes) -> Iterator[RecordedUse]:
        return uses_in(self._tail.since(mark, text), self._operations)


def _key_use_of(locator: KeyLocator, use: RecordedUse) -> KeyUse:
    return KeyUse(locator, use.operation, use.used_at, use.event_id, use.request_id)
