"""From an HTTP request to a verified call, or to the answer that says why not. Knows HTTP and AWS JSON, not sockets."""

import logging

from strongroom.api.message import HttpRequest, Reply
from strongroom.api.sigv4 import Verifier
from strongroom.clock import Clock
from strongroom.entropy import Entropy, UuidBatch
from strongroom.errors import KmsError, KMSInternalException, UnknownOperationException
from strongroom.operations.operation import Operation
from strongroom.operations.table import TABLE
from strongroom.service.call import Call, Origin, Outcome
from strongroom.service.service import Service, error_body

logger = logging.getLogger(__name__)

AWS_JSON = "application/x-amz-json-1.1"
_TARGET_PREFIX = "TrentService"
_NOT_FOUND = b"<UnknownOperationException/>\n"
_MAX_USER_AGENT = 1024


class Gateway:
    """Admits requests to the service."""

    def __init__(self, service: Service, verifier: Verifier, clock: Clock, entropy: Entropy) -> None:
        self._service = service
        self._verifier = verifier
        self._clock = clock
        self.request_id = UuidBatch(entropy)
        self.draining = False

    def admit(self, request: HttpRequest) -> Call | Reply:
        """Return the call a request makes, its signature verified, or the reply that ends it here.

        The order is that of AWS's front end: method and content type, then the action, then the signature.
        """
        request_id = self.request_id()
        if request.method == "GET" and request.path in _HEALTH_PATHS:
            return self._health(request.path, request_id)
        if request.method != "POST" or request.path != "/" or request.headers.get("content-type") != AWS_JSON:
            return Reply(404, _NOT_FOUND, "application/xml", request_id)
        prefix, _, name = request.headers.get("x-amz-target", "").partition(".")
        operation = TABLE.get(name) if prefix == _TARGET_PREFIX else None
        if operation is None:
            return error_reply(UnknownOperationException(None), request_id)
        return self._verify(request, operation, request_id)

    def _verify(self, request: HttpRequest, operation: Operation, request_id: str) -> Call | Reply:
        now = self._clock.now()
        origin = Origin(
            request_id=request_id,
            source_ip=request.peer,
            user_agent=request.headers.get("user-agent", "")[:_MAX_USER_AGENT],
            secure=request.secure,
        )
        try:
            verified = self._verifier.verify(request, now)
        except KmsError as error:
            refusal = error
        except Exception:
            logger.exception("request %s failed before its signature was verified", request_id)
            refusal = KMSInternalException()
        else:
            return Call(operation, verified.credential, verified.region, request.body, origin, now)
        self._service.unverified(operation, origin, refusal, now)
        return error_reply(refusal, request_id, recorded=True)

    def _health(self, path: str, request_id: str) -> Reply:
        """Answer a health check: alive as long as this runs; ready while it takes calls and the store answers."""
        ready = path == "/healthz" or (not self.draining and self._service.ready())
        status, text = (200, b"ok\n") if ready else (503, b"not ready\n")
        return Reply(status, text, "text/plain", request_id)


_HEALTH_PATHS = frozenset({"/healthz", "/readyz"})


def outcome_reply(call: Call, outcome: Outcome) -> Reply:
    """Return the reply that carries an outcome."""
    return Reply(outcome.status, outcome.body, AWS_JSON, call.origin.request_id, recorded=True)


def error_reply(error: KmsError, request_id: str, *, recorded: bool = False) -> Reply:
    """Return the reply that carries a refusal."""
    return Reply(error.status, error_body(error), AWS_JSON, request_id, recorded)
