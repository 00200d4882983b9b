"""A histogram that costs a bisect and two additions a value: what the parts of the service count durations with."""

from bisect import bisect_left
from collections.abc import Sequence

DURATIONS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds in seconds: from a call that only computes to one that looks for primes."""


class Histogram:
    """Counts values by upper bounds. For one thread at a time; others may read, and see it a value behind."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = DURATIONS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many values were in each interval; the last has those above every bound."""
        self.total = 0.0
        """The sum of all values."""

    def note(self, value: float) -> None:
        """Count one value; one that equals a bound is below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
