"""The store of one process of a node, which is as consistent with other nodes as with processes beside it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from sqlalchemy import Connection
from typing_extensions import override

from strongroom.entropy import Entropy
from strongroom.problems import Problems
from strongroom.store.counters import NodeMeasures
from strongroom.store.leases.generation import Generation
from strongroom.store.leases.unsettled import Unsettled
from strongroom.store.leases.view import OutdatedRead, View
from strongroom.store.postgresql.engine import Database
from strongroom.store.postgresql.settler import Settler
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.postgresql.transaction import PostgresqlTransaction
from strongroom.store.records import Changes
from strongroom.store.scopes import Scope

T = TypeVar("T")


class NodeStore(PostgresqlStore):
    """A store whose node has an agent. ``view`` is of the agent's page, for one snapshot.

    ``version`` and ``changes`` look at the page instead of the database, and raise LeaseEnded without a lease. A read
    that was answered by a server with an older state, or with another history, raises OutdatedRead, and its connection
    is closed.

    A write returns when it is settled on all nodes; in ``deferred``, before that. A write of things that are all new
    has no need to settle: no node has anything in its caches that would be wrong.
    """

    def __init__(
        self, database: Database, entropy: Entropy, view: View, settler: Settler, *, problems: Problems | None = None
    ) -> None:
        super().__init__(database, entropy, problems=problems)
        self.settling = self
        self._view = view
        self._settler = settler
        self._settled = 0
        self._of_thread = threading.local()
        self.counters.measure_node = self._measure

    @override
    def version(self) -> bytes:
        """Return bytes that differ once a change was published; raises LeaseEnded."""
        return self._view.version()

    @override
    def require_answers(self) -> None:
        """Make sure that the node has a lease. The database need not answer now: what is cached may be used."""
        self.confirm()
        self._view.version()

    def _measure(self) -> NodeMeasures:
        view, settler, database = self._view, self._settler, self._database
        return NodeMeasures(
            lease_left=view.lease_left,
            missing=view.missing,
            outdated_reads=view.outdated_reads,
            settling=settler.durations,
            waited_out=settler.waited_out,
            unsettled=settler.unsettled,
            settle_failures=settler.failures,
            connections_in_use=database.in_use,
            connection_waits=database.waits,
        )

    @override
    def changes(self, after: int) -> Changes:
        """Return what was published after a sequence number."""
        return self._view.changes(after)

    @contextmanager
    def deferred(self) -> Iterator[Unsettled]:
        """Have the writes of this thread return when they are durable; see ``Settling``."""
        unsettled = Unsettled()
        self._of_thread.unsettled = unsettled
        try:
            yield unsettled
        finally:
            self._of_thread.unsettled = None

    @override
    def write(self, act: Callable[[PostgresqlTransaction], T], *scopes: Scope) -> T:
        """Run a write as every store does; return when no node serves what was before it."""
        has_to_settle = False

        def noted(transaction: PostgresqlTransaction) -> T:
            nonlocal has_to_settle
            # Those of the other writes of its group are there, too.
            before = transaction.changes.contradicting, len(transaction.changes.entries)
            result = act(transaction)
            after = transaction.changes.contradicting, len(transaction.changes.entries)
            # What changes nothing rests on what others have committed, which may have to settle.
            has_to_settle = has_to_settle or after[0] > before[0] or after == before
            return result

        result = super().write(noted, *scopes)
        if has_to_settle:
            self._settle()
        else:
            self._settler.announce()
        return result

    def _settle(self) -> None:
        """Settle the commit of this write, or one of another thread that was committed since."""
        newest = self._newest.change
        if newest <= self._settled:
            return
        unsettled: Unsettled | None = getattr(self._of_thread, "unsettled", None)
        if unsettled is None:
            self._settler.settle(newest)
            self._settled = max(self._settled, newest)
            return
        unsettled.add()

        def settled() -> None:
            self._settled = max(self._settled, newest)
            unsettled.settled()

        self._settler.when_settled(newest, settled)

    @override
    def _begin_read(self, stack: ExitStack) -> tuple[Connection, Generation]:
        try:
            return self._begin_current_read(stack)
        except OutdatedRead:
            # Perhaps the agent has just found another history, or another primary. There is a new connection now.
            return self._begin_current_read(stack)

    def _begin_current_read(self, stack: ExitStack) -> tuple[Connection, Generation]:
        with ExitStack() as trial:
            fill = self._view.begin_fill()
            connection, generation = super()._begin_read(trial)
            try:
                self._view.check_fill(fill, generation)
            except OutdatedRead:
                self._database.renew()
                connection.invalidate()
                raise
            stack.push(trial.pop_all())
            return connection, generation
