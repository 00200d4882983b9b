"""Records of actions that the service takes by itself, in CloudTrail's format. Pure.

Source: KMS Developer Guide, "Logging AWS KMS API calls": RotateKey, DeleteKey, SynchronizeMultiRegionKey.
"""

from collections.abc import Mapping

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
