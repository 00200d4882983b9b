"""Requests that wait for the next turn of the event loop."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from strongroom.http.connection import Connection
from strongroom.http.message import HttpRequest

logger = logging.getLogger(__name__)

_MAX_PER_TURN = 128
_MAX_QUEUED = 4096
"""Requests that may wait for their turn: what is done in about a tenth of a second."""

Arrived = tuple[Connection, HttpRequest]


class TurnQueue:
    """Collects the requests that arrive in one turn of the loop, and has ``work`` take them together in the next.

    ``shed`` refuses a request that finds the queue full. Should ``work`` raise, which is a defect, the connections of
    its requests are dropped, and ``after_failure`` is called.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[Sequence[Arrived]], None],
        shed: Callable[[Connection, str, str, dict[str, str]], None],
        after_failure: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._work = work
        self._shed = shed
        self._after_failure = after_failure
        self._queued: deque[Arrived] = deque()

    def put(self, connection: Connection, request: HttpRequest, /) -> None:
        """Queue a request for the next turn."""
        if len(self._queued) >= _MAX_QUEUED:
            self._shed(connection, request.method, request.path, request.headers)
            return
        if not self._queued:
            self._loop.call_soon(self._turn)
        self._queued.append((connection, request))

    def _turn(self) -> None:
        """Work on queued requests: a limited number, so that connections are read and answered in between."""
        arrived = [self._queued.popleft() for _ in range(min(len(self._queued), _MAX_PER_TURN))]
        if self._queued:
            self._loop.call_soon(self._turn)
        try:
            self._work(arrived)
        except Exception:
            logger.exception("requests could not be worked on; dropping their connections: %d", len(arrived))
            # Their clients would wait for replies that never come. What was done is recorded all the same.
            for connection, _ in arrived:
                connection.drop()
            self._after_failure()
