"""An answered call as its observers see it: the access log and traces."""

from typing import Protocol

import msgspec

from strongroom.http.message import HttpRequest
from strongroom.operations.operation import Operation


class AnsweredCall(msgspec.Struct, frozen=True):
    """A call and its outcome: "success" or the code of the error.

    The audit log was flushed for it from ``flush_started_at`` to ``flushed_at``, by the clock's timer in seconds.
    """

    request: HttpRequest
    operation: Operation
    request_id: str
    status: int
    outcome: str
    flush_started_at: float
    flushed_at: float

    @property
    def duration(self) -> float:
        """Seconds from the complete request to its answer."""
        return self.flushed_at - self.request.received_at


class CallObserver(Protocol):
    """An observer of answered calls. It is called on the event loop, so it must not wait for anything."""

    def answered(self, call: AnsweredCall) -> None:
        """Observe a call."""
        ...
