"""Audit records of unauthenticated requests: those whose signature does not verify, and refused ones without any.

Anybody who reaches the port can send such requests. A rate limit bounds how many of them are recorded: enough to see an
attack, too few to fill a disk.
"""

import logging
from threading import Lock

from strongroom.errors import KmsError
from strongroom.operations.context import Origin
from strongroom.operations.operation import Operation
from strongroom.service.audit_trail import AuditTrail
from strongroom.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

_BURST = 1000.0
_PER_SECOND = 20.0


class RecordRateLimit:
    """Lets a thousand records through at once, and twenty more each second. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._bucket = TokenBucket(_PER_SECOND, _BURST, now=0.0)
        self._dropped = 0

    def take(self, now: float) -> bool:
        """Return whether one more record may be made at a time (epoch seconds)."""
        with self._lock:
            self._report_after_burst(now)
            if self._bucket.take(now):
                return True
            if not self._dropped:
                logger.warning("unauthenticated requests come too fast for each to be recorded")
            self._dropped += 1
            return False

    def settle(self, now: float) -> None:
        """Log how many requests were not recorded, once half of the burst is available again."""
        with self._lock:
            self._report_after_burst(now)

    def report(self) -> None:
        """Log how many requests were not recorded since the last report, if there are any."""
        with self._lock:
            self._report()

    def _report_after_burst(self, now: float) -> None:
        if self._bucket.level(now) > _BURST / 2:
            self._report()

    def _report(self) -> None:
        if self._dropped:
            logger.warning("%d refused unauthenticated requests have no audit record", self._dropped)
            self._dropped = 0


class UnauthenticatedRequests:
    """Records refused requests of callers who have not proved who they are, as far as ``limit`` lets it."""

    def __init__(self, trail: AuditTrail, limit: RecordRateLimit) -> None:
        self._trail = trail
        self.limit = limit

    def refused(self, operation: Operation, origin: Origin, error: KmsError, now: float) -> None:
        """Record a request whose signature did not verify. ``now`` in epoch seconds."""
        if self.limit.take(now):
            self._trail.unverified(operation, origin, error, now)
