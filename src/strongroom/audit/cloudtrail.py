"""Audit records in the shape of CloudTrail events, one JSON line each.

Source: AWS CloudTrail User Guide, "CloudTrail record contents", and KMS Developer Guide, "Logging AWS KMS API calls".
A record never holds plaintext, ciphertext, key bytes or grant tokens; ``parameters`` sees to that.
"""

import time
from collections.abc import Mapping
from functools import lru_cache

import msgspec
from msgspec import UNSET, UnsetType

_EVENT_VERSION = "1.11"
_EVENT_SOURCE = "kms.amazonaws.com"
_INTERNAL = "AWS Internal"


class UserIdentity(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """Who called. ``type`` is CloudTrail's: Root, IAMUser, AssumedRole, …, or Unknown when no signature verified."""

    type: str
    principal_id: str = ""
    arn: str = ""
    account_id: str = ""
    access_key_id: str = ""
    user_name: str = ""
    identity_provider: str = ""
    session_context: Mapping[str, object] | None = None
    invoked_by: str = ""


UNKNOWN_IDENTITY = UserIdentity("Unknown")


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


class Occasion(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """How a record begins: who did what, when and from where. Order of fields is the order on the line."""

    event_version: str = _EVENT_VERSION
    user_identity: UserIdentity
    event_time: str
    event_source: str = _EVENT_SOURCE
    event_name: str
    aws_region: str
    source_ip_address: str | UnsetType = msgspec.field(name="sourceIPAddress", default=UNSET)
    user_agent: str | UnsetType = UNSET


class Outcome(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """How it goes on: what was asked for and what came of it."""

    error_code: str | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    request_parameters: Mapping[str, object] | None = None
    response_elements: Mapping[str, object] | None = None
    additional_event_data: Mapping[str, object] | UnsetType = UNSET
    request_id: str | UnsetType = msgspec.field(name="requestID", default=UNSET)
    event_id: str = msgspec.field(name="eventID")


class Bearing(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """How it ends: what and whom it concerns."""

    read_only: bool
    resources: tuple[Resource, ...] = ()
    event_type: str = "AwsApiCall"
    management_event: bool = True
    recipient_account_id: str | UnsetType = UNSET
    service_event_details: Mapping[str, object] | UnsetType = UNSET
    event_category: str = "Management"


_encoder = msgspec.json.Encoder()


def beginning(occasion: Occasion) -> bytes:
    """Return the beginning of a line. One may serve many records: what a client does within a second is much alike."""
    return _encoder.encode(occasion)[:-1] + b","


def ending(bearing: Bearing) -> bytes:
    """Return the end of a line, which may serve many records too."""
    return b"," + _encoder.encode(bearing)[1:]


def line(begins: bytes, outcome: Outcome, ends: bytes) -> bytes:
    """Return a record as one line of JSON, without its newline."""
    return begins + _encoder.encode(outcome)[1:-1] + ends


def event_time(now: float) -> str:
    """Return epoch seconds as CloudTrail writes them: ``2026-03-01T12:00:00Z``."""
    return _shown(int(now))


@lru_cache(maxsize=16)
def _shown(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def internal_call(  # noqa: PLR0913 - the facts of a call
    *, name: str, account: str, region: str, arn: str, event_id: str, request_id: str, now: float
) -> bytes:
    """Return the line of a call that the service made to itself: SynchronizeMultiRegionKey."""
    occasion = Occasion(
        user_identity=_ourselves(account),
        event_time=event_time(now),
        event_name=name,
        aws_region=region,
        source_ip_address=_INTERNAL,
        user_agent=_INTERNAL,
    )
    bearing = Bearing(read_only=False, resources=(key_resource(account, arn),), recipient_account_id=account)
    return line(beginning(occasion), Outcome(request_id=request_id, event_id=event_id), ending(bearing))


def service_event(  # noqa: PLR0913 - the facts of a service event
    *, name: str, account: str, region: str, arn: str, details: Mapping[str, object], event_id: str, now: float
) -> bytes:
    """Return the line of something the service did by itself: RotateKey, DeleteKey."""
    occasion = Occasion(
        user_identity=_ourselves(account), event_time=event_time(now), event_name=name, aws_region=region
    )
    bearing = Bearing(
        read_only=False,
        resources=(key_resource(account, arn),),
        event_type="AwsServiceEvent",
        recipient_account_id=account,
        service_event_details=details,
    )
    return line(beginning(occasion), Outcome(event_id=event_id), ending(bearing))


def _ourselves(account: str) -> UserIdentity:
    return UserIdentity("AWSAccount", account_id=account, invoked_by=_INTERNAL)
