"""A clock that can be moved ahead of the machine's, and set back to it."""

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
        self._starts = 0

    def now(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        return self.machine.now() + self.ahead

    def uptime(self) -> float:
        """Return seconds since the machine started, as if the time had passed by which the clock is ahead."""
        return self.machine.uptime() + self.ahead

    def boot(self) -> str:
        """Return the name of this start of the machine; another one after the clock was set back."""
        return f"{self.machine.boot()} development {self._starts}"

    def set_back(self) -> None:
        """Set the clock back to the machine's."""
        self._starts += 1
        self.ahead = 0.0
