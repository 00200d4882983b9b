"""Records of actions that the service takes by itself, in CloudTrail's format. Pure.

Source: KMS Developer Guide, "Logging AWS KMS API calls": RotateKey, DeleteKey, SynchronizeMultiRegionKey.
"""

from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

import msgspec

from strongroom.audit.cloudtrail import (
    RecordBody,
    RecordHead,
    RecordTail,
    encode_head,
    encode_record,
    encode_tail,
    event_time,
    key_resource,
)
from strongroom.audit.user_identity import AWS_INTERNAL, service_itself

_ID_LABEL = "strongroom-service-event-1"


class ServiceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An action of the service on the key ``arn`` of an account in a Region, at ``now`` (epoch seconds)."""

    name: str
    account: str
    region: str
    arn: str
    event_id: str
    now: float

    def head(self) -> RecordHead:
        """Return the head of its record."""
        return RecordHead(
            user_identity=service_itself(self.account),
            event_time=event_time(self.now),
            event_name=self.name,
            aws_region=self.region,
        )


def event_id_on(occasion: str, name: str, arn: str) -> str:
    """Return the id of an event that only happens once on an ``occasion``, such as the date at which a change is due.

    It is the same wherever and however often it is recorded. So if a change was recorded and then not made, or by
    several nodes, the records can be told to be of one event. A UUID of version 8 (RFC 9562, 5.8), from a SHA-256.
    """
    digest = bytearray(sha256(f"{_ID_LABEL}\n{occasion}\n{name}\n{arn}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(digest)))


def internal_call(event: ServiceEvent, request_id: str) -> bytes:
    """Return the line of a call that the service made to itself: SynchronizeMultiRegionKey."""
    head = msgspec.structs.replace(event.head(), source_ip_address=AWS_INTERNAL, user_agent=AWS_INTERNAL)
    tail = RecordTail(
        read_only=False, resources=(key_resource(event.account, event.arn),), recipient_account_id=event.account
    )
    body = RecordBody(request_id=request_id, event_id=event.event_id)
    return encode_record(encode_head(head), body, encode_tail(tail))


def service_event(event: ServiceEvent, details: Mapping[str, object]) -> bytes:
    """Return the line of an action that the service took by itself: RotateKey, DeleteKey."""
    tail = RecordTail(
        read_only=False,
        resources=(key_resource(event.account, event.arn),),
        event_type="AwsServiceEvent",
        recipient_account_id=event.account,
        service_event_details=details,
    )
    return encode_record(encode_head(event.head()), RecordBody(event_id=event.event_id), encode_tail(tail))
