"""One client connection: bytes in, whole requests to the handler, replies back in order."""

import asyncio
from collections import deque
from typing import NoReturn, Protocol, cast

import httptools
import msgspec
from typing_extensions import override

from strongroom.http.fast_parser import FastParser
from strongroom.http.framing import Framing
from strongroom.http.heads import HEADER_SIZE, MOST_LINES, USUAL_NAMES, VERSIONS, WRONG_VERSION, refusal_of_codings
from strongroom.http.held_bytes import HeldBytes
from strongroom.http.message import REQUEST_SIZE, HttpRequest
from strongroom.http.request_target import RequestTarget, parse
from strongroom.http.timeouts import NEVER, Timeouts

_SMALL = 12 * 1024
"""Bytes that a connection may hold without being charged: enough for any call that only uses keys."""
_NO_TARGET = RequestTarget("", "")


class Limits(msgspec.Struct, frozen=True):
    """The limits of a connection. Sizes are in bytes."""

    head: int = 32 * 1024
    body: int = 1024 * 1024
    pipelined: int = 16
    timeouts: Timeouts = Timeouts()


class Handler(Protocol):
    """Handles whole requests, and answers each with ``Connection.send``."""

    held_bytes: HeldBytes
    """The memory that connections hold is charged to it."""

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
        """Answer bytes that are no request, or one that is too large; ``headers`` are those read so far."""
        ...


