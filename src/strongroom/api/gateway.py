"""From an HTTP request to a verified call, or to the reply that refuses it. Knows HTTP, not sockets.

The content type tells the protocol: AWS JSON is KMS, a form is IAM or STS. Which of the two follows from the service
that the request was signed for, or from its action if it was signed for neither. One call of STS can also be a URL
with a signature (``presigned``).
"""

import logging

import msgspec
from msgspec.structs import replace

from strongroom.api.aws_json import AWS_JSON, AwsJson
from strongroom.api.aws_query import FORM, VERSIONS, AwsQuery, form_field, wants_json
from strongroom.api.cross_origin import CrossOrigin
from strongroom.api.other_services import TARGET_PREFIX, query_refusal, refusal, why_not_served
from strongroom.api.presigned import PRESIGNED, PresignedCall, presigned_call, verify_presigned
from strongroom.api.reply import Reply, without_body
from strongroom.api.sigv4 import Verifier, signed_service
from strongroom.audit.cloudtrail import MAX_USER_AGENT
from strongroom.clock import Clock
from strongroom.entropy import Entropy, UuidBatch
from strongroom.errors import (
    KmsError,
    KMSInternalException,
    RequestEntityTooLargeException,
    UnknownOperationException,
)
from strongroom.http.message import HttpRequest
from strongroom.http.trusted_proxies import TrustedProxies
from strongroom.iam import PrincipalKind
from strongroom.iam.principals import web_identity
from strongroom.operations.context import Origin
from strongroom.operations.iam.table import IAM_TABLE
from strongroom.operations.kms.table import TABLE
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Response
from strongroom.operations.sts.table import STS_TABLE, UNSIGNED
from strongroom.service.call import Call
from strongroom.service.readiness import Condition
from strongroom.service.unauthenticated import UnauthenticatedRequests
from strongroom.snapshot.miss import MustWait
from strongroom.snapshot.principals import Credential
from strongroom.store.leases.view import LeaseEnded

logger = logging.getLogger(__name__)

ON_BEHALF_OF = "x-strongroom-on-behalf-of"
HEALTH = "/healthz"
_NOT_FOUND = b"<UnknownOperationException/>\n"
_MAX_UNSIGNED_BODY = 64 * 1024
"""Room for any AssumeRoleWithWebIdentity: a token of 20,000 characters, a policy, ten ARNs (STS API Reference)."""
_TABLES = {"iam": IAM_TABLE, "sts": STS_TABLE}
_ANONYMOUS = Credential(access_key_id="", secret="", principal=web_identity("", ""))
"""The credential of a request without a signature, before its body is decoded."""


Wire = AwsJson | AwsQuery
"""How a request is decoded and its reply encoded."""


class Admitted(msgspec.Struct, frozen=True):
    """A call to perform, and how to write its reply."""

    call: Call
    wire: Wire

    def reply(self, result: Response | KmsError) -> Reply:
        """Return the reply to the call: always one, so that no client waits without a reply."""
        call = self.call
        try:
            return self.wire.reply(result, call.origin.request_id, call.operation)
        except Exception:
            about = {"request_id": call.origin.request_id}
            logger.exception("%s could not be answered", call.operation.name, extra=about)
            return self.wire.reply(KMSInternalException(), call.origin.request_id, call.operation)


class ReadinessCheck(msgspec.Struct, frozen=True):
    """A request for ``/readyz``, by GET or HEAD. Its answer has to wait for the store."""

    request_id: str
    method: str

    def reply(self, condition: Condition) -> Reply:
        """Return the answer: ready, ready with problems, or why not."""
        status, text = 200, "ok\n"
        if condition.obstacles:
            status, text = 503, f"not ready: {'; '.join((*condition.obstacles, *condition.problems))}\n"
        elif condition.problems:
            text = f"degraded: {'; '.join(condition.problems)}\n"
        return _read(self.method, Reply(status, text.encode(), "text/plain", self.request_id))


