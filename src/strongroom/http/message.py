"""An HTTP request as the front gathers it, and the reply it sends."""

from http import HTTPStatus
from typing import Protocol

import msgspec

from strongroom.errors import KmsError
from strongroom.operations.operation import Operation
from strongroom.operations.shapes import Response
from strongroom.service.counters import SUCCESS


class HttpRequest(msgspec.Struct):
    """One whole request. Header names are lower case; a header sent twice has its values joined with a comma."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    peer: str
    secure: bool
    begun: float = 0.0
    """When the whole of it was there, by the clock's timer."""
    performing: float = 0.0
    performed: float = 0.0
    """From when to when the service was at it; noted only for observers."""


class ReplyWriter(Protocol):
    """Writes answers in the protocol of the request."""

    def reply(self, result: Response | KmsError, request_id: str, operation: Operation | None = None) -> "Reply":
        """Return the reply that carries an answer or a refusal: of a call, or of what names no operation."""
        ...


class Reply(msgspec.Struct, frozen=True):
    """What is sent back. Replies to calls have a line in the audit log, and must not leave before it.

    ``writer`` wrote the body, and can write another. ``outcome`` is "success" or the code of the refusal.
    """

    status: int
    body: bytes
    content_type: str
    request_id: str
    operation: Operation | None = None
    writer: ReplyWriter | None = None
    outcome: str = SUCCESS

    def refused(self, error: KmsError) -> "Reply":
        """Return the reply that says instead why this one cannot be sent."""
        return self if self.writer is None else self.writer.reply(error, self.request_id, self.operation)

    def encode(self, date: str, *, keep_alive: bool) -> bytes:
        """Return the bytes of the response; ``date`` is its Date header (RFC 9110, 5.6.7)."""
        connection = "" if keep_alive else "Connection: close\r\n"
        head = (
            f"HTTP/1.1 {_STATUS_LINES[self.status]}\r\n"
            f"x-amzn-RequestId: {self.request_id}\r\n"
            "Cache-Control: no-cache, no-store, must-revalidate, private\r\n"
            f"Date: {date}\r\n"
            f"Content-Type: {self.content_type}\r\n"
            f"{connection}"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class CallObserver(Protocol):
    """Sees every call that has been answered: the access log, traces. It must not wait for anything."""

    def answered(self, request: HttpRequest, reply: Reply, flushing: float, flushed: float) -> None:
        """Take note of a call; the log was flushed for it between two times of the clock's timer."""
        ...
