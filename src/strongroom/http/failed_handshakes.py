"""TLS handshakes that fail: the client gets OpenSSL's alert, and the failure is counted and logged.

uvloop closes a connection as soon as OpenSSL reports an error. The alert, which says why, is then still in memory
(RFC 8446, 6.2: an endpoint should send one before it closes). The objects here say "go on" to uvloop instead. So it
sends the alert, and the connection ends when the client closes it, or when the time of its handshake is over.
"""

import logging
import ssl
import time
from enum import StrEnum

from typing_extensions import override

from strongroom.http.timeouts import TLS_HANDSHAKE_TIMEOUT

logger = logging.getLogger(__name__)

_QUIET = 60.0
"""Seconds between two warnings of the same reason."""
_TIMER_ERROR = 0.1
"""How much earlier than its time a timer of the event loop may end a handshake, in seconds."""


class Reason(StrEnum):
    """Why a handshake failed; the value is the label of the metric."""

    NO_CERTIFICATE = "no_certificate"
    """The client showed no certificate, and needs one."""
    BAD_CERTIFICATE = "bad_certificate"
    """The client's certificate is not of an allowed authority, has expired, or is otherwise not valid."""
    VERSION = "version"
    """The client speaks only versions of TLS that are refused."""
    PARAMETERS = "parameters"
    """Client and server have no suite, group or signature algorithm in common."""
    REFUSED_BY_CLIENT = "refused_by_client"
    """The client sent an alert: most often it does not trust the server's certificate."""
    NOT_TLS = "not_tls"
    """What the client sent is not TLS, such as a plain HTTP request."""
    CLOSED = "closed"
    """The client closed the connection before the handshake was over, as some health checks do."""
    TIMEOUT = "timeout"
    """The handshake was not over in time."""
    OTHER = "other"


_WORDS = {
    Reason.NO_CERTIFICATE: "the client showed no certificate, and `tls-client-ca` asks for one",
    Reason.BAD_CERTIFICATE: "the client's certificate is not accepted",
    Reason.VERSION: "the client offers no version of TLS that is allowed",
    Reason.PARAMETERS: "the client offers no suite, group or signature algorithm that is allowed",
    Reason.REFUSED_BY_CLIENT: "the client refused it; check that it trusts the certificate of the server",
    Reason.NOT_TLS: "what the client sent is not TLS",
    Reason.TIMEOUT: "it took too long",
    Reason.OTHER: "OpenSSL refused it",
}
"""What is logged. A connection that was closed is only counted: that is no fault."""

_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Reason.NO_CERTIFICATE,
    "CERTIFICATE_VERIFY_FAILED": Reason.BAD_CERTIFICATE,
    "UNSUPPORTED_PROTOCOL": Reason.VERSION,
    "UNKNOWN_PROTOCOL": Reason.VERSION,
    "VERSION_TOO_LOW": Reason.VERSION,
    "NO_SHARED_CIPHER": Reason.PARAMETERS,
    "NO_SHARED_GROUPS": Reason.PARAMETERS,
    "NO_SUITABLE_GROUPS": Reason.PARAMETERS,
    "NO_SUITABLE_KEY_SHARE": Reason.PARAMETERS,
    "NO_SHARED_SIGNATURE_ALGORITHMS": Reason.PARAMETERS,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": Reason.PARAMETERS,
    "HTTP_REQUEST": Reason.NOT_TLS,
    "HTTPS_PROXY_REQUEST": Reason.NOT_TLS,
    "WRONG_VERSION_NUMBER": Reason.NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": Reason.NOT_TLS,
    "BAD_RECORD_TYPE": Reason.NOT_TLS,
}
"""OpenSSL's reasons (openssl/sslerr.h). Alerts of a client have ALERT in their names."""


class FailedHandshakes:
    """Counts failed handshakes by reason, and logs each reason once a minute at most. Lives on the event loop."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(Reason, 0)
        self._logged: dict[Reason, tuple[float, int]] = {}

    def note(self, reason: Reason, detail: str = "") -> None:
        """Take note of one. ``detail`` is what OpenSSL says, which has nothing of what the client sent."""
        self.counts[reason] += 1
        if reason not in _WORDS:
            return
        now = time.monotonic()
        last, count = self._logged.get(reason, (-_QUIET, self.counts[reason] - 1))
        if now - last < _QUIET:
            return
        self._logged[reason] = now, self.counts[reason]
        unsaid = self.counts[reason] - count - 1
        said = f" (OpenSSL says: {detail})" if detail else ""
        more = f"; so did {unsaid} more since this was logged last" if unsaid else ""
        logger.warning("a TLS handshake failed: %s%s%s", _WORDS[reason], said, more)


class AlertingContext(ssl.SSLContext):
    """A context of a server. Handshakes that fail are told to ``failed``, and their clients get an alert."""

    failed: FailedHandshakes

    @override
    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, _Handshake):
            made.begin(incoming, outgoing, self.failed)
        return made


class _Handshake(ssl.SSLObject):
    """One connection's TLS. After the handshake it does what its base class does."""

    _failed: FailedHandshakes | None = None
    """Who is to be told of a failure; None when the handshake is over."""
    _is_doomed = False

    def begin(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, failed: FailedHandshakes) -> None:
        self._incoming, self._outgoing, self._failed = incoming, outgoing, failed
        self._begun = time.monotonic()

    @override
    def do_handshake(self) -> None:
        """Go on with the handshake; raises SSLWantReadError while it is not over, and while an alert is sent."""
        if self._is_doomed:
            # What the client sends after the failure is dropped, so that it takes no memory.
            self._incoming.read()
            raise ssl.SSLWantReadError
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._note(*_reason_of(error))
            if not self._outgoing.pending:
                raise
            self._is_doomed = True
            raise ssl.SSLWantReadError from None
        self._failed = None

    def _note(self, reason: Reason, detail: str = "") -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            failed.note(reason, detail)

    def __del__(self) -> None:
        # uvloop tells of no handshake that the client gave up. It frees its object.
        if self._failed is not None:
            had = time.monotonic() - self._begun
            self._note(Reason.CLOSED if had < TLS_HANDSHAKE_TIMEOUT - _TIMER_ERROR else Reason.TIMEOUT)


AlertingContext.sslobject_class = _Handshake


def _reason_of(error: ssl.SSLError) -> tuple[Reason, str]:
    """Return why a handshake failed, and OpenSSL's words for it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Reason.BAD_CERTIFICATE, error.verify_message
    said = error.reason or ""
    reason = Reason.REFUSED_BY_CLIENT if "ALERT" in said else _REASONS.get(said, Reason.OTHER)
    return reason, said.replace("_", " ").lower()
