"""Holds requests that arrive while the node has no lease. They wait a moment for one, and no thread waits with them."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from strongroom.server.turn_queue import Arrived

logger = logging.getLogger(__name__)

INTERVAL = 0.01
"""Between two looks for a lease, seconds."""
MOST_WAITING = 4096
"""Requests that may wait. Beyond it, they are refused."""
_AT_ONCE = 128
"""How many go on in one turn of the loop."""


class LeaseWait:
    """Holds requests until ``has_lease`` returns True, or for some seconds after they were received.

    ``longest`` returns how many that are, for each when it arrives. ``go_on`` takes those that go on, as a turn of the
    loop; those that have waited for too long are handed to ``give_up``. ``timer`` counts seconds, as the requests have
    them. Lives on the event loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        has_lease: Callable[[], bool],
        go_on: Callable[[Sequence[Arrived]], None],
        give_up: Callable[[Sequence[Arrived]], None],
        *,
        longest: Callable[[], float],
        timer: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._has_lease = has_lease
        self._go_on = go_on
        self._give_up = give_up
        self._longest = longest
        self._timer = timer
        self._waiting: deque[tuple[float, Arrived]] = deque()
        """With the time until which each waits, those that were received first at the front."""
        self._look_again: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def put(self, arrived: Arrived) -> bool:
        """Have a request wait; return False if it may not: too many do, or it was received too long ago."""
        until = arrived[1].received_at + self._longest()
        if len(self._waiting) >= MOST_WAITING or until <= self._timer():
            return False
        self._waiting.append((until, arrived))
        if self._look_again is None:
            self._look_again = self._loop.call_later(INTERVAL, self._look)
        return True

    def close(self) -> None:
        """Forget all: the connections of those who wait are closed by now."""
        self._waiting.clear()
        if self._look_again is not None:
            self._look_again.cancel()

    def _look(self) -> None:
        going: list[Arrived] = []
        self._look_again = None
        try:
            ready, now = self._has_lease(), self._timer()
            while self._waiting and len(going) < _AT_ONCE and (ready or self._waiting[0][0] <= now):
                going.append(self._waiting.popleft()[1])
            (self._go_on if ready else self._give_up)(going)
        except Exception:
            logger.exception("requests that waited for a lease failed; dropping their connections: %d", len(going))
            # Their clients would wait for replies that never come.
            for connection, _ in going:
                connection.drop()
        # If it is set, a request was put back meanwhile.
        if self._waiting and self._look_again is None:
            pause = 0.0 if len(going) == _AT_ONCE else INTERVAL
            self._look_again = self._loop.call_later(pause, self._look)
