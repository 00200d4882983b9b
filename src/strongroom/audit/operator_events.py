"""Records of what an operator changes with a command, in CloudTrail's format. Pure.

They are service events, because no request to the API stands behind them. The caller is a user of the operating system.
"""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from strongroom.audit.cloudtrail import (
    RecordBody,
    RecordHead,
    RecordTail,
    encode_head,
    encode_record,
    encode_tail,
    error_message,
    event_time,
)
from strongroom.audit.user_identity import UserIdentity

IDENTITY_SOURCE = "iam.amazonaws.com"
"""The source of events that concern accounts, services and identity providers."""
KEY_SOURCE = "kms.amazonaws.com"
"""The source of events that concern KMS keys: one of them, or all that the service keeps."""
AUDIT_SOURCE = "cloudtrail.amazonaws.com"
"""The source of events that concern the audit log itself."""

_FAILED = "CommandFailed"


class OperatorEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A change that a command is about to make; ``account`` is empty if it concerns none. No secret may be in it."""

    name: str
    command: str
    source: str = IDENTITY_SOURCE
    account: str = ""
    details: Mapping[str, object] = {}


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs the command, in which Region's partition, and when (epoch seconds); ``event_id`` is a new UUID."""

    operator: UserIdentity
    region: str
    now: float
    event_id: str


def operator_event(event: OperatorEvent, at: Circumstances, failure: str = "") -> bytes:
    """Return the line of a change; with ``failure``, the line that says why it was not made after all."""
    head = RecordHead(
        user_identity=at.operator,
        event_time=event_time(at.now),
        event_source=event.source,
        event_name=event.name,
        aws_region=at.region,
        user_agent=f"strongroom {event.command}",
    )
    body = RecordBody(
        error_code=_FAILED if failure else UNSET,
        error_message=error_message(failure),
        event_id=at.event_id,
    )
    tail = RecordTail(
        read_only=False,
        event_type="AwsServiceEvent",
        recipient_account_id=event.account or UNSET,
        service_event_details=event.details,
    )
    return encode_record(encode_head(head), body, encode_tail(tail))
