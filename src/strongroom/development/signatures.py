"""Verifies signatures by two clocks, because the clocks of clients do not follow one that was moved."""

from typing_extensions import override

from strongroom.api.sigv4 import Claim, FindCredential, Verified, Verifier
from strongroom.clock import Clock
from strongroom.errors import ExpiredSessionException, InvalidSignatureException
from strongroom.http.message import HttpRequest


class TwoClockVerifier(Verifier):
    """Accepts a signature whose date is right by the clock of the machine, or by the server's own clock.

    The AWS SDK for JavaScript corrects its clock by the Date header of answers, and so follows the server. Sessions end
    by the server's own clock alone.
    """

    def __init__(self, credential: FindCredential, regions: frozenset[str], skew: float, machine: Clock) -> None:
        super().__init__(credential, regions, skew)
        self._machine = machine

    @override
    def verify_claim(
        self, claim: Claim, request: HttpRequest, service: str, now: float, *, max_age: float, may_wait: bool
    ) -> tuple[Verified, bytes]:
        try:
            verified, canonical = super().verify_claim(
                claim, request, service, self._machine.now(), max_age=max_age, may_wait=may_wait
            )
        except InvalidSignatureException:
            return super().verify_claim(claim, request, service, now, max_age=max_age, may_wait=may_wait)
        expires = verified.credential.expires_at
        if expires is not None and expires <= now:
            raise ExpiredSessionException("The security token included in the request is expired")
        return verified, canonical
