"""The counters of the store and of leases. One thread writes them, or a lock is held; other threads may read them."""

from collections.abc import Callable, Mapping

import msgspec

from strongroom.histogram import Histogram
from strongroom.store.faults import FaultKind


class NodeMeasures(msgspec.Struct, frozen=True):
    """What is measured in a process that serves beside other nodes. Durations are in seconds."""

    lease_left: float
    """For how long the lease runs; 0 without one."""
    outdated_reads: int
    """How many reads were discarded: what answered was not the current primary."""
    settling: Histogram
    """How long commits took to settle."""
    waited_out: int
    """How many of them settled because a lease had ended, not because all nodes had acknowledged them."""
    unsettled: int
    """How many wait now."""
    settle_failures: int
    """How often the members could not be read."""
    connections_in_use: int
    connection_waits: Histogram
    """How long threads waited for a connection to the database."""


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
        self.measure_node: Callable[[], NodeMeasures | None] = lambda: None
        """Returns what is measured beside other nodes; None where there are none."""

    def count_fault(self, kind: FaultKind) -> None:
        """Count a fault. Call it under the store's lock."""
        self.faults = {**self.faults, kind: self.faults[kind] + 1}


class AgentCounters:
    """Counts of what the agent of a node does. Durations are in seconds."""

    def __init__(self) -> None:
        self.renewals: Mapping[str, int] = dict.fromkeys(("renewed", "removed", "waiting", "failed"), 0)
        """How attempts to renew the lease ended. It is replaced, never changed.

        ``removed``: others had gone on without this node. ``waiting``: another process may have its name.
        """
        self.renewal_duration = Histogram()
        """How long renewals took, with what they published."""
        self.published = 0
        """How many changes of the database were published on the page."""
        self.connections = 0
        self.joins = 0
        self.resets = 0
        """How often everything had to be forgotten."""
        self.members = 0
        """How many nodes there were at the last renewal."""
        self.faults: Mapping[FaultKind, int] = dict.fromkeys(FaultKind, 0)

    def note_renewal(self, outcome: str, duration: float | None = None) -> None:
        """Count an attempt to renew the lease."""
        self.renewals = {**self.renewals, outcome: self.renewals[outcome] + 1}
        if duration is not None:
            self.renewal_duration.note(duration)

    def note_published(self, before: int, after: int) -> None:
        """Count the changes between two numbers of the generation. Another history may have a lower one."""
        self.published += max(0, after - before)

    def count_fault(self, kind: FaultKind) -> None:
        """Count a fault of the database."""
        self.faults = {**self.faults, kind: self.faults[kind] + 1}
