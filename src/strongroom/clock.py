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


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        return time.time()  # noqa: TID251 - this module owns it


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self._now += seconds
