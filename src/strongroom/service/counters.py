"""Counters of calls and of the keeper's work, which the metrics are made from.

Labels are operations and error codes, of which there are only so many, never what a caller sent.
"""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from threading import Lock
from typing import Any

from strongroom.histogram import Histogram
from strongroom.operations.lanes import Lane
from strongroom.operations.operation import Operation

SUCCESS = "success"
"""The outcome of a call that was not refused; the others are the codes of ``errors``."""


Noted = tuple[Operation | None, str, float]
_MANY = 512


class Calls:
    """The calls of one operation: how many ended in which way, and how long they took in seconds."""

    __slots__ = ("durations", "outcomes")

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.durations = Histogram()


class CallCounters:
    """Calls and connections. Noted on the event loop only; safe to read from other threads.

    A call is noted by one append, ``note((operation, outcome, seconds))``, the seconds since the whole of its request
    was there; ``note((None, "", seconds))`` is a flush of the audit log that succeeded. Notes are counted later, many
    at once: in the midst of a call, what counting needs would not be in the processor's caches.

    ``connections`` are those open now. ``in_work`` is how many requests each lane has now, by lane and kind of caller.
    """

    def __init__(self) -> None:
        self._noted: list[Noted] = []
        self.note = self._noted.append
        self._counting = Lock()
        self._calls: dict[Operation, Calls] = {}
        self._flushes = Histogram()
        self.refused_requests: dict[int, int] = {}
        """HTTP status → requests that were refused before it was known what they ask for."""
        self.refused_without_lease = 0
        """Requests that the node got no lease for in time."""
        self.accepted_connections = 0
        self.connections: Collection[object] = ()
        self.failed_handshakes: Mapping[str, int] = {}
        """Reason → TLS handshakes that failed."""
        self.in_work: Mapping[tuple[Lane, Any], int] = {}

    def answered_no_call(self, status: int) -> None:
        """Count an answer to what was no call: a health check, or a request that names no operation."""
        if status >= HTTPStatus.BAD_REQUEST:
            self.refused_requests[status] = self.refused_requests.get(status, 0) + 1

    def turned(self) -> None:
        """Count what has been noted, if it is much; for the end of a turn of the event loop."""
        # Not while another thread counts: calls do not wait for that.
        if len(self._noted) >= _MANY and self._counting.acquire(blocking=False):
            try:
                self._count()
            finally:
                self._counting.release()

    def read(self) -> tuple[dict[Operation, Calls], Histogram]:
        """Return the calls by operation, and the flushes of the audit log that calls waited for."""
        with self._counting:
            self._count()
            return self._calls.copy(), self._flushes

    def _count(self) -> None:
        noted = self._noted[:]
        known, note_flush = self._calls, self._flushes.note
        for operation, outcome, seconds in noted:
            if operation is None:
                note_flush(seconds)
                continue
            calls = known.get(operation)
            if calls is None:
                calls = known[operation] = Calls()
            outcomes = calls.outcomes
            outcomes[outcome] = outcomes[outcome] + 1 if outcome in outcomes else 1
            calls.durations.note(seconds)
        # The loop may have added to the list, never taken from it.
        del self._noted[: len(noted)]


class KeeperCounters:
    """What the keeper did. Written on its thread only. Times in epoch seconds, durations in seconds."""

    def __init__(self) -> None:
        self.rounds = 0
        self.failures = 0
        self.last_end = 0.0
        self.last_duration = 0.0
        self.clock_difference = 0.0
        """How far the wall clock was ahead of the trusted time in the last round."""
        self.database_clock_difference = 0.0
        """How far the wall clock was ahead of the database's in the last round; 0 if the database has none."""
        self.destroyed = 0
        """How many destructions were done that had been left."""
        self.destructions_left = 0
        self.destructions_since = 0.0
        """When the oldest of those that are left was begun; 0 if none was."""
        self.healthy_proxies: dict[str, bool] = {}
        """Id of each connected external key store → whether its proxy was healthy when it was asked last."""
        self.keys = {"rotated": 0, "expired": 0, "deleted": 0, "repaired": 0}
