"""Turns what happened into audit records. They are out when the front door has flushed the log."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import UNSET, UnsetType

from strongroom.audit.record import (
    UNKNOWN_IDENTITY,
    AuditRecord,
    Resource,
    UserIdentity,
    encode,
    event_time,
    key_resource,
    service_event,
)
from strongroom.entropy import Entropy, UuidBatch
from strongroom.errors import AccessDeniedException, KmsError
from strongroom.iam import PrincipalKind
from strongroom.keys.kms_key import KmsKey
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Request, Response
from strongroom.operations.targets import Target
from strongroom.service.call import Call, Origin
from strongroom.snapshot.snapshot import Credential

_MAX_MESSAGE = 1024
_IDENTITY_TYPES = {
    PrincipalKind.ACCOUNT_ROOT: "Root",
    PrincipalKind.USER: "IAMUser",
    PrincipalKind.ASSUMED_ROLE: "AssumedRole",
    PrincipalKind.FEDERATED_USER: "FederatedUser",
    PrincipalKind.SERVICE: "AWSService",
}


class Log(Protocol):
    """Takes lines; writes them when flushed."""

    def append(self, line: bytes) -> None:
        """Add one line, without its newline."""
        ...


class Trail:
    """Records each call, each refused request, and each thing the service does by itself."""

    def __init__(self, log: Log, entropy: Entropy) -> None:
        self._log = log
        self._event_id = UuidBatch(entropy)

    def call(
        self,
        call: Call,
        request: Request | None,
        targets: Sequence[Target],
        result: Response | KmsError,
    ) -> None:
        """Record a verified call with its answer or its refusal. ``request`` is None if it could not be decoded."""
        operation = call.operation
        refusal = result if isinstance(result, KmsError) else None
        self._log.append(
            encode(
                AuditRecord(
                    user_identity=_identity(call.credential),
                    event_time=event_time(call.now),
                    event_name=operation.name,
                    aws_region=call.region,
                    source_ip_address=call.origin.source_ip,
                    user_agent=call.origin.user_agent,
                    error_code=_code(refusal),
                    error_message=_message(refusal),
                    request_parameters=None if request is None else operation.parameters(request),
                    response_elements=_elements(operation, result, targets),
                    request_id=call.origin.request_id,
                    event_id=self._event_id(),
                    read_only=operation.read_only,
                    resources=_resources(operation, result, targets),
                    recipient_account_id=call.credential.principal.account,
                )
            )
        )

    def unverified(self, operation: Operation, origin: Origin, error: KmsError, now: float) -> None:
        """Record a request for a known action whose signature did not verify."""
        self._log.append(
            encode(
                AuditRecord(
                    user_identity=UNKNOWN_IDENTITY,
                    event_time=event_time(now),
                    event_name=operation.name,
                    aws_region="",
                    source_ip_address=origin.source_ip,
                    user_agent=origin.user_agent,
                    error_code=_code(error),
                    error_message=_message(error),
                    request_id=origin.request_id,
                    event_id=self._event_id(),
                    read_only=operation.read_only,
                )
            )
        )

    def event(self, name: str, key: KmsKey, details: Mapping[str, object], now: float) -> None:
        """Record what the service did to a key by itself."""
        self._log.append(
            encode(
                service_event(
                    name=name,
                    account=key.account,
                    region=key.region,
                    arn=key.arn,
                    details={"keyId": key.key_id, **details},
                    event_id=self._event_id(),
                    now=now,
                )
            )
        )


def _identity(credential: Credential) -> UserIdentity:
    principal = credential.principal
    return UserIdentity(
        _IDENTITY_TYPES[principal.kind],
        principal_id=principal.user_id,
        arn=principal.arn,
        account_id=principal.account,
        access_key_id=credential.access_key_id,
    )


def _code(error: KmsError | None) -> str | UnsetType:
    if error is None:
        return UNSET
    # CloudTrail's one code without its suffix.
    return "AccessDenied" if isinstance(error, AccessDeniedException) else error.code


def _message(error: KmsError | None) -> str | UnsetType:
    return UNSET if error is None or not error.message else error.message[:_MAX_MESSAGE]


def _elements(
    operation: Operation, result: Response | KmsError, targets: Sequence[Target]
) -> Mapping[str, object] | None:
    return None if isinstance(result, KmsError) else operation.elements(result, targets)


def _resources(operation: Operation, result: Response | KmsError, targets: Sequence[Target]) -> tuple[Resource, ...]:
    """Return the keys and aliases a call touched or made."""
    arns = [target.resource for target in targets if target.named]
    if operation.makes is not None and isinstance(result, Response):
        arns.append(operation.makes(result))
    # The account is the fifth field of an ARN.
    return tuple(key_resource(arn.split(":", 5)[4], arn) for arn in arns)
