"""Requests that this server makes of others: HTTP/1.1 over TLS, each within one deadline.

The deadline counts from before the name is looked up, and covers the connection, its handshake, the request and the
whole answer. Connections are kept open, because a handshake would take most of a short deadline. Answers are bounded,
and redirects are answers like all others: no other host is ever called. For threads that may wait.

Source: RFC 9112.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any

import httptools
import msgspec

MAX_ANSWER = 64 * 1024
"""Bytes of an answer, its head included."""
MAX_KEPT = 64
"""How many idle connections are kept open to one endpoint."""
KEPT_FOR = 30.0
"""For how many seconds an idle connection is kept: less than the minute after which most servers close it."""

_CHUNK = 16 * 1024
_INFORMATIONAL = 200
_NO_LENGTH = frozenset({b"content-length", b"transfer-encoding"})

Address = tuple[Any, ...]
Resolve = Callable[[str, int], list[tuple[int, Address]]]
"""Looks a host and a port up; returns address families and addresses, and raises OSError."""


class OutgoingError(Exception):
    """A request was not answered as it should be."""


class CannotConnect(OutgoingError):
    """No TCP connection could be made, or it ended before an answer began."""


class TlsFailed(OutgoingError):
    """No TLS session could be made: the certificate, for example, is not trusted or has another name."""


class TooLate(OutgoingError):
    """The deadline has passed."""


class BadAnswer(OutgoingError):
    """The answer is not HTTP, ends too early or is too large."""


class Deadline:
    """A point in time, by a monotonic timer."""

    def __init__(self, timer: Callable[[], float], seconds: float) -> None:
        self._timer = timer
        self._end = timer() + seconds

    def left(self) -> float:
        """Return how many seconds are left; raises TooLate if there are none."""
        seconds = self._end - self._timer()
        if seconds <= 0:
            raise TooLate
        return seconds


class Endpoint(msgspec.Struct, frozen=True):
    """Where to connect to. ``name`` is what the certificate must be for; ``host`` and ``port`` are the address."""

    name: str
    host: str
    port: int
    context: ssl.SSLContext


class Answer(msgspec.Struct, frozen=True):
    """The answer to a request; ``content_type`` is empty if it has none."""

    status: int
    content_type: str
    body: bytes


def look_up(host: str, port: int) -> list[tuple[int, Address]]:
    """Return the addresses of a host, as ``Resolve`` says."""
    return [(found[0], found[4]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class _Lookup:
    """A lookup under way, and what it found."""

    def __init__(self) -> None:
        self.done = Event()
        self.found: list[tuple[int, Address]] = []
        self.error = ""


class Resolver:
    """Looks names up within a deadline, which getaddrinfo(3) cannot do: on threads, one at a time for each name."""

    def __init__(self, resolve: Resolve = look_up) -> None:
        self._resolve = resolve
        self._under_way: dict[tuple[str, int], _Lookup] = {}
        self._lock = Lock()

    def addresses(self, host: str, port: int, deadline: Deadline) -> list[tuple[int, Address]]:
        """Return the addresses of a host; raises CannotConnect if there are none by the deadline."""
        place = (host, port)
        with self._lock:
            lookup = self._under_way.get(place)
            if lookup is None:
                lookup = self._under_way[place] = _Lookup()
                try:
                    Thread(target=self._run, args=(place, lookup), name="resolver", daemon=True).start()
                except RuntimeError:
                    del self._under_way[place]
                    raise CannotConnect("no thread can be started to look its name up") from None
        if not lookup.done.wait(deadline.left()):
            raise CannotConnect(f"the name {host} could not be looked up in time")
        if not lookup.found:
            raise CannotConnect(f"the name {host} could not be looked up: {lookup.error}")
        return lookup.found

    def _run(self, place: tuple[str, int], lookup: _Lookup) -> None:
        try:
            lookup.found = self._resolve(*place)
        except (OSError, UnicodeError) as error:
            lookup.error = str(error)
        finally:
            with self._lock:
                del self._under_way[place]
            lookup.done.set()


class _Reader:
    """Puts an answer together; the methods named ``on_`` are those that httptools calls."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._fresh()
        self._received = 0
        self.ended = False
        self.may_be_kept = False

    def _fresh(self) -> None:
        self._has_length = self._in_body = False
        self.content_type = ""
        self.body = b""
        self.status = 0

    def feed(self, data: bytes) -> None:
        """Take on more of the answer; raises BadAnswer."""
        self._received += len(data)
        if self._received > MAX_ANSWER:
            raise BadAnswer(f"it is larger than {MAX_ANSWER} bytes")
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BadAnswer(f"it is not HTTP: {error!r}") from None

    def end(self) -> None:
        """Take the end of the connection on; raises CannotConnect before an answer began, BadAnswer within one."""
        if self._received == 0:
            raise CannotConnect("the connection was closed before an answer")
        if not self._in_body or self._has_length:
            raise BadAnswer("the connection was closed in the midst of the answer")
        self.ended = True

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._has_length = self._has_length or name in _NO_LENGTH
        if name == b"content-type":
            self.content_type = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._in_body = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        if self.ended:
            raise BadAnswer("a second answer follows it")
        if self.status < _INFORMATIONAL:
            # 100 Continue, for example: the answer itself follows (RFC 9110, 15.2).
            self._fresh()
            return
        self.ended = True
        self.may_be_kept = self._parser.should_keep_alive()


