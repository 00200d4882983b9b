"""The counters of the store. The store writes them under a lock of its own; other threads may read them."""

from strongroom.histogram import Histogram


class StoreCounters:
    """Counts of writes and failures. Durations are in seconds and include waiting for other writers."""

    def __init__(self) -> None:
        self.reads = 0
        self.transactions = Histogram()
        self.failures = 0
        """How often a read or write failed for a reason that clients can retry: no answer in time, a conflict."""
        self.quarantined = 0
        """How many records are quarantined now: they failed authentication, or cannot be read."""
