"""Clocks, which are passed as arguments. No other module reads the time, so tests control it with ManualClock."""

import time
from contextlib import suppress
from functools import cache
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

    def uptime(self) -> float:
        """Return seconds since the machine started, those included in which it was suspended. They cannot be set."""
        ...

    def boot(self) -> str:
        """Return the name of this start of the machine, under which values of ``uptime`` can be compared.

        It is the same for all processes until the machine starts again; empty if it is not known.
        """
        ...


class SystemClock:
    """The clock of the operating system."""

    # The functions themselves, without a wrapper: every call of the service reads both.
    now = staticmethod(time.time)  # noqa: TID251 - this module owns it
    timer = staticmethod(time.perf_counter)

    def uptime(self) -> float:
        """Return seconds since the machine started (clock_gettime(2), CLOCK_BOOTTIME)."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot(self) -> str:
        """Return the kernel's id of this start (random(4)), and by how much this container shifts the clocks."""
        return _boot()


@cache
def _boot() -> str:
    boot_id = _content("/proc/sys/kernel/random/boot_id")
    # Containers on one kernel may have clocks that are shifted (time_namespaces(7)).
    return boot_id and " ".join([boot_id, *_content("/proc/self/timens_offsets").split()])


def _content(path: str) -> str:
    """Return what is in a file of the kernel, without surrounding space; empty if there is no such file."""
    with suppress(OSError), open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib is not for the core
        return file.read().strip()
    return ""


class ManualClock:
    """A clock for tests: it moves only when it is told to."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._elapsed = now
        self._suspended = 0.0
        self._boots = 1

    def now(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        return self._now

    def timer(self) -> float:
        """Return seconds that differ by what the clock was advanced by."""
        return self._elapsed

    def uptime(self) -> float:
        """Return the same as ``timer``, and the seconds in which the machine was suspended."""
        return self._elapsed + self._suspended

    def boot(self) -> str:
        """Return the number of this start of the machine."""
        return f"boot {self._boots}"

    def advance(self, seconds: float) -> None:
        """Let some seconds pass."""
        self._now += seconds
        self._elapsed += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or, with fewer than none, back. No time passes."""
        self._now += seconds

    def suspend(self, seconds: float) -> None:
        """Let the machine be suspended for some seconds."""
        self._now += seconds
        self._suspended += seconds

    def restart(self, seconds: float = 0.0) -> None:
        """Let the machine be off for some seconds."""
        self._now += seconds
        self._elapsed = self._suspended = 0.0
        self._boots += 1
