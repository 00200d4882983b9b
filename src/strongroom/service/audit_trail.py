"""Turns what happened into audit records. They are out when the front door has flushed the log."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.arns import account_in, known_arn
from strongroom.audit.cloudtrail import (
    UNKNOWN_IDENTITY,
    Bearing,
    Occasion,
    Outcome,
    UserIdentity,
    beginning,
    ending,
    event_time,
    internal_call,
    key_resource,
    line,
    role_resource,
    service_event,
)
from strongroom.bounded_cache import put
from strongroom.entropy import Entropy, UuidBatch
from strongroom.errors import AccessDeniedException, KmsError
from strongroom.iam import PrincipalKind
from strongroom.keys.arns import KeyLocator
from strongroom.keys.specs import KeySpec
from strongroom.operations.context import Origin
from strongroom.operations.kms.encryption import ReEncryptResponse
from strongroom.operations.operation import Echo, Operation
from strongroom.operations.recipient import attested_facts
from strongroom.operations.shapes import Response
from strongroom.operations.targets import Target
from strongroom.service.call import Call
from strongroom.service.stages import Completed, Refused
from strongroom.snapshot.principals import Credential

_MAX_MESSAGE = 1024
_REMEMBERED = 4096
_OURSELVES = "kms.amazonaws.com"
_IDENTITY_TYPES = {
    PrincipalKind.ACCOUNT_ROOT: "Root",
    PrincipalKind.USER: "IAMUser",
    PrincipalKind.ASSUMED_ROLE: "AssumedRole",
    PrincipalKind.FEDERATED_USER: "FederatedUser",
    PrincipalKind.SERVICE: "AWSService",
    PrincipalKind.WEB_IDENTITY: "WebIdentityUser",
}


class Log(Protocol):
    """Takes lines; writes them when flushed."""

    def append(self, line: bytes) -> None:
        """Add one line, without its newline."""
        ...

    def append_refusal(self, line: bytes) -> None:
        """Add the line of a call that was refused: it may get lost, and be counted, while none can be written."""
        ...

    def writable(self) -> bool:
        """Tell whether lines can be written now."""
        ...


class AuditTrail:
    """Records each call, each refused request, and each thing the service does by itself."""

    def __init__(self, log: Log, entropy: Entropy) -> None:
        self._log = log
        self.event_id = UuidBatch(entropy)
        """Makes the id of a record."""
        self._beginnings: dict[tuple[str, ...], tuple[Credential, bytes]] = {}

    def writable(self) -> bool:
        """Tell whether what happens now can be recorded."""
        return self._log.writable()

    def call(self, ended: Completed | Refused, event_id: str) -> None:
        """Record a verified call with its response or its error."""
        call, request, targets, result = ended.call, ended.request, ended.targets, ended.result
        operation = call.operation
        refusal = result if isinstance(result, KmsError) else None
        outcome = Outcome(
            error_code=_code(refusal),
            error_message=_message(refusal),
            request_parameters=None if request is None else operation.parameters(request) or None,
            response_elements=None if refusal is not None else operation.elements(result, targets),
            additional_event_data=_additional(ended),
            request_id=call.origin.request_id,
            event_id=event_id,
        )
        begins = self._beginning(call, ended.credential)
        recipient = _recipient(ended.credential, targets)
        arns = _resources(operation, result, targets, call.region)
        ends = _ending(operation, arns, recipient)
        if refusal is not None:
            self._log.append_refusal(line(begins, outcome, ends))
            return
        self._log.append(line(begins, outcome, ends))
        if operation.echoes is not None:
            for echo in operation.echoes(request, result, targets):
                self._log.append(self._echoed(echo, call, ended.credential, recipient))

    def _beginning(self, call: Call, credential: Credential) -> bytes:
        """Return how the record of a call begins: made anew each second, for each caller and kind of call."""
        origin, at = call.origin, event_time(call.now)
        if origin.via_service is not None or not credential.access_key_id:
            return beginning(_occasion(call, credential, at))
        name = (credential.access_key_id, call.operation.action, call.region, at, origin.source_ip, origin.user_agent)
        known = self._beginnings.get(name)
        if known is not None and known[0] is credential:
            return known[1]
        begins = beginning(_occasion(call, credential, at))
        put(self._beginnings, name, (credential, begins), _REMEMBERED)
        return begins

    def unverified(self, operation: Operation, origin: Origin, error: KmsError, now: float) -> None:
        """Record a request for a known action whose signature did not verify."""
        occasion = Occasion(
            user_identity=UNKNOWN_IDENTITY,
            event_time=event_time(now),
            event_source=f"{operation.service}.amazonaws.com",
            event_name=operation.name,
            aws_region="",
            source_ip_address=origin.source_ip,
            user_agent=origin.user_agent,
        )
        outcome = Outcome(
            error_code=_code(error),
            error_message=_message(error),
            request_id=origin.request_id,
            event_id=self.event_id(),
        )
        self._log.append_refusal(line(beginning(occasion), outcome, ending(Bearing(read_only=operation.read_only))))

    def synchronized(self, primary: KeyLocator, now: float) -> None:
        """Record that the service copied what a multi-Region primary shares to its replicas."""
        self._log.append(
            internal_call(
                name="SynchronizeMultiRegionKey",
                account=primary.account,
                region=primary.region,
                arn=primary.arn,
                event_id=self.event_id(),
                request_id=self.event_id(),
                now=now,
            )
        )

    def event(self, name: str, key: KeyLocator, details: Mapping[str, object], now: float) -> None:
        """Record what the service did to a key by itself."""
        self._log.append(
            service_event(
                name=name,
                account=key.account,
                region=key.region,
                arn=key.arn,
                details={"keyId": key.key_id, **details},
                event_id=self.event_id(),
                now=now,
            )
        )

    def _echoed(self, echo: Echo, call: Call, credential: Credential, recipient: str | UnsetType) -> bytes:
        account = account_in(echo.arn)
        if echo.internal:
            return internal_call(
                name=echo.name,
                account=account,
                region=echo.region,
                arn=echo.arn,
                event_id=self.event_id(),
                request_id=call.origin.request_id,
                now=call.now,
            )
        occasion = _occasion(call, credential, event_time(call.now))
        return line(
            beginning(
                msgspec.structs.replace(
                    occasion,
                    user_identity=msgspec.structs.replace(occasion.user_identity, invoked_by=_OURSELVES),
                    event_name=echo.name,
                    aws_region=echo.region,
                )
            ),
            Outcome(
                request_parameters=echo.parameters,
                response_elements=echo.elements,
                request_id=call.origin.request_id,
                event_id=self.event_id(),
            ),
            _ending(call.operation, (echo.arn,), recipient),
        )


def _occasion(call: Call, credential: Credential, at: str) -> Occasion:
    return Occasion(
        user_identity=_identity(credential, call.origin),
        event_time=at,
        event_source=f"{call.operation.service}.amazonaws.com",
        event_name=call.operation.name,
        aws_region=call.region,
        source_ip_address=call.origin.source_ip,
        user_agent=call.origin.user_agent,
    )


def _identity(credential: Credential, origin: Origin) -> UserIdentity:
    """Return who called, each kind in its own shape (CloudTrail User Guide, "userIdentity element")."""
    principal = credential.principal
    kind = _IDENTITY_TYPES[principal.kind]
    if principal.kind is PrincipalKind.SERVICE:
        return UserIdentity(kind, access_key_id=credential.access_key_id, invoked_by=principal.arn)
    if principal.kind is PrincipalKind.WEB_IDENTITY:
        provider = principal.provider or ""
        return UserIdentity(kind, principal_id=principal.user_id, user_name=principal.arn, identity_provider=provider)
    return UserIdentity(
        kind,
        principal_id=principal.user_id,
        arn=principal.arn,
        account_id=principal.account,
        access_key_id=credential.access_key_id,
        user_name=principal.user_name or "",
        session_context=_session_context(credential),
        invoked_by=origin.via_service or "",
    )


def _session_context(credential: Credential) -> Mapping[str, object] | None:
    """Return what CloudTrail says of a session: when it began, the role it is of, and where it came from."""
    principal = credential.principal
    if credential.issued_at is None:
        return None
    found: dict[str, object] = {
        "attributes": {"creationDate": event_time(credential.issued_at), "mfaAuthenticated": "false"}
    }
    if principal.kind is PrincipalKind.ASSUMED_ROLE and principal.issuer_arn is not None:
        found["sessionIssuer"] = {
            "type": "Role",
            "principalId": principal.user_id.partition(":")[0],
            "arn": principal.issuer_arn,
            "accountId": principal.account,
            "userName": known_arn(principal.issuer_arn).resource_name,
        }
    if principal.provider is not None:
        found["webIdFederationData"] = {"federatedProvider": principal.provider, "attributes": {}}
    if credential.source_identity is not None:
        found["sourceIdentity"] = credential.source_identity
    return found


def _recipient(credential: Credential, targets: Sequence[Target]) -> str | UnsetType:
    """Return the caller's account; for callers who have none, that of what they called for."""
    if credential.principal.account:
        return credential.principal.account
    return next((account_in(target.resource) for target in targets if target.named), "") or UNSET