class Gateway:
    """Admits requests to the service. Safe to use from several threads.

    ``unauthenticated`` records requests whose signature does not verify. ``home`` is the Region of requests without a
    signature, which name none. ``cross_origin`` answers the preflights of browsers; without it, they are refused.
    """

    def __init__(  # noqa: PLR0913 - the parts of a gateway
        self,
        unauthenticated: UnauthenticatedRequests,
        verifier: Verifier,
        clock: Clock,
        entropy: Entropy,
        proxies: TrustedProxies | None,
        home: str,
        *,
        cross_origin: CrossOrigin | None = None,
    ) -> None:
        self._unauthenticated = unauthenticated
        self._verifier = verifier
        self._clock = clock
        self._proxies = proxies
        self._home = home
        self._cross_origin = cross_origin
        self._json = AwsJson()
        self.request_id = UuidBatch(entropy)

    def admit(self, request: HttpRequest, *, may_wait: bool = True) -> Admitted | ReadinessCheck | Reply:
        """Return the call a request makes, its signature verified, or the reply that ends it here.

        The order is that of AWS's front end: method and content type, then the action, then the signature. Raises
        MustWait or LeaseEnded, before anything was recorded, if ``may_wait`` is False and the access key has to be
        read, or the node has no lease.
        """
        request_id = self.request_id()
        if request.path in _HEALTH_PATHS and request.method in _READS:
            return self._health(request, request_id)
        if request.method == "POST" and request.path == "/":
            # Without a call for what nearly all clients send: this is the hot path.
            content_type = request.headers.get("content-type", "")
            if content_type == AWS_JSON or (media_type := _media_type(content_type)) == AWS_JSON:
                return self._admit_json(request, request_id, may_wait=may_wait)
            if media_type == FORM:
                return self._admit_query(request, request_id, may_wait=may_wait)
        return self._admit_other(request, request_id, may_wait=may_wait)

    def refused(self, headers: dict[str, str], error: KmsError) -> Reply:
        """Return the reply to a request that is refused by its headers alone; it leaves no record."""
        is_form = _media_type(headers.get("content-type", "")) == FORM
        wire = AwsQuery("sts", as_json=wants_json(headers)) if is_form else self._json
        return wire.reply(error, self.request_id())

    def close(self) -> None:
        """Admit requests that wait: the server stops. This one lets none wait."""

    def _admit_json(self, request: HttpRequest, request_id: str, *, may_wait: bool) -> Admitted | Reply:
        prefix, _, name = request.headers.get("x-amz-target", "").partition(".")
        operation = TABLE.get(name) if prefix == TARGET_PREFIX else None
        if operation is None:
            return self._json.reply(UnknownOperationException(why_not_served(request.headers)), request_id)
        return self._verify(request, operation, self._json, request_id, may_wait=may_wait)

    def _admit_query(self, request: HttpRequest, request_id: str, *, may_wait: bool) -> Admitted | Reply:
        signed_for = signed_service(request.headers)
        as_json = wants_json(request.headers)
        wire = AwsQuery(signed_for if signed_for in VERSIONS else "sts", as_json=as_json)
        name, version = form_field(request.body, b"Action") or "", form_field(request.body, b"Version")
        if version is None:
            version = "NO_VERSION_SPECIFIED"
        service = signed_for if signed_for in VERSIONS else _service_of(name)
        operation = _TABLES[service].get(name)
        if operation is None or version != VERSIONS[service]:
            if (elsewhere := query_refusal(request.headers, request_id, wire)) is not None:
                return elsewhere
            unknown = f"Could not find operation {name[:64]} for version {version[:64]}"
            return wire.reply(UnknownOperationException(unknown), request_id)
        if signed_for is None and name in UNSIGNED:
            if len(request.body) > _MAX_UNSIGNED_BODY:
                return wire.reply(RequestEntityTooLargeException(None), request_id)
            return self._admit_unsigned(request, operation, request_id)
        wire = AwsQuery(service, name, as_json=as_json)
        return self._verify(request, operation, wire, request_id, may_wait=may_wait)

    def _admit_other(self, request: HttpRequest, request_id: str, *, may_wait: bool) -> Admitted | Reply:
        """Admit a presigned URL; answer anything else that is no call by its method, path or content type."""
        presigned = presigned_call(request)
        if presigned is not None and presigned.action == PRESIGNED and presigned.version == VERSIONS["sts"]:
            wire = AwsQuery("sts", PRESIGNED, as_json=wants_json(request.headers))
            return self._verify(request, STS_TABLE[PRESIGNED], wire, request_id, presigned, may_wait=may_wait)
        preflight = None if self._cross_origin is None else self._cross_origin.preflight(request, request_id)
        other = preflight or refusal(request.headers, request_id)
        return _read(request.method, other or Reply(404, _NOT_FOUND, "application/xml", request_id))

    def _admit_unsigned(self, request: HttpRequest, operation: Operation, request_id: str) -> Admitted:
        wire = AwsQuery(operation.service, operation.name, as_json=wants_json(request.headers))
        origin = self._origin(request, request_id)
        lane = operation.lane(request.body)
        call = Call(operation, _ANONYMOUS, self._home, wire, request.body, origin, self._clock.now(), lane=lane)
        return Admitted(call, wire)

    def _verify(
        self,
        request: HttpRequest,
        operation: Operation,
        wire: Wire,
        request_id: str,
        presigned: PresignedCall | None = None,
        *,
        may_wait: bool,
    ) -> Admitted | Reply:
        now = self._clock.now()
        token, body = request.headers.get("x-amz-security-token"), request.body
        try:
            if presigned is None:
                verified = self._verifier.verify(request, operation.service, now, may_wait=may_wait)
            else:
                # Its parameters are in the query, and GetCallerIdentity has none.
                token, body = presigned.token, b""
                verified = verify_presigned(self._verifier, request, operation.service, now, may_wait=may_wait)
        except KmsError as error:
            if isinstance(error, LeaseEnded) and not may_wait:
                raise
            refused = error
        except MustWait:
            raise
        except Exception:
            logger.exception(
                "%s failed before its signature was verified", operation.name, extra={"request_id": request_id}
            )
            refused = KMSInternalException()
        else:
            call = Call(
                operation,
                verified.credential,
                verified.region,
                wire,
                body,
                self._origin(request, request_id, verified.credential),
                now,
                token=token,
                on_behalf_of=request.headers.get(ON_BEHALF_OF),
                lane=operation.lane(body),
            )
            return Admitted(call, wire)
        self._unauthenticated.refused(operation, self._origin(request, request_id), refused, now)
        return wire.reply(refused, request_id, operation)

    def _origin(self, request: HttpRequest, request_id: str, signer: Credential = _ANONYMOUS) -> Origin:
        """Return where a request comes from. Only services are believed what they say of their purpose."""
        source_ip, secure = request.peer, request.secure
        if self._proxies is not None:
            source_ip, secure = self._proxies.origin(request)
        origin = Origin(
            request_id=request_id,
            source_ip=source_ip,
            user_agent=request.headers.get("user-agent", "")[:MAX_USER_AGENT],
            secure=secure,
        )
        if signer.principal.kind is not PrincipalKind.SERVICE:
            return origin
        return replace(
            origin,
            via_service=signer.principal.arn if ON_BEHALF_OF in request.headers else None,
            source_arn=request.headers.get("x-amz-source-arn"),
            source_account=request.headers.get("x-amz-source-account"),
        )

    def _health(self, request: HttpRequest, request_id: str) -> ReadinessCheck | Reply:
        """Answer a health check: alive as long as the event loop runs; ready if calls can be answered."""
        if request.path == HEALTH:
            return _read(request.method, Reply(200, b"ok\n", "text/plain", request_id))
        return ReadinessCheck(request_id, request.method)


def _read(method: str, reply: Reply) -> Reply:
    """Return the reply for the method with which something is read."""
    return without_body(reply) if method == "HEAD" else reply


def _media_type(content_type: str) -> str:
    """Return a content type without its parameters (RFC 9110, 8.3.1)."""
    return content_type.partition(";")[0].strip().lower()


def _service_of(action: str) -> str:
    """Return the service an action belongs to, when the signature does not say."""
    return "iam" if action in IAM_TABLE else "sts"


_HEALTH_PATHS = frozenset({HEALTH, "/readyz"})
_READS = frozenset({"GET", "HEAD"})
