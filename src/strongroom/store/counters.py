"""What the store did, in numbers. Written under its own lock; other threads may read."""

from strongroom.histogram import Histogram


class StoreCounters:
    """Durations in seconds, waiting for other writers included."""

    def __init__(self) -> None:
        self.reads = 0
        self.transactions = Histogram()
        self.failures = 0
        """How often the database did not answer in time, or could not write."""
