"""The shape of audit records: CloudTrail events, one JSON line each. Pure.

A line is encoded in three parts, because the first and the last part are the same for many records. The head has the
caller, the time and the source; the body the parameters and the outcome; the tail the resources.

Source: AWS CloudTrail User Guide, "CloudTrail record contents", and KMS Developer Guide, "Logging AWS KMS API calls".
A record never holds plaintext, ciphertext, key bytes or grant tokens; ``parameters`` leaves them out.
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
    """Return the beginning of a line. It is shared by all records of one caller and operation within a second."""
    return _encoder.encode(head)[:-1] + b","


def encode_tail(tail: RecordTail) -> bytes:
    """Return the end of a line, which many records share too."""
    return b"," + _encoder.encode(tail)[1:]


def encode_record(head: bytes, body: RecordBody, tail: bytes) -> bytes:
    """Return a record as one line of JSON, without its newline, between an encoded head and tail."""
    return head + _encoder.encode(body)[1:-1] + tail


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
