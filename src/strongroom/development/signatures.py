"""Verifies signatures by two clocks, because the clocks of clients do not follow one that was moved."""

from typing_extensions import override

from strongroom.api.sigv4 import FindCredential, Verifier
from strongroom.clock import Clock
from strongroom.errors import InvalidSignatureException


class TwoClockVerifier(Verifier):
    """Accepts a signature whose date is right by the clock of the machine, or by the server's own clock.

    The AWS SDK for JavaScript corrects its clock by the Date header of answers, and so follows the server. Sessions end
    by the server's own clock alone.
    """

    def __init__(self, credential: FindCredential, regions: frozenset[str], skew: float, machine: Clock) -> None:
        super().__init__(credential, regions, skew)
        self._machine = machine

    @override
    def _require_fresh(self, timestamp: str, now: float, max_age: float) -> None:
        try:
            super()._require_fresh(timestamp, self._machine.now(), max_age)
        except InvalidSignatureException:
            super()._require_fresh(timestamp, now, max_age)
