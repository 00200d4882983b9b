"""Translates a call, its outcome and its targets into the parts of its audit record."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.arns import account_in
from strongroom.audit.cloudtrail import (
    RecordBody,
    RecordHead,
    RecordTail,
    encode_tail,
    error_code,
    error_message,
    key_resource,
    role_resource,
)
from strongroom.crypto.documents.attestation import Attested
from strongroom.errors import KmsError
from strongroom.operations.operation import Operation
from strongroom.operations.recipient import attested_facts
from strongroom.operations.shapes import Request, Response
from strongroom.operations.targets import Target
from strongroom.service.call import Call
from strongroom.service.caller_identity import identity_of
from strongroom.snapshot.principals import Credential

_TAILS_CACHED = 4096


class CallFacts(msgspec.Struct, frozen=True, gc=False):
    """A call with everything that was found out about it before it was answered or refused.

    ``credential`` is of the caller, who need not be the signer. ``request`` is None if the body could not be decoded.
    """

    call: Call
    credential: Credential
    request: Request | None
    targets: Sequence[Target]
    attested: Attested | None


def head_of(call: Call, credential: Credential, at: str) -> RecordHead:
    """Return the first part of a call's record, ``at`` being its time as ``event_time`` shows it."""
    return RecordHead(
        user_identity=identity_of(credential, call.origin),
        event_time=at,
        event_source=event_source(call.operation),
        event_name=call.operation.name,
        aws_region=call.region,
        source_ip_address=call.origin.source_ip,
        user_agent=call.origin.user_agent,
    )


def event_source(operation: Operation) -> str:
    """Return the name CloudTrail gives an operation's service."""
    return f"{operation.service}.amazonaws.com"


def answered(facts: CallFacts, response: Response, event_id: str) -> RecordBody:
    """Return the middle part of the record of a call that succeeded."""
    operation, request = facts.call.operation, facts.request
    return RecordBody(
        request_parameters=None if request is None else operation.parameters(request) or None,
        response_elements=operation.elements(response, facts.targets),
        additional_event_data=_with_recipient(facts, _used(operation, request, response, facts.targets)),
        request_id=facts.call.origin.request_id,
        event_id=event_id,
    )


def refused(facts: CallFacts, error: KmsError, event_id: str) -> RecordBody:
    """Return the middle part of the record of a call that was refused; ``error.details`` says what decided."""
    operation, request = facts.call.operation, facts.request
    return RecordBody(
        error_code=error_code(error.code),
        error_message=error_message(error.message),
        request_parameters=None if request is None else operation.parameters(request) or None,
        additional_event_data=_with_recipient(facts, dict(error.details or {})),
        request_id=facts.call.origin.request_id,
        event_id=event_id,
    )


def recipient_account(facts: CallFacts) -> str | UnsetType:
    """Return the caller's account; of callers who have none, the account of the resource they called for."""
    if facts.credential.principal.account:
        return facts.credential.principal.account
    return next((account_in(target.resource) for target in facts.targets if target.named), "") or UNSET


def resource_arns(facts: CallFacts, result: Response | KmsError) -> tuple[str, ...]:
    """Return the ARNs of the keys and aliases a call touched or made in its Region, or of the role it assumed."""
    operation, targets, region = facts.call.operation, facts.targets, facts.call.region
    if operation.service == "sts":
        return tuple(dict.fromkeys(target.resource for target in targets if target.named))
    if operation.service != "kms":
        return ()
    arns = [target.resource for target in targets if target.named and target.is_in(region)]
    if operation.makes is not None and isinstance(result, Response):
        arns.append(operation.makes(result))
    return tuple(arns)


@lru_cache(maxsize=_TAILS_CACHED)
def encoded_tail(operation: Operation, arns: tuple[str, ...], recipient: str | UnsetType) -> bytes:
    """Return the last part of a record about some resources, encoded; cached, because few differ."""
    resource = role_resource if operation.service == "sts" else key_resource
    resources = tuple(resource(account_in(arn), arn) for arn in arns)
    return encode_tail(RecordTail(read_only=operation.read_only, resources=resources, recipient_account_id=recipient))


def _used(
    operation: Operation, request: Request | None, response: Response, targets: Sequence[Target]
) -> dict[str, object]:
    """Return which key material a call has used, and which grant it has retired."""
    found = {} if operation.materials is None else operation.materials(request, response, targets)
    for target in targets:
        if target.retired is not None:
            found["grantId"] = target.retired.grant_id
    return found


def _with_recipient(facts: CallFacts, found: dict[str, object]) -> Mapping[str, object] | UnsetType:
    """Add the attested recipient of the answer, if there is one; UNSET if there is no such data at all."""
    if facts.attested is not None:
        found["recipient"] = attested_facts(facts.attested)
    return found or UNSET
