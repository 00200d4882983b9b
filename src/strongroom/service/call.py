"""A call as the front door hands it over, and what comes back."""

import msgspec

from strongroom.operations.operation import Operation
from strongroom.snapshot.snapshot import Credential


class Origin(msgspec.Struct, frozen=True):
    """Where a request came from, for audit and for policy conditions."""

    request_id: str
    source_ip: str
    user_agent: str
    secure: bool


class Call(msgspec.Struct, frozen=True):
    """A call whose signature has been verified. ``now`` is when it arrived, epoch seconds."""

    operation: Operation
    credential: Credential
    region: str
    body: bytes
    origin: Origin
    now: float


class Outcome(msgspec.Struct, frozen=True):
    """What to answer: HTTP status and JSON body, empty for operations without output."""

    status: int
    body: bytes
