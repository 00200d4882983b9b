"""The open connections of a worker: their number is bounded, slow ones are dropped, and a stop drains them."""

import asyncio
from collections.abc import Callable

from strongroom.http.connection import Connection, Handler
from strongroom.http.excess_connections import MOST_TURNED_AWAY, ExcessConnections, Refuse
from strongroom.http.held_bytes import HeldBytes
from strongroom.http.message import HttpRequest
from strongroom.http.tls_handshakes import Handshakes
from strongroom.service.counters import CallCounters

_SWEEP_INTERVAL = 1.0
_DRAIN_STEP = 0.01
_HANG = 1.0
"""If a timer is later than this, in seconds, the loop did not run meanwhile, and what clients have sent is not read.

The process was stopped (SIGSTOP), its machine suspended or moved, or its disk is slow.
"""


class OpenConnections:
    """Handles connections: notes those that open and close, and passes on what they receive. Lives on the event loop.

    ``handle`` takes a whole request, ``malformed`` what is none, and ``refuse`` the one request of a connection beyond
    ``limit``. ``each_sweep`` is called at every sweep. ``held`` is how many bytes clients may make the worker hold.
    """

    def __init__(  # noqa: PLR0913 - what connections need
        self,
        loop: asyncio.AbstractEventLoop,
        timer: Callable[[], float],
        counters: CallCounters,
        *,
        limit: int,
        held: int,
        handle: Callable[[Connection, HttpRequest], None],
        malformed: Callable[[Connection, int, dict[str, str]], None],
        refuse: Refuse,
        each_sweep: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._limit = limit
        self._each_sweep = each_sweep
        self.time = loop.time
        self.timer = timer
        self.handle = handle
        self.malformed = malformed
        self.open: set[Connection] = set()
        self._counters = counters
        counters.connections = self.open
        self.held_bytes = HeldBytes(held)
        self._excess = ExcessConnections(self, refuse)
        self.handshakes = Handshakes(limit + MOST_TURNED_AWAY, self._count)
        self._swept_at = loop.time()
        self._sweep()

    # --- what connections call

    def opened(self, connection: Connection, /) -> Handler:
        """Note a new connection, or have it refused."""
        self.handshakes.over(connection)
        if len(self.open) >= self._limit:
            return self._excess.opened(connection)
        self.open.add(connection)
        self._counters.accepted_connections += 1
        return self

    def closed(self, connection: Connection, /) -> None:
        """Forget a connection."""
        self.open.discard(connection)

    # --- housekeeping

    def _sweep(self) -> None:
        """Drop connections whose clients were too slow (``http/timeouts.py``), by the time in which the loop ran.

        After a hang, timers may come before sockets. By the clock alone, a client that was in time would be dropped
        before its bytes are read.
        """
        self._each_sweep()
        now = self._loop.time()
        late = now - self._swept_at - _SWEEP_INTERVAL
        if late > _HANG:
            for connection in self._all():
                connection.postpone(late)
        self._swept_at = now
        for connection in [each for each in self._all() if each.deadline < now]:
            connection.drop()
        self._sweeper = self._loop.call_later(_SWEEP_INTERVAL, self._sweep)

    async def drain(self, grace: float) -> None:
        """Let requests in work be answered, and close every connection; after ``grace`` seconds, drop the rest.

        Time in which the loop did not run does not count.
        """
        for connection in self._all():
            connection.finish()
        left = grace
        # An event would cost every call.
        while self.open and left > 0:
            began = self._loop.time()
            await asyncio.sleep(_DRAIN_STEP)
            left -= min(self._loop.time() - began, _HANG)
        for connection in self._all():
            connection.drop()
        self._sweeper.cancel()

    def _count(self) -> int:
        return len(self.open) + len(self._excess.connections)

    def _all(self) -> list[Connection]:
        return [*self.open, *self._excess.connections]
