"""The store of one process of a node, which is as consistent with other nodes as with processes beside it."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from sqlalchemy import Connection
from typing_extensions import override

from strongroom.entropy import Entropy
from strongroom.problems import Problems
from strongroom.store.leases.generation import Generation
from strongroom.store.leases.view import OutdatedRead, View
from strongroom.store.postgresql.engine import Database
from strongroom.store.postgresql.settler import Settler
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.records import Changes
from strongroom.store.scopes import Scope
from strongroom.store.sql.transaction import SqlTransaction

T = TypeVar("T")


class NodeStore(PostgresqlStore):
    """A store whose node has an agent. ``view`` is of the agent's page, for one snapshot.

    ``version`` and ``changes`` look at the page instead of the database, and raise LeaseEnded without a lease. A read
    that was answered by a server with an older state, or with another history, raises OutdatedRead, and its connection
    is closed. A write returns when it is settled on all nodes.
    """

    def __init__(
        self, database: Database, entropy: Entropy, view: View, settler: Settler, *, problems: Problems | None = None
    ) -> None:
        super().__init__(database, entropy, problems=problems)
        self._view = view
        self._settler = settler
        self._settled = 0

    @override
    def version(self) -> bytes:
        """Return bytes that differ once a change was published; raises LeaseEnded."""
        return self._view.version()

    @override
    def changes(self, after: int) -> Changes:
        """Return what was published after a sequence number."""
        return self._view.changes(after)

    @override
    def write(self, act: Callable[[SqlTransaction], T], *scopes: Scope) -> T:
        """Run a write as every store does; return when no node serves what was before it."""
        result = super().write(act, *scopes)
        # Of this write, or of one of another thread that has committed since.
        newest = self._newest.change
        if newest > self._settled:
            self._settler.settle(newest)
            self._settled = max(self._settled, newest)
        return result

    @override
    def _begin_read(self, stack: ExitStack) -> tuple[Connection, Generation]:
        fill = self._view.begin_fill()
        connection, generation = super()._begin_read(stack)
        try:
            self._view.check_fill(fill, generation)
        except OutdatedRead:
            self._database.renew()
            connection.invalidate()
            raise
        return connection, generation
