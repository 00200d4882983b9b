"""The agent of a data folder's node, where the database is one that nodes share.

It runs on a thread. The process can so tell whether it goes on, however long the database takes to answer.
"""

import logging
import threading
from collections.abc import Callable

from strongroom import __version__
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.node_id import NodeId
from strongroom.problems import AGENT, Problems, Subject
from strongroom.settings import Settings
from strongroom.store.counters import AgentCounters
from strongroom.store.leases.membership import Membership
from strongroom.store.leases.page import PageFile, PageWriter
from strongroom.store.leases.requests import About
from strongroom.store.postgresql.agent import NOT_ENDED, Agent
from strongroom.store.postgresql.member_connection import MemberConnection

logger = logging.getLogger(__name__)

_STUCK = 60.0
"""After so many seconds within one step, beyond a lease, the agent hangs: each of its waits has a limit."""


class NodeAgent:
    """Keeps the lease of a node from ``start`` to ``stop``. Its problems are in the data folder."""

    def __init__(
        self,
        settings: Settings,
        node: NodeId,
        connect: Callable[[float], MemberConnection],
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """Take over the page of the node. ``connect`` makes a connection whose statements may take so many seconds.

        Raises DataFolderError if another agent has the page, and OSError if it cannot be written.
        """
        folder = DataFolder(settings.folder)
        self._page = folder.generation
        try:
            self._file = PageFile(folder.generation, clock.boot(), writing=True)
        except BlockingIOError:
            raise DataFolderError(f"`{folder.generation}` is locked by another agent of this node; end it") from None
        self.problems = Problems(folder.problems, AGENT)
        self._clock = clock
        self._lease = settings.lease
        about = About(__version__, settings.listen, ",".join(settings.regions), settings.workers)
        page = PageWriter(self._file.memory, self._file.place)
        self._agent = Agent(
            Membership(node, settings.lease, page, clock, entropy, about),
            # A statement that takes longer cannot extend the lease in time.
            lambda: connect(self._lease / 2),
            clock,
            settings.lease,
            poll=settings.store_poll,
            problems=self.problems,
        )
        # A daemon, because a database that does not answer must not keep the process from ending.
        self._thread = threading.Thread(target=self._agent.run, name="agent", daemon=True)

    @property
    def counters(self) -> AgentCounters:
        """What it has done so far."""
        return self._agent.counters

    def start(self) -> None:
        """Begin to join the other nodes. What goes wrong is tried again, and logged."""
        self._thread.start()

    def look(self) -> None:
        """Report a page that was removed or replaced: workers that start from now on would never see a lease."""
        if not self._file.is_in_place():
            self.problems.report(
                Subject.STORE, f"`{self._page}` was removed or replaced while the server runs; restart the server"
            )

    def goes_on(self) -> bool:
        """Tell whether it has neither ended nor been at one step for much longer than any may take."""
        since = self._clock.timer() - self._agent.progressed_at
        return self._thread.is_alive() and since < _STUCK + self._lease

    def renew(self, settings: Settings) -> None:
        """Take on what can be changed of settings that were read anew: the length of leases."""
        self._lease = settings.lease
        self._agent.change_lease(settings.lease)

    def stop(self, patience: float) -> None:
        """End the lease, and have others wait for this node no longer; wait for the database, some seconds at most."""
        self._agent.stop()
        self._thread.join(patience)
        if self._thread.is_alive():
            logger.warning(NOT_ENDED)
        self.problems.close()