class Connections:
    """Open connections to some endpoints. Safe to use from several threads; each connection has one user at a time."""

    def __init__(self, timer: Callable[[], float], resolver: Resolver | None = None) -> None:
        self._timer = timer
        self._resolver = resolver or Resolver()
        self._kept: dict[Endpoint, list[tuple[ssl.SSLSocket, float]]] = {}
        self._lock = Lock()
        self.opened = 0
        """How many connections were opened."""

    def exchange(self, endpoint: Endpoint, request: bytes, deadline: Deadline) -> Answer:
        """Send a request and return its answer; raises OutgoingError.

        A kept connection that the other side has closed in the meantime is replaced, within the same deadline. A
        request is not sent again once any of its answer has arrived.
        """
        kept = self._take(endpoint)
        if kept is not None:
            with suppress(CannotConnect):
                return self._use(endpoint, kept, request, deadline)
        return self._use(endpoint, self._open(endpoint, deadline), request, deadline)

    def close(self) -> None:
        """Close the connections that nothing uses."""
        with self._lock:
            idle = [connection for kept in self._kept.values() for connection, _ in kept]
            self._kept.clear()
        for connection in idle:
            connection.close()

    def _take(self, endpoint: Endpoint) -> ssl.SSLSocket | None:
        """Return a kept connection that is still open."""
        while True:
            with self._lock:
                kept = self._kept.get(endpoint)
                if not kept:
                    return None
                connection, since = kept.pop()
            if self._timer() - since < KEPT_FOR and _is_quiet(connection):
                return connection
            connection.close()

    def _keep(self, endpoint: Endpoint, connection: ssl.SSLSocket) -> None:
        with self._lock:
            kept = self._kept.setdefault(endpoint, [])
            if len(kept) < MAX_KEPT:
                kept.append((connection, self._timer()))
                return
        connection.close()

    def _open(self, endpoint: Endpoint, deadline: Deadline) -> ssl.SSLSocket:
        plain = _connected(self._resolver.addresses(endpoint.host, endpoint.port, deadline), deadline)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secure = endpoint.context.wrap_socket(plain, server_hostname=endpoint.name, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            plain.close()
            raise TlsFailed(str(error)) from None
        try:
            secure.settimeout(deadline.left())
            secure.do_handshake()
        except TimeoutError:
            secure.close()
            raise TooLate from None
        except OSError as error:
            secure.close()
            raise TlsFailed(str(error)) from None
        except TooLate:
            secure.close()
            raise
        self.opened += 1
        return secure

    def _use(self, endpoint: Endpoint, connection: ssl.SSLSocket, request: bytes, deadline: Deadline) -> Answer:
        reader = _Reader()
        try:
            _send(connection, request, deadline)
            while not reader.ended:
                received = _receive(connection, deadline)
                if received:
                    reader.feed(received)
                else:
                    reader.end()
        except BaseException:
            connection.close()
            raise
        if reader.may_be_kept:
            self._keep(endpoint, connection)
        else:
            connection.close()
        return Answer(reader.status, reader.content_type, reader.body)


def _connected(addresses: list[tuple[int, Address]], deadline: Deadline) -> socket.socket:
    """Return a connection to the first address that takes one; each has its share of the time that is left."""
    reason = ""
    for position, (family, address) in enumerate(addresses):
        plain = None
        try:
            plain = socket.socket(family, socket.SOCK_STREAM)
            plain.settimeout(deadline.left() / (len(addresses) - position))
            plain.connect(address)
        except TooLate:
            if plain is not None:
                plain.close()
            raise CannotConnect(reason or "it takes no connection in time") from None
        except OSError as error:
            if plain is not None:
                plain.close()
            reason = str(error)
        else:
            return plain
    raise CannotConnect(reason)


def _send(connection: ssl.SSLSocket, data: bytes, deadline: Deadline) -> None:
    rest = memoryview(data)
    while rest:
        connection.settimeout(deadline.left())
        try:
            rest = rest[connection.send(rest) :]
        except TimeoutError:
            raise TooLate from None
        except OSError as error:
            raise CannotConnect(str(error)) from None


def _receive(connection: ssl.SSLSocket, deadline: Deadline) -> bytes:
    """Return what has arrived; nothing at the end of the connection, also if that is a reset."""
    connection.settimeout(deadline.left())
    try:
        return connection.recv(_CHUNK)
    except TimeoutError:
        raise TooLate from None
    except ssl.SSLEOFError:
        return b""
    except ssl.SSLError as error:
        # An alert, for example: in TLS 1.3 a server refuses a client's certificate only after the handshake.
        raise TlsFailed(str(error)) from None
    except OSError:
        return b""


def _is_quiet(connection: ssl.SSLSocket) -> bool:
    """Tell whether an idle connection is open and nothing has arrived that was not asked for."""
    try:
        connection.settimeout(0)
        # In TLS 1.3 session tickets may wait; reading takes them from the socket and returns no data.
        connection.recv(1)
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False
    return False
