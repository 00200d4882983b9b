"""One client connection: bytes in, whole requests to the handler, replies back in order."""

import asyncio
from collections import deque
from typing import Protocol, cast

import httptools
import msgspec
from typing_extensions import override

from strongroom.http.fast_parser import FastParser
from strongroom.http.held_bytes import HeldBytes
from strongroom.http.message import HttpRequest
from strongroom.http.timeouts import NEVER, Timeouts

_HEADERS = 100
"""How many headers a request may have: each costs many times its bytes. Clients send a dozen."""
_SMALL = 8 * 1024
"""Bytes that a connection may hold without being charged: enough for any call that only uses keys."""
_REQUEST = 2 * 1024
"""Bytes that a waiting request costs apart from its body."""
_USUAL_NAMES = {
    spelling.encode(): name.lower()
    for name in (
        *("Host", "Accept-Encoding", "User-Agent", "Content-Type", "Content-Length", "Connection", "Authorization"),
        *("X-Amz-Date", "X-Amz-Target", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "Amz-Sdk-Invocation-Id"),
        "Amz-Sdk-Request",
    )
    for spelling in (name, name.lower())
}
"""Header names as clients spell them → in lower case, so that this is not computed for every request."""


class Limits(msgspec.Struct, frozen=True):
    """What a connection may cost. Sizes in bytes."""

    head: int = 32 * 1024
    body: int = 1024 * 1024
    pipelined: int = 16
    timeouts: Timeouts = Timeouts()


class Handler(Protocol):
    """Takes whole requests, and answers each with ``Connection.send``."""

    held_bytes: HeldBytes
    """What connections hold is charged to it."""

    def time(self) -> float:
        """Return the loop's time."""
        ...

    def timer(self) -> float:
        """Return seconds for durations, finer than the loop's time."""
        ...

    def opened(self, connection: "Connection", /) -> "Handler":
        """Note a new connection, and return the handler of its requests."""
        ...

    def closed(self, connection: "Connection", /) -> None:
        """Forget a connection."""
        ...

    def handle(self, connection: "Connection", request: HttpRequest, /) -> None:
        """Start work on a request."""
        ...

    def malformed(self, connection: "Connection", status: int, headers: dict[str, str], /) -> None:
        """Answer bytes that are no request, or too large a one; ``headers`` as far as they were read."""
        ...


