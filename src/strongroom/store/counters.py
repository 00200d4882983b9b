"""The counters of the store. The store writes them under a lock of its own; other threads may read them."""

from collections.abc import Mapping

from strongroom.histogram import Histogram
from strongroom.store.faults import FaultKind


class StoreCounters:
    """Counts of reads, writes and faults, and the present state of the files. Durations are in seconds.

    Those of writes include waiting for other writers.
    """

    def __init__(self) -> None:
        self.reads = 0
        self.transactions = Histogram()
        self.faults: Mapping[FaultKind, int] = dict.fromkeys(FaultKind, 0)
        """How often a read or write failed because of the database, by kind. It is replaced, never changed."""
        self.log_size = 0
        """The size of the write-ahead log in bytes, at the last round of maintenance."""
        self.erasure_waits = 0.0
        """How long erased key material has been in the write-ahead log because others read it; 0 if none has."""
        self.checks = {"whole": 0, "damaged": 0, "failed": 0}
        """How often the whole database was checked in the background, by what was found."""
        self.check_duration = 0.0
        self.quarantined = 0
        """How many records are quarantined now: they failed authentication, or cannot be read."""

    def count_fault(self, kind: FaultKind) -> None:
        """Count a fault. Call it under the store's lock."""
        self.faults = {**self.faults, kind: self.faults[kind] + 1}
