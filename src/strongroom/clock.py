"""Clocks, which are passed as arguments. No other module reads the time, so tests control it with ManualClock."""

import time
from typing import Protocol

DAY = 86_400.0
"""Seconds in a day."""


class Clock(Protocol):
    """A source of wall-clock time and of a monotonic timer."""

    def now(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        ...

    def timer(self) -> float:
        """Return monotonic seconds from an arbitrary origin; the difference of two readings is a duration."""
        ...


class SystemClock:
    """The clock of the operating system."""

    # The functions themselves, without a wrapper: every call of the service reads both.
    now = staticmethod(time.time)  # noqa: TID251 - this module owns it
    timer = staticmethod(time.perf_counter)


class ManualClock:
    """A clock for tests: it moves only when ``advance`` is called."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        return self._now

    def timer(self) -> float:
        """Return the same as ``now``, so a duration is what the clock was advanced by."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward by some seconds."""
        self._now += seconds
