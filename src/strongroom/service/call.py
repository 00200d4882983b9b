"""A call as the server hands it over: verified, not decoded yet."""

from typing import Protocol

import msgspec

from strongroom.operations.context import Origin
from strongroom.operations.lanes import Lane
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Request
from strongroom.snapshot.principals import Credential


class Wire(Protocol):
    """The protocol in which a request is written."""

    def decode(self, operation: Operation, body: bytes) -> Request:
        """Return the request in ``body``; raises SerializationException or ValidationException."""
        ...


class Call(msgspec.Struct, frozen=True):
    """A call whose signature has been verified, or that needs none. ``now`` is when it was admitted, epoch seconds.

    ``credential`` signed it, with the session token ``token`` if it is a temporary one. ``on_behalf_of`` is the ARN of
    the principal in whose name the signer, a trusted service, calls. ``lane`` is the first guess of where it runs.
    """

    operation: Operation
    credential: Credential
    region: str
    wire: Wire
    body: bytes
    origin: Origin
    now: float
    token: str | None = None
    on_behalf_of: str | None = None
    lane: Lane = Lane.INLINE

    @property
    def signed(self) -> bool:
        """Whether the call was signed with an access key."""
        return bool(self.credential.access_key_id)
