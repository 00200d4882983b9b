"""Records each call, each refused request, and each thing the service does by itself.

A record is written when the front has flushed the log. ``call_facts`` says what a record of a call holds.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import UnsetType

from strongroom.arns import account_in
from strongroom.audit.cloudtrail import (
    MAX_CHANGED,
    MAX_READ,
    MAX_REFUSED,
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
)
from strongroom.audit.service_events import ServiceEvent, event_id_on, internal_call, service_event
from strongroom.audit.sink import AuditSink
from strongroom.audit.user_identity import UNKNOWN_IDENTITY
from strongroom.bounded_cache import put
from strongroom.entropy import Entropy, UuidBatch
from strongroom.errors import KmsError, KMSInternalException
from strongroom.keys.arns import KeyLocator
from strongroom.operations.context import Origin
from strongroom.operations.operation import Echo, Operation
from strongroom.operations.planned_events import PlannedEvent
from strongroom.service.call import Call
from strongroom.service.call_facts import (
    CallFacts,
    answered,
    encoded_tail,
    event_source,
    head_of,
    recipient_account,
    refused,
    resource_arns,
)
from strongroom.service.stages import Completed, Refused
from strongroom.snapshot.principals import Credential

_HEADS_CACHED = 4096
_OURSELVES = "kms.amazonaws.com"


class AuditTrail:
    """Adds records to the audit log. Safe to use from several threads."""

    def __init__(self, log: AuditSink, entropy: Entropy, shipped: Callable[[], bool] | None = None) -> None:
        """Record in a log. ``shipped`` tells whether the destinations that are required take what is written to it."""
        self._log = log
        self._shipped = shipped
        self.event_id = UuidBatch(entropy)
        """Makes the id of a record."""
        self._heads: dict[tuple[str, ...], tuple[Credential, bytes]] = {}

    def writable(self) -> bool:
        """Tell whether what happens now can be recorded."""
        return self._log.writable() and (self._shipped is None or self._shipped())

    def obstacle(self) -> str | None:
        """Return why nothing can be recorded now; None if it can."""
        if not self._log.writable():
            return "the audit log cannot be written"
        if not self.writable():
            return "a required destination of the audit log does not take what is written"
        return None

    def call(self, ended: Completed | Refused, event_id: str) -> None:
        """Record a verified call with its response or its error."""
        call, result = ended.call, ended.result
        facts = CallFacts(call, ended.credential, ended.request, ended.targets, ended.attested)
        head = self._head(call, facts.credential)
        recipient = recipient_account(facts)
        tail = encoded_tail(call.operation, resource_arns(facts, result), recipient)
        whole = MAX_READ if call.operation.read_only else MAX_CHANGED
        if isinstance(result, KmsError):
            # After a fault the change may have been made all the same: the outcome of a commit can be unknown.
            limit = whole if result.status >= KMSInternalException.status else _limit_of_refusal(call)
            self._log.append_refusal(encode_record(head, refused(facts, result, event_id), tail, limit))
            return
        self._log.append(encode_record(head, answered(facts, result, event_id), tail, whole))
        if call.operation.echoes is not None:
            for echo in call.operation.echoes(facts.request, result, facts.targets):
                self._log.append(self._echoed(echo, facts, recipient))

    def unverified(self, operation: Operation, origin: Origin, error: KmsError, now: float) -> None:
        """Record a request for a known action whose signature did not verify."""
        head = RecordHead(
            user_identity=UNKNOWN_IDENTITY,
            event_time=event_time(now),
            event_source=event_source(operation),
            event_name=operation.name,
            aws_region="",
            source_ip_address=origin.source_ip,
            user_agent=origin.user_agent,
        )
        body = RecordBody(
            error_code=error_code(error.code),
            error_message=error_message(error.message),
            request_id=origin.request_id,
            event_id=self.event_id(),
        )
        tail = encode_tail(RecordTail(read_only=operation.read_only))
        self._log.append_refusal(encode_record(encode_head(head), body, tail))

    def synchronized(self, primary: KeyLocator, now: float, occasion: str = "") -> None:
        """Record that the service copied what a multi-Region primary shares to its replicas.

        ``occasion`` is as in ``event``.
        """
        event = self._event("SynchronizeMultiRegionKey", primary, now, occasion)
        self._log.append(internal_call(event, request_id=self.event_id()))

    def event(self, name: str, key: KeyLocator, details: Mapping[str, object], now: float, occasion: str = "") -> None:
        """Record what the service did to a key by itself.

        All records of an event on the same ``occasion`` have the same id; without one, the id is random.
        """
        self._log.append(service_event(self._event(name, key, now, occasion), {"keyId": key.key_id, **details}))

    def planned(self, events: Sequence[PlannedEvent], now: float) -> None:
        """Record what the service is about to do to keys by itself, and have it on the disk.

        Raises KMSInternalException if the audit log cannot be written: then nothing may be done.
        """
        if not self._log.writable():
            raise KMSInternalException
        for event in events:
            if event.synchronized:
                self.synchronized(event.locator, now, event.occasion)
            self.event(event.name, event.locator, event.details, now, event.occasion)
        self._log.flush()

    def _event(self, name: str, key: KeyLocator, now: float, occasion: str) -> ServiceEvent:
        event_id = event_id_on(occasion, name, key.arn) if occasion else self.event_id()
        return ServiceEvent(name=name, account=key.account, region=key.region, arn=key.arn, event_id=event_id, now=now)

    def _head(self, call: Call, credential: Credential) -> bytes:
        """Return the head of a call's record, encoded anew each second for each caller and kind of call."""
        origin, at = call.origin, event_time(call.now)
        if origin.via_service is not None or not credential.access_key_id:
            return encode_head(head_of(call, credential, at))
        name = (credential.access_key_id, call.operation.action, call.region, at, origin.source_ip, origin.user_agent)
        known = self._heads.get(name)
        if known is not None and known[0] is credential:
            return known[1]
        head = encode_head(head_of(call, credential, at))
        put(self._heads, name, (credential, head), _HEADS_CACHED)
        return head

    def _echoed(self, echo: Echo, facts: CallFacts, recipient: str | UnsetType) -> bytes:
        """Return the line of a further record that a call leaves."""
        call, event_id = facts.call, self.event_id()
        if echo.internal:
            event = ServiceEvent(
                name=echo.name,
                account=account_in(echo.arn),
                region=echo.region,
                arn=echo.arn,
                event_id=event_id,
                now=call.now,
            )
            return internal_call(event, call.origin.request_id)
        head = head_of(call, facts.credential, event_time(call.now))
        identity = msgspec.structs.replace(head.user_identity, invoked_by=_OURSELVES)
        head = msgspec.structs.replace(head, user_identity=identity, event_name=echo.name, aws_region=echo.region)
        body = RecordBody(
            request_parameters=echo.parameters,
            response_elements=echo.elements,
            request_id=call.origin.request_id,
            event_id=event_id,
        )
        return encode_record(encode_head(head), body, encoded_tail(call.operation, (echo.arn,), recipient))


def _limit_of_refusal(call: Call) -> int:
    return MAX_REFUSED if call.signed else MAX_UNAUTHENTICATED
