"""The counters of the store. They are written under the store's lock; other threads may read them."""

from strongroom.histogram import Histogram


class StoreCounters:
    """Counts of writes and failures. Durations are in seconds and include waiting for other writers."""

    def __init__(self) -> None:
        self.reads = 0
        self.transactions = Histogram()
        self.failures = 0
        """The number of times that the database did not answer in time, or could not write."""