class Connection(asyncio.Protocol):
    """Parses requests and passes them to the handler one at a time.

    ``fast_parser`` parses the usual requests, httptools all others. Pipelined requests wait here; when too many do, the
    socket is not read. No request is started before the client has read the last reply. ``deadline`` is the loop time
    at which a connection is closed if its client has not sent its request or read its answer.
    """

    def __init__(self, handler: Handler, limits: Limits, fast_parser: FastParser, *, secure: bool) -> None:
        self._handler = handler
        self._limits = limits
        self._timeouts = limits.timeouts
        self._fast_parser = fast_parser
        self._secure = secure
        self._transport: asyncio.Transport | None = None
        # Made after the TLS handshake, because they form a reference cycle: a connection that fails before must be
        # freed without the garbage collector (``handshakes``).
        self._parser: httptools.HttpRequestParser
        self._peer = ""
        # The request that is being read.
        self._between = True
        self._framing = Framing(limits.head)
        self._lines = 0
        self._url = b""
        self._target = _NO_TARGET
        self._headers: dict[str, str] = {}
        self._body: bytes | bytearray = b""
        self._refusal = 0
        # The requests that were read, with what each of them holds.
        self._waiting: deque[tuple[HttpRequest, int]] = deque()
        self._paused = False
        self._last_request_read = False
        self._writable = True
        # The bytes that the connection holds, and those of them that it has charged.
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
        # Every reply that the client does not read at once is reported, and only that one is buffered.
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
        # In pieces: otherwise one read could hold many more requests than the limits allow.
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
            if self._framing.head_size:
                # Empty lines before the request line, such as some clients send behind a body.
                self._framing.begin_head()
            request = HttpRequest("POST", "/", "", headers, body, self._peer, self._secure, received_at)
            if not self._take(request, len(data) + HEADER_SIZE * len(headers)):
                self._refuse(429, headers)
        else:
            self._parse(data)
        if self._between and not self._waiting:
            return
        if (self._waiting or self._read_size() > _SMALL) and self._charge() and not self._last_request_read:
            headers = self._headers
            self._forget()
            self._charge()
            self._refuse(429, headers)

    def _parse(self, data: bytes) -> None:
        start = 0
        try:
            while start < len(data) and not self._last_request_read:
                part = self._framing.take(data, start)
                start += len(part)
                if part:
                    self._parser.feed_data(part)
                else:
                    self._refuse(431, self._headers)
        except httptools.HttpParserUpgrade:
            self._refuse(400, self._headers)
        except httptools.HttpParserError as error:
            self._refuse(self._refusal or (505 if str(error) in WRONG_VERSION else 400), self._headers)

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
        if self.busy:
            # The client has read the last reply, and waits for the next.
            self.deadline = NEVER
        else:
            self._next()

    # --- what the parser calls

    def on_message_begin(self) -> None:
        """Start a request; the client has a limited time to finish it."""
        self._between = False
        self._lines = 0
        if not self.busy:
            self.deadline = self._handler.time() + self._timeouts.request

    def on_url(self, url: bytes) -> None:
        """Take the request target, or a piece of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one sent twice counts as one with both values (RFC 9110, 5.2).

        Trailers are refused: they are not needed, and a field after the body must not be taken for a header.
        """
        if not self._framing.in_head:
            raise ValueError("trailer")  # httptools turns it into HttpParserCallbackError
        self._lines += 1
        if self._lines > MOST_LINES:
            self._fail(431)
        # Latin-1 keeps every byte, so that the signature is checked over what was sent.
        key = USUAL_NAMES.get(name) or name.decode("latin-1").lower()
        text = value.decode("latin-1").strip(" \t")
        if key in self._headers:
            text = f"{self._headers[key]},{text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        """Refuse a head that is not supported; send 100 Continue if it is expected (RFC 9110, 10.1.1)."""
        headers = self._headers
        version = self._parser.get_http_version()
        if version not in VERSIONS:
            self._fail(505)
        if "transfer-encoding" in headers and (status := refusal_of_codings(headers["transfer-encoding"], version)):
            self._fail(status)
        target = parse(self._url.decode("latin-1"), headers.get("host"))
        self._url = b""
        if target is None:
            self._fail(400)
        self._target = target
        if target.authority is not None:
            headers["host"] = target.authority
        length = int(headers.get("content-length", "0"))
        self._require_size(length)
        self._framing.begin_body(None if "transfer-encoding" in headers else length)
        # Not before earlier requests are answered. A client that gets no 100 Continue sends its body after a while.
        idle = not self.busy and not self._waiting
        if idle and headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._require_size(len(self._body) + len(chunk))
        if not self._body:
            self._body = chunk
        else:
            # Not a list: each of many small pieces would take many times its size.
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += chunk

    def on_message_complete(self) -> None:
        """Take the request that was read."""
        path, query, headers = self._target.path, self._target.query, self._headers
        method, body = self._parser.get_method().decode("latin-1"), bytes(self._body)
        size = self._read_size()
        # An idle connection holds nothing.
        self._forget_read()
        self._between = True
        self._last_request_read = self._last_request_read or not self._parser.should_keep_alive()
        received_at = self._handler.timer()
        request = HttpRequest(method, path, query, headers, body, self._peer, self._secure, received_at)
        if not self._take(request, size):
            self._headers = headers
            self._fail(429)

    # --- what the handler calls

    def send(self, reply: bytes, *, close: bool) -> None:
        """Write the reply to the request in progress, and start the next."""
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
        """Close now if idle, or after the reply to the request in progress."""
        self._last_request_read = True
        self._forget()
        if not self.busy and self._transport is not None:
            self._transport.close()

    def postpone(self, late: float) -> None:
        """Give the client ``late`` more seconds, in which the loop did not run, but no more in all than it ever has.

        What is read before this is called has got its deadline after them.
        """
        if self.deadline != NEVER:
            most = self._handler.time() + max(self._timeouts.request, self._timeouts.idle)
            self.deadline = min(self.deadline + late, most)

    def drop(self) -> None:
        """Close at once, also while a request is in progress."""
        if self._transport is not None:
            self._transport.abort()

    # --- steps

    def _take(self, request: HttpRequest, size: int) -> bool:
        """Pass a request to the handler, or let it wait until earlier ones are answered.

        Return False if it is not taken, because clients would hold too much with its ``size``.
        """
        if not self.busy and self._writable and not self._waiting:
            self._working_size = size
            if size > _SMALL and self._charge():
                self._working_size = 0
                self._charge()
                return False
            self._start(request)
            return True
        self._waiting.append((request, size))
        self._waiting_size += size + REQUEST_SIZE
        if len(self._waiting) > self._limits.pipelined and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        return True

    def _next(self) -> None:
        if not self._writable:
            return
        if not self._waiting:
            self.deadline = self._handler.time() + (self._timeouts.idle if self._between else self._timeouts.request)
            return
        request, self._working_size = self._waiting.popleft()
        self._waiting_size -= self._working_size + REQUEST_SIZE
        if self._paused and not self._waiting and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        self._start(request)

    def _start(self, request: HttpRequest) -> None:
        self.busy = True
        self.deadline = NEVER
        self._handler.handle(self, request)

    def _forget(self) -> None:
        """Release what is being read, and the requests that wait."""
        self._forget_read()
        self._waiting_size = 0
        self._waiting.clear()

    def _forget_read(self) -> None:
        self._framing.begin_head()
        self._url = self._body = b""
        self._target = _NO_TARGET
        self._headers = {}

    def _read_size(self) -> int:
        """Return how many bytes what is being read holds."""
        return self._framing.head_size + HEADER_SIZE * len(self._headers) + len(self._body)

    def _charge(self) -> bool:
        """Charge the bytes held, also after the client has disconnected; return True if they exceed the limit."""
        held = self._read_size() + self._waiting_size + self._working_size + self._unread_size
        before, self._charged = self._charged, max(0, held - _SMALL)
        return self._handler.held_bytes.change(self._charged - before)

    def _require_size(self, size: int) -> None:
        if size > self._limits.body:
            self._fail(413)

    def _fail(self, status: int) -> NoReturn:
        """Have the parser stop, and the request refused with a status."""
        self._refusal = status
        raise ValueError(status)  # httptools turns it into HttpParserCallbackError

    def _refuse(self, status: int, headers: dict[str, str]) -> None:
        """Answer bytes that are not taken. If earlier requests still wait for their answers, just close."""
        self._last_request_read = True
        if self._transport is not None:
            self._transport.pause_reading()
        if not self.busy and not self._waiting:
            self.busy = True
            self._handler.malformed(self, status, headers)
