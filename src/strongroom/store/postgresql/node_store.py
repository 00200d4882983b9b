"""The store of one process of a node, which is as consistent with other nodes as with processes beside it."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from sqlalchemy import Connection
from typing_extensions import override

from strongroom.entropy import Entropy
from strongroom.errors import DependencyTimeoutException
from strongroom.problems import Problems
from strongroom.store.counters import NodeMeasures
from strongroom.store.leases.generation import Generation
from strongroom.store.leases.view import LeaseEnded, OutdatedRead, View
from strongroom.store.postgresql.connection import StoreConnection
from strongroom.store.postgresql.engine import Database
from strongroom.store.postgresql.settled_store import SettledStore
from strongroom.store.postgresql.settler import Settler
from strongroom.store.records import Changes

T = TypeVar("T")


class PageReplaced(DependencyTimeoutException):
    """The agent writes another page than this process reads, so this process sees no lease."""

    code = DependencyTimeoutException.code
    status = DependencyTimeoutException.status

    def __init__(self) -> None:
        super().__init__("the file `generation` of the data folder was removed or replaced; restart the server")


class NodeStore(SettledStore):
    """A store whose node has an agent. ``view`` is of the agent's page, for one snapshot.

    ``version`` and ``changes`` look at the page instead of the database, and raise LeaseEnded without a lease. A read
    that was answered by a server with an older state, or with another history, is begun again on a new connection; if
    that is no better, it raises OutdatedRead.
    ``has_page`` tells whether the page is still the file in the data folder.
    """

    def __init__(
        self,
        database: Database,
        entropy: Entropy,
        view: View,
        settler: Settler,
        *,
        problems: Problems | None = None,
        has_page: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(database, entropy, settler, problems=problems)
        self._view = view
        self._has_page = has_page
        self.counters.measure_node = self._measure

    @override
    def version(self) -> bytes:
        """Return bytes that differ once a change was published; raises LeaseEnded."""
        return self._view.version()

    @override
    def require_answers(self) -> None:
        """Make sure that the node has a lease. The database need not answer now: what is cached may be used.

        Raises LeaseEnded, and PageReplaced if there will be none until this process is started again.
        """
        self.confirm()
        try:
            self._view.version()
        except LeaseEnded:
            if not self._has_page():
                raise PageReplaced from None
            raise

    def _measure(self) -> NodeMeasures:
        view, settler, database = self._view, self._settler, self._database
        return NodeMeasures(
            lease_left=view.lease_left,
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

    @override
    def _begin(
        self, stack: ExitStack, begin: Callable[[StoreConnection], tuple[Generation, T]]
    ) -> tuple[Connection, Generation, T]:
        try:
            return self._begin_current(stack, begin)
        except OutdatedRead:
            # Perhaps the agent has just found another history, or another primary.
            return self._begin_current(stack, begin)

    def _begin_current(
        self, stack: ExitStack, begin: Callable[[StoreConnection], tuple[Generation, T]]
    ) -> tuple[Connection, Generation, T]:
        with ExitStack() as trial:
            fill = self._view.begin_fill()
            connection, generation, found = super()._begin(trial, begin)
            if self._view.is_behind(generation):
                # Of what is new the nodes are told a moment later.
                self._settler.hasten()
            try:
                self._view.check_fill(fill, generation)
            except OutdatedRead:
                self._database.renew()
                connection.invalidate()
                raise
            stack.push(trial.pop_all())
            return connection, generation, found