class Connection(asyncio.Protocol):
    """Parses requests, the usual ones by itself and all others with httptools, and hands them on one at a time.

    Requests pipelined behind the one in work wait here; when too many do, the socket is not read. Nothing is started
    while a reply has not been taken. ``deadline`` is the loop time at which a connection is dropped whose client has
    not done its part by then.
    """

    def __init__(self, handler: Handler, limits: Limits, fast_parser: FastParser, *, secure: bool) -> None:
        self._handler = handler
        self._limits = limits
        self._timeouts = limits.timeouts
        self._fast_parser = fast_parser
        self._secure = secure
        self._transport: asyncio.Transport | None = None
        # Made when the TLS handshake is over: they refer to each other, and what fails before must not wait for the
        # garbage collector to be gone (``handshakes``).
        self._parser: httptools.HttpRequestParser
        self._peer = ""
        # The request being read.
        self._between = True
        self._in_head = True
        self._head_size = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: bytes | bytearray = b""
        self._refusal = 0
        # The requests read.
        self._waiting: deque[HttpRequest] = deque()
        self._paused = False
        self._last_request_read = False
        self._writable = True
        # What is held, and what of it has been charged, in bytes.
        self._waiting_size = 0
        self._working_size = 0
        self._unread_size = 0
        self._charged = 0
        self.busy = False
        self.deadline = NEVER

    # --- what the transport calls

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)
        peer = transport.get_extra_info("peername")
        # A listener for IPv6 sees IPv4 peers as ::ffff:a.b.c.d; policies and proxies know them by their own address.
        self._peer = str(peer[0]).removeprefix("::ffff:") if isinstance(peer, tuple) else ""
        # So that every reply the client does not read at once is reported, and no more than that one is held.
        self._transport.set_write_buffer_limits(high=1)
        self.deadline = self._handler.time() + self._timeouts.request
        self._handler = self._handler.opened(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._unread_size = 0
        self._forget()
        self._charge()
        self._handler.closed(self)

    @override
    def data_received(self, data: bytes) -> None:
        # In pieces: otherwise one read could hold a larger head, or more requests, than the limits allow.
        size = self._limits.head
        if len(data) <= size:
            self._receive(data)
        else:
            for at in range(0, len(data), size):
                self._receive(data[at : at + size])

    def _receive(self, data: bytes) -> None:
        if self._last_request_read:
            return
        if self._between and (plain := self._fast_parser.read(data)) is not None:
            headers, body = plain
            received_at = self._handler.timer()
            self._take(HttpRequest("POST", "/", "", headers, body, self._peer, self._secure, received_at))
        else:
            self._parse(data)
        held = self._waiting or len(self._body) > _SMALL or self._head_size > _SMALL
        if held and self._charge() and not self._last_request_read:
            self._forget()
            self._refuse(429)

    def _parse(self, data: bytes) -> None:
        if self._in_head:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
            if self._in_head and (self._head_size > self._limits.head or len(self._headers) > _HEADERS):
                self._refuse(431)
        except httptools.HttpParserUpgrade:
            self._refuse(400)
        except httptools.HttpParserError:
            self._refuse(self._refusal or 400)

    @override
    def pause_writing(self) -> None:
        self._writable = False
        self.deadline = self._handler.time() + self._timeouts.request
        if self._transport is not None:
            self._unread_size = self._transport.get_write_buffer_size()
            if self._charge():
                self.drop()

    @override
    def resume_writing(self) -> None:
        self._writable = True
        self._unread_size = 0
        self._charge()
        if not self.busy:
            self._next()

    # --- what the parser calls

    def on_message_begin(self) -> None:
        """Start a request; the client has a limited time to finish it."""
        self._between = False
        self._in_head = True
        self._url = b""
        self._headers = {}
        if not self.busy:
            self.deadline = self._handler.time() + self._timeouts.request

    def on_url(self, url: bytes) -> None:
        """Take the request target, or a piece of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one sent twice counts as one with both values (RFC 9110, 5.2).

        Trailers are refused: nothing here has a use for them, and what comes after the body must not pass for a header.
        """
        if not self._in_head:
            raise ValueError("trailer")  # httptools turns it into HttpParserCallbackError
        # Latin-1 keeps every byte, so that the signature is checked over what was sent.
        key = _USUAL_NAMES.get(name) or name.decode("latin-1").lower()
        text = value.decode("latin-1").strip(" \t")
        if key in self._headers:
            text = f"{self._headers[key]},{text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        """Refuse a body that is announced too large; ask for one that the client holds back (RFC 9110, 10.1.1)."""
        self._in_head = False
        self._head_size = 0
        if len(self._headers) > _HEADERS:
            self._refusal = 431
            raise ValueError("too many headers")  # httptools turns it into HttpParserCallbackError
        self._require_size(int(self._headers.get("content-length", "0")))
        # Not before the answers to the requests ahead of it; a client that waits too long sends its body anyway.
        idle = not self.busy and not self._waiting
        if idle and self._headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._require_size(len(self._body) + len(chunk))
        if not self._body:
            self._body = chunk
        else:
            # Not a list: of the smallest pieces, each would cost many times its bytes.
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += chunk

    def on_message_complete(self) -> None:
        """Take the request that was read."""
        path, _, query = self._url.decode("latin-1").partition("?")
        method, body = self._parser.get_method().decode("latin-1"), bytes(self._body)
        # An idle connection holds nothing.
        self._body = b""
        self._between = self._in_head = True
        self._last_request_read = not self._parser.should_keep_alive()
        received_at = self._handler.timer()
        self._take(HttpRequest(method, path, query, self._headers, body, self._peer, self._secure, received_at))

    # --- what the handler calls

    def send(self, reply: bytes, *, close: bool) -> None:
        """Write the reply to the request in work, and go on with the next."""
        self.busy = False
        self._working_size = 0
        if self._charged:
            self._charge()
        if self._transport is None:
            return
        self._transport.write(reply)
        if close or (self._last_request_read and not self._waiting):
            self._transport.close()
        else:
            self._next()

    @property
    def last(self) -> bool:
        """Whether the reply being written is the connection's last."""
        return self._last_request_read and not self._waiting

    def finish(self) -> None:
        """Close now if idle, or after the reply to the request in work."""
        self._last_request_read = True
        self._forget()
        if not self.busy and self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Close at once, whatever is going on."""
        if self._transport is not None:
            self._transport.abort()

    # --- steps

    def _take(self, request: HttpRequest) -> None:
        """Hand a request on, or let it wait for its turn."""
        if not self.busy and self._writable and not self._waiting:
            self._start(request)
            return
        self._waiting.append(request)
        self._waiting_size += len(request.body) + _REQUEST
        if len(self._waiting) > self._limits.pipelined and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _next(self) -> None:
        if not self._writable:
            return
        if not self._waiting:
            self.deadline = self._handler.time() + self._timeouts.idle
            return
        request = self._waiting.popleft()
        self._waiting_size -= len(request.body) + _REQUEST
        if self._paused and not self._waiting and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        self._start(request)

    def _start(self, request: HttpRequest) -> None:
        self.busy = True
        self.deadline = NEVER
        self._working_size = len(request.body)
        self._handler.handle(self, request)

    def _forget(self) -> None:
        """Release what is being read, and the requests that wait."""
        self._head_size = self._waiting_size = 0
        self._body = b""
        self._waiting.clear()

    def _charge(self) -> bool:
        """Charge for what is held, also by a call whose client is gone; tell whether there is no room for it."""
        held = self._head_size + len(self._body) + self._waiting_size + self._working_size + self._unread_size
        before, self._charged = self._charged, max(0, held - _SMALL)
        return self._handler.held_bytes.change(self._charged - before)

    def _require_size(self, size: int) -> None:
        if size > self._limits.body:
            self._refusal = 413
            raise ValueError("body too large")  # httptools turns it into HttpParserCallbackError

    def _refuse(self, status: int) -> None:
        """Answer what cannot be parsed, unless earlier requests still wait for their answers; then just close."""
        self._last_request_read = True
        if self._transport is not None:
            self._transport.pause_reading()
        if not self.busy and not self._waiting:
            self.busy = True
            self._handler.malformed(self, status, self._headers)
