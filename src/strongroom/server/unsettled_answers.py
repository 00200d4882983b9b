"""Holds what follows a write until no node serves what was before it. No thread waits for that."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from strongroom.store.unsettled import Unsettled

logger = logging.getLogger(__name__)

MOST_HELD = 8192
"""Calls whose writes are not settled. Beyond it, calls that would write are refused before they begin."""

Held = TypeVar("Held")


class UnsettledAnswers(Generic[Held]):
    """Calls ``go_on`` on the loop, in no order, with each thing that was held, once its writes are settled.

    A node that has vanished may hold all of them up for as long as its lease runs. Lives on the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, go_on: Callable[[Held], None]) -> None:
        self._wake: Callable[[Callable[[], None]], object] = loop.call_soon_threadsafe
        self._go_on = go_on
        self._settled: deque[Held] = deque()
        self._waking = False
        self._is_closed = False
        self.held = 0
        """How many are held."""

    @property
    def is_full(self) -> bool:
        """Whether no further call that writes may begin."""
        return self.held >= MOST_HELD

    def hold(self, unsettled: Unsettled, what: Held) -> None:
        """Hold something until its writes are settled."""
        self.held += 1
        unsettled.when_settled(partial(self._note, what))

    def close(self) -> None:
        """Forget what is held: the connections of those who wait for it are closed by now."""
        self._is_closed = True

    def _note(self, what: Held) -> None:
        """Wake the loop. Any thread calls this."""
        self._settled.append(what)
        if not self._waking and not self._is_closed:
            self._waking = True
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                self._wake(self._collect)

    def _collect(self) -> None:
        # First, as for the results of threads: what is added from here on wakes the loop again.
        self._waking = False
        settled = self._settled
        while settled and not self._is_closed:
            self.held -= 1
            self._go_on(settled.popleft())
