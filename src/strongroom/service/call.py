"""A call as the front door hands it over."""

from typing import Protocol

import msgspec

from strongroom.operations.context import Origin
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Request
from strongroom.snapshot.principals import Credential


class Wire(Protocol):
    """How a request is written."""

    def decode(self, operation: Operation, body: bytes) -> Request:
        """Return the request in ``body``; raises SerializationException or ValidationException."""
        ...


class Call(msgspec.Struct, frozen=True):
    """A call whose signature has been verified. ``now`` is when it arrived, epoch seconds."""

    operation: Operation
    credential: Credential
    region: str
    wire: Wire
    body: bytes
    origin: Origin
    now: float
