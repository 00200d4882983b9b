"""A histogram of durations. Recording a value costs one bisection and two additions."""

from bisect import bisect_left
from collections.abc import Sequence

DURATIONS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds in seconds, from the fastest calls to RSA key generation."""


class Histogram:
    """Counts values by upper bounds.

    One thread at a time may write. Others may read meanwhile, and may miss the newest value.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = DURATIONS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """The number of values in each interval. The last interval has the values above every bound."""
        self.total = 0.0
        """The sum of all values."""

    def note(self, value: float) -> None:
        """Count one value. A value equal to a bound counts as below that bound."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
