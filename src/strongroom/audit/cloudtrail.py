"""The shape of audit records: CloudTrail events, one JSON line each. Pure.

A line is encoded in three parts, because the first and the last part are the same for many records. The head has the
caller, the time and the source; the body the parameters and the outcome; the tail the resources.

Source: AWS CloudTrail User Guide, "CloudTrail record contents", and KMS Developer Guide, "Logging AWS KMS API calls".
A record never holds plaintext, ciphertext, key bytes or grant tokens; ``parameters`` leaves them out.

Records are bounded, because a request has up to a megabyte and even a refused call leaves one. Parameters that are too
large are replaced by what CloudTrail writes in that case: ``omitted``, ``originalSize`` and ``reason``. The bound of a
call that changes something is above all that a request can hold, so what was changed is always recorded whole.
"""

import time
from collections.abc import Mapping
from functools import lru_cache

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.audit.user_identity import UserIdentity

_EVENT_VERSION = "1.11"
_EVENT_SOURCE = "kms.amazonaws.com"
_MAX_MESSAGE = 1024

MAX_USER_AGENT = 1024
"""Characters of a user agent that a record has. A request may have 32 KB, and even one without a signature leaves one.

What keeps origins of requests cuts them to this, too.
"""
MAX_CHANGED = 4_194_304
"""The bound of a record's parameters in bytes, and of its other parts that a caller can fill; each has it by itself.

That of calls that change something. JSON of a request is at most twice as large as the request, which has a megabyte.
"""
MAX_READ = 262_144
"""The bound if the call only reads, or uses a key."""
MAX_REFUSED = 8192
"""The bound if the call was refused."""
MAX_UNAUTHENTICATED = 4096
"""The bound if it was refused and had no signature."""


class Resource(msgspec.Struct, frozen=True):
    """A KMS key, an alias or a role that the call touched."""

    account_id: str = msgspec.field(name="accountId")
    type: str
    arn: str = msgspec.field(name="ARN")


def key_resource(account: str, arn: str) -> Resource:
    """Return the resource entry of a key or an alias; CloudTrail types both as a key."""
    return Resource(account, "AWS::KMS::Key", arn)


def role_resource(account: str, arn: str) -> Resource:
    """Return the resource entry of a role."""
    return Resource(account, "AWS::IAM::Role", arn)


class RecordHead(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """The first part of a record: caller, operation, time and source. Fields are in the order of the line."""

    event_version: str = _EVENT_VERSION
    user_identity: UserIdentity
    event_time: str
    event_source: str = _EVENT_SOURCE
    event_name: str
    aws_region: str
    source_ip_address: str | UnsetType = msgspec.field(name="sourceIPAddress", default=UNSET)
    user_agent: str | UnsetType = UNSET


class RecordBody(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """The middle part of a record: the parameters of the request, and the outcome."""

    error_code: str | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    request_parameters: Mapping[str, object] | None = None
    response_elements: Mapping[str, object] | None = None
    additional_event_data: Mapping[str, object] | UnsetType = UNSET
    request_id: str | UnsetType = msgspec.field(name="requestID", default=UNSET)
    event_id: str = msgspec.field(name="eventID")


class RecordTail(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """The last part of a record: the resources and the accounts."""

    read_only: bool
    resources: tuple[Resource, ...] = ()
    event_type: str = "AwsApiCall"
    management_event: bool = True
    recipient_account_id: str | UnsetType = UNSET
    service_event_details: Mapping[str, object] | UnsetType = UNSET
    event_category: str = "Management"


_encoder = msgspec.json.Encoder()


def encode_head(head: RecordHead) -> bytes:
    """Return the beginning of a line. It is shared by all records of one caller and operation within a second.

    Of a user agent it has the first 1,024 characters.
    """
    agent = head.user_agent
    if agent is not UNSET and len(agent) > MAX_USER_AGENT:
        head = msgspec.structs.replace(head, user_agent=agent[:MAX_USER_AGENT])
    return _encoder.encode(head)[:-1] + b","


def encode_tail(tail: RecordTail) -> bytes:
    """Return the end of a line, which many records share too."""
    return b"," + _encoder.encode(tail)[1:]


def encode_record(head: bytes, body: RecordBody, tail: bytes, limit: int = MAX_CHANGED) -> bytes:
    """Return a record as one line of JSON, without its newline, between an encoded head and tail.

    Parameters, elements and event data of more than ``limit`` bytes are left out, the largest members first.
    """
    encoded = _encoder.encode(body)
    if len(encoded) > limit:
        encoded = _encoder.encode(_bounded(body, limit))
    return head + encoded[1:-1] + tail


def _bounded(body: RecordBody, limit: int) -> RecordBody:
    more = body.additional_event_data
    return msgspec.structs.replace(
        body,
        request_parameters=_within(limit, "requestParameters", body.request_parameters),
        response_elements=_within(limit, "responseElements", body.response_elements),
        additional_event_data=UNSET if more is UNSET else _within(limit, "additionalEventData", more) or UNSET,
    )


def _within(limit: int, name: str, found: Mapping[str, object] | None) -> Mapping[str, object] | None:
    """Return a part of a record without the members that make it larger than ``limit``."""
    if found is None:
        return None
    kept = dict(found)
    size = whole = len(_encoder.encode(kept))
    sizes = {member: len(_encoder.encode(value)) for member, value in kept.items()} if size > limit else {}
    for member in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if size <= limit:
            break
        kept[member] = _omitted(member, sizes[member])
        size += len(_encoder.encode(kept[member])) - sizes[member]
    return kept if size <= limit else _omitted(name, whole)


def _omitted(name: str, size: int) -> Mapping[str, object]:
    """Return what stands for something that is too large, as in CloudTrail; ``size`` is in bytes of JSON."""
    return {"reason": f"{name} too large", "omitted": True, "originalSize": size}


def event_time(now: float) -> str:
    """Return epoch seconds as CloudTrail writes them: ``2026-03-01T12:00:00Z``."""
    return _formatted_second(int(now))


@lru_cache(maxsize=16)
def _formatted_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def error_code(code: str) -> str:
    """Return an error's code as in CloudTrail, which writes AccessDeniedException as AccessDenied."""
    return "AccessDenied" if code == "AccessDeniedException" else code


def error_message(message: str | None) -> str | UnsetType:
    """Return an error's message, cut to 1,024 characters; UNSET without one."""
    return message[:_MAX_MESSAGE] if message else UNSET
