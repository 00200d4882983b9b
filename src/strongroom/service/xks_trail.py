"""Audit records of calls of AWS KMS to an XKS proxy, in the shape of all other records.

A record has the request id of KMS, which is that of the record in CloudTrail, and never plaintext or ciphertext.
"""

import msgspec
from msgspec import UNSET

from strongroom.audit.cloudtrail import (
    MAX_READ,
    MAX_UNAUTHENTICATED,
    RecordBody,
    RecordHead,
    RecordTail,
    encode_head,
    encode_record,
    encode_tail,
    error_code,
    error_message,
    event_time,
    key_resource,
)
from strongroom.audit.sink import AuditSink
from strongroom.audit.user_identity import UNKNOWN_IDENTITY, trusted_service
from strongroom.entropy import Entropy, UuidBatch
from strongroom.service.unauthenticated import RecordRateLimit
from strongroom.service.xks_authorization import XKS_PRINCIPAL
from strongroom.service.xks_facts import XksFacts
from strongroom.xks_proxy.errors import XksError

_SOURCE = "kms-xks-proxy.amazonaws.com"


class XksTrail:
    """Adds records to the audit log. Safe to use from several threads."""

    def __init__(self, log: AuditSink, entropy: Entropy, limit: RecordRateLimit) -> None:
        self._log = log
        self._event_id = UuidBatch(entropy)
        self._limit = limit

    def writable(self) -> bool:
        """Tell whether what happens now can be recorded."""
        return self._log.writable()

    def event_id(self) -> str:
        """Return a new id of a record."""
        return self._event_id()

    def record(self, facts: XksFacts, error: XksError | None, event_id: str) -> None:
        """Record a call and how it ended. Calls whose signature did not verify are recorded at a limited rate."""
        if facts.access_key_id:
            line = _line(facts, error, event_id, MAX_READ)
            (self._log.append if error is None else self._log.append_refusal)(line)
        elif self._limit.take(facts.now):
            self._log.append_refusal(_line(facts, error, event_id, MAX_UNAUTHENTICATED))


def _line(facts: XksFacts, error: XksError | None, event_id: str, limit: int) -> bytes:
    known = facts.access_key_id
    proxy, key = facts.proxy, facts.key
    head = RecordHead(
        user_identity=trusted_service(XKS_PRINCIPAL, known) if known else UNKNOWN_IDENTITY,
        event_time=event_time(facts.now),
        event_source=_SOURCE,
        event_name=facts.route.call,
        aws_region=proxy.region if proxy is not None and known else "",
        source_ip_address=facts.source_ip,
        user_agent=facts.user_agent,
    )
    parameters: dict[str, object] = {"xksProxyPrefix": facts.route.prefix}
    if facts.route.external_id:
        parameters["externalKeyId"] = facts.route.external_id
    if key is not None:
        parameters["keyId"] = key.arn
    if facts.metadata is not None:
        parameters["requestMetadata"] = _without_absent(msgspec.to_builtins(facts.metadata))
    body = RecordBody(
        error_code=UNSET if error is None else error_code(error.name),
        error_message=UNSET if error is None else error_message(error.message),
        request_parameters=parameters,
        additional_event_data={"keyMaterialId": facts.material_id} if facts.material_id else UNSET,
        request_id=facts.request_id,
        event_id=event_id,
    )
    tail = RecordTail(
        read_only=True,
        resources=() if key is None else (key_resource(key.account, key.arn),),
        recipient_account_id=proxy.account if proxy is not None and known else UNSET,
    )
    return encode_record(encode_head(head), body, encode_tail(tail), limit)


def _without_absent(claims: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in claims.items() if value is not None}
