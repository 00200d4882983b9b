"""An HTTP request as it was received, and a response and its bytes. Nothing here knows what a request asks for."""

from http import HTTPStatus

import msgspec

REQUEST_SIZE = 2 * 1024
"""Bytes that a request which waits holds apart from its head and body, at most."""
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class HttpRequest(msgspec.Struct):
    """One whole request.

    Header names are lower case; a header sent twice has its values joined with a comma. Times are seconds of the
    clock's timer. Work on the request took place from ``started_at`` to ``finished_at``; these are set for calls that
    run on a thread, and for all calls if there are observers.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    peer: str
    secure: bool
    received_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0


class HttpResponse(msgspec.Struct, frozen=True):
    """A response. ``request_id`` is sent as ``x-amzn-RequestId``, the header in which AWS clients look for it."""

    status: int
    body: bytes
    content_type: str
    request_id: str

    def encode(self, date: str, *, keep_alive: bool, more_headers: str = "") -> bytes:
        """Return the bytes of the response; ``date`` is its Date header (RFC 9110, 5.6.7).

        ``more_headers`` are further header lines, each with its line end.
        """
        connection = "" if keep_alive else "Connection: close\r\n"
        head = (
            f"HTTP/1.1 {_STATUS_LINES[self.status]}\r\n"
            f"x-amzn-RequestId: {self.request_id}\r\n"
            "Cache-Control: no-cache, no-store, must-revalidate, private\r\n"
            f"Date: {date}\r\n"
            f"Content-Type: {self.content_type}\r\n"
            f"{connection}{more_headers}"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body
