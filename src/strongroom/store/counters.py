"""What the store and the audit log did, in numbers. Written under their own locks; others may read."""

from strongroom.histogram import Histogram


class StoreCounters:
    """Durations in seconds, waiting for other writers included."""

    def __init__(self) -> None:
        self.reads = 0
        self.transactions = Histogram()
        self.failures = 0
        """How often the database did not answer in time, or could not write."""


class AuditLogCounters:
    """Times in epoch seconds."""

    def __init__(self) -> None:
        self.failures = 0
        self.lost = 0
        self.segment_begun = 0.0
        self.last_checkpoint = 0.0
