"""A clock that can be moved ahead of the machine's, and set back to it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from strongroom.clock import Clock


class MovableClock:
    """The clock of the machine, moved ahead. Durations (``timer``) are those of the machine.

    The uptime moves with the time, so to the rest of the service the time has passed. Setting the clock back is a new
    start of the machine to it: nothing else makes an uptime smaller.
    """

    def __init__(self, machine: Clock) -> None:
        self.machine = machine
        self.timer = machine.timer
        self.ahead = 0.0
        """By how many seconds it is ahead of the machine's clock."""
        self._held: tuple[float, float] | None = None
        """The time and the uptime at which it is held."""
        self._starts = 0

    def now(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        held = self._held
        return self.machine.now() + self.ahead if held is None else held[0]

    def uptime(self) -> float:
        """Return seconds since the machine started, as if the time had passed by which the clock is ahead."""
        held = self._held
        return self.machine.uptime() + self.ahead if held is None else held[1]

    def boot(self) -> str:
        """Return the name of this start of the machine; another one after the clock was set back."""
        return f"{self.machine.boot()} development {self._starts}"

    @contextmanager
    def held(self) -> Iterator[Callable[[float], None]]:
        """Hold the clock for a block, which gets what moves it ahead to a time. Then it goes on from there.

        What is done meanwhile is done at exactly one time, however long it takes.
        """
        start, uptime, ahead = self.now(), self.uptime(), self.ahead
        reached = start

        def move(to: float) -> None:
            nonlocal reached
            reached = max(reached, to)
            self._held = reached, uptime + reached - start

        move(start)
        try:
            yield move
        finally:
            self.ahead = ahead + reached - start
            self._held = None

    def set_back(self) -> None:
        """Set the clock back to the machine's."""
        self._starts += 1
        self.ahead = 0.0