def _additional(ended: Completed | Refused) -> Mapping[str, object] | UnsetType:
    """Return what CloudTrail has no field for.

    That is why a call was refused, or which key material was used, or which grant was retired; and who proved to be the
    recipient of the answer.
    """
    found: dict[str, object] = {}
    if type(ended) is Refused:
        found |= ended.result.details or {}
    else:
        if ended.call.operation.uses:
            _add_materials(found, ended.targets, ended.result)
        for target in ended.targets:
            if target.retired is not None:
                found["grantId"] = target.retired.grant_id
    if ended.attested is not None:
        found["recipient"] = attested_facts(ended.attested)
    return found or UNSET


def _add_materials(found: dict[str, object], targets: Sequence[Target], result: Response) -> None:
    """Add which key material of symmetric encryption keys was used: what the answer names, else the current one."""
    if isinstance(result, ReEncryptResponse):
        source, destination = result.source_key_material_id, result.destination_key_material_id
        found |= {} if source is None else {"sourceKeyMaterialId": source}
        found |= {} if destination is None else {"destinationKeyMaterialId": destination}
        return
    for target in targets:
        if target.key is not None and target.key.key.spec is KeySpec.SYMMETRIC_DEFAULT:
            current = target.key.key.current_material
            material_id = result.used_key_material_id() or (current and current.material_id)
            if material_id:
                found["keyMaterialId"] = material_id


