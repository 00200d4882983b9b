"""The store of a process whose writes are known to every node when they are answered.

As it is, it is that of a process that keeps nothing of what it reads, such as a command.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from typing_extensions import override

from strongroom.entropy import Entropy
from strongroom.errors import KmsError
from strongroom.problems import Problems
from strongroom.store.leases.generation import NO_GENERATION, Generation
from strongroom.store.postgresql.change_log import CollectedChanges
from strongroom.store.postgresql.engine import Database
from strongroom.store.postgresql.settler import Settler
from strongroom.store.postgresql.store import TIME_LIMIT, PostgresqlStore
from strongroom.store.postgresql.transaction import PostgresqlTransaction
from strongroom.store.scopes import Scope
from strongroom.store.unsettled import Unsettled

T = TypeVar("T")


class _OfThread(threading.local):
    unsettled: Unsettled | None = None
    """What the writes of this thread are added to, in ``deferred``."""


class SettledStore(PostgresqlStore):
    """A store in which a write returns when no node serves what was before it; in ``deferred``, before that.

    A write of things that are all new has no need to settle: no node has cached anything that would be wrong.
    """

    def __init__(
        self,
        database: Database,
        entropy: Entropy,
        settler: Settler,
        *,
        time_limit: float = TIME_LIMIT,
        problems: Problems | None = None,
    ) -> None:
        super().__init__(database, entropy, time_limit=time_limit, problems=problems)
        self.settling = self
        self._settler = settler
        self._settled = NO_GENERATION
        self._of_thread = _OfThread()

    @contextmanager
    def deferred(self) -> Iterator[Unsettled]:
        """Have the writes of this thread return when they are durable; see ``Settling``."""
        unsettled = Unsettled()
        before, self._of_thread.unsettled = self._of_thread.unsettled, unsettled
        try:
            yield unsettled
        finally:
            self._of_thread.unsettled = before

    @override
    def write(self, act: Callable[[PostgresqlTransaction], T], *scopes: Scope) -> T:
        """Run a write as every store does; return, or raise what it refuses, when no node serves what was before it.

        Raises NotSettled if that is not waited for any more, and ChangeLost if the database does not know the change.
        """
        has_to_settle = False
        changes = CollectedChanges()

        def noted(transaction: PostgresqlTransaction) -> T:
            nonlocal has_to_settle, changes
            changes = transaction.changes
            # Those of the other writes of its group are there, too.
            before = changes.contradicting, len(changes.entries)
            result = act(transaction)
            after = changes.contradicting, len(changes.entries)
            # What changes nothing rests on what others have committed, which may have to settle.
            has_to_settle = has_to_settle or after[0] > before[0] or after == before
            return result

        try:
            result = super().write(noted, *scopes)
        except KmsError:
            # Of a refusal. It may rest on what others have committed, as something that changes nothing does.
            if changes.committed != NO_GENERATION:
                self._settle(changes.committed)
            raise
        if has_to_settle:
            self._settle(changes.committed)
        else:
            self._settler.announce()
        return result

    @override
    def hurry(self, limit: float) -> None:
        """Give reads and writes ``limit`` seconds from now on; nothing waits longer than that for other nodes."""
        super().hurry(limit)
        self._settler.hurry(limit)

    @override
    def try_write(self) -> None:
        """Commit a receipt that belongs to nothing; no node has to know of it. Raises KmsError."""
        with self.deferred():
            super().try_write()

    def _settle(self, committed: Generation) -> None:
        """Settle this commit, unless it was the last that was settled.

        One with the same number or a lower one may be of a database after a failover or restore that has lost some: it
        has to settle.
        """
        if committed == self._settled:
            return
        unsettled = self._of_thread.unsettled
        if unsettled is None:
            self._settler.settle(committed.number)
            self._settled = committed
            return
        unsettled.add()

        def settled() -> None:
            self._settled = committed
            unsettled.settled()

        # From now on, and not when the call has ended: other nodes are told at once, and so is this one.
        self._settler.when_settled(committed.number, settled, unsettled.lost)
