"""Time as an argument: the service reads it here and nowhere else, so that tests can hold it."""

import time
from typing import Protocol

DAY = 86_400.0
"""Seconds in a day."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        ...

    def timer(self) -> float:
        """Return seconds since some moment, which nobody sets back: two of them tell how long something took."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        return time.time()  # noqa: TID251 - this module owns it

    # As it is, because every call asks for it.
    timer = staticmethod(time.perf_counter)


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        return self._now

    def timer(self) -> float:
        """Return the same: durations are what the clock was moved by."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self._now += seconds