def _code(error: KmsError | None) -> str | UnsetType:
    if error is None:
        return UNSET
    # CloudTrail's one code without its suffix.
    return "AccessDenied" if isinstance(error, AccessDeniedException) else error.code


def _message(error: KmsError | None) -> str | UnsetType:
    return UNSET if error is None or not error.message else error.message[:_MAX_MESSAGE]


def _resources(
    operation: Operation, result: Response | KmsError, targets: Sequence[Target], region: str
) -> tuple[str, ...]:
    """Return the ARNs of the keys and aliases a call touched or made in its Region, or of the role it assumed."""
    if operation.service == "sts":
        return tuple(dict.fromkeys(target.resource for target in targets if target.named))
    if operation.service != "kms":
        return ()
    arns = [target.resource for target in targets if target.named and target.is_in(region)]
    if operation.makes is not None and isinstance(result, Response):
        arns.append(operation.makes(result))
    return tuple(arns)


@lru_cache(maxsize=_REMEMBERED)
def _ending(operation: Operation, arns: tuple[str, ...], recipient: str | UnsetType) -> bytes:
    resource = role_resource if operation.service == "sts" else key_resource
    resources = tuple(resource(account_in(arn), arn) for arn in arns)
    return ending(Bearing(read_only=operation.read_only, resources=resources, recipient_account_id=recipient))
