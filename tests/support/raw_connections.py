"""Many connections to a server at once, from one thread, over plain sockets."""

import resource
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from clients import Raw, signed
from local_server import RunningServer
from strongroom.descriptors import readable
from strongroom.http.message import HttpRequest

PATIENCE = 120.0
"""Seconds. They only bound a hang, on a busy machine."""
THROTTLED = b'{"__type":"ThrottlingException"'


class Reply(msgspec.Struct):
    """The reply on one connection. ``status`` is None if the connection was closed before the reply was complete."""

    status: int | None
    body: bytes = b""
    closed: bool = False

    @property
    def throttled(self) -> bool:
        """Whether the call was refused with ThrottlingException."""
        return self.status == 400 and self.body.startswith(THROTTLED)


def signed_request_bytes(server: RunningServer, operation: str, body: bytes = b"{}", *more: str) -> bytes:
    """Return a signed request as bytes, which may be sent several times; ``more`` are further header lines."""
    request = signed(server, operation, body)
    request.headers["Host"] = urlsplit(server.endpoint).netloc
    return request_bytes(request, *more)


def request_bytes(request: Raw | HttpRequest, *more: str) -> bytes:
    """Return a request as bytes; ``more`` are further header lines."""
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = [f"{request.method} {request.path} HTTP/1.1", *lines, *more, f"Content-Length: {len(request.body)}"]
    return "\r\n".join([*head, "", ""]).encode() + request.body


def exchange(server: RunningServer, data: bytes) -> bytes:
    """Send bytes as they are, and return all that comes back until the server closes."""
    url = urlsplit(server.endpoint)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=120) as connection:
        connection.sendall(data)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        return received


@contextmanager
def open_connections(server: RunningServer, count: int) -> Iterator[list[socket.socket]]:
    """Keep ``count`` connections open. Skips the test if the limit of open files is too low for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The server inherits this limit, and needs some files for itself.
    needed = len([*Path("/proc/self/fd").iterdir()]) + count + 300
    if soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            # A hard limit of the environment: neither the test nor a package can raise it.
            pytest.skip(f"{count} connections take more open files than `ulimit -Hn` allows: {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    url = urlsplit(server.endpoint)
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            held.append(socket.create_connection((url.hostname or "", url.port or 0), PATIENCE))
            held[-1].settimeout(0)
        yield held
    finally:
        for each in held:
            each.close()


def send_all(connections: Sequence[socket.socket], data: bytes) -> None:
    """Send the same bytes on each connection, as many as its send buffer takes, without waiting."""
    for each in connections:
        try:
            each.send(data)
        except (BlockingIOError, ConnectionError):
            continue


def send_whole(connection: socket.socket, data: bytes) -> None:
    """Send all bytes on one connection; wait until the send buffer took them or the other end closed."""
    connection.settimeout(PATIENCE)
    with suppress(ConnectionError):
        connection.sendall(data)
    connection.settimeout(0)


def has_reply(connection: socket.socket) -> bool:
    """Tell whether a connection has something to be read."""
    return bool(readable([connection.fileno()], 0))


def replies(connections: Sequence[socket.socket], within: float = PATIENCE) -> list[Reply]:
    """Wait until each connection has a reply or is closed; raises AssertionError after ``within`` seconds."""
    received = dict.fromkeys(connections, b"")
    found: dict[socket.socket, Reply] = {}
    end = time.monotonic() + within
    with selectors.DefaultSelector() as selector:
        for each in connections:
            selector.register(each, selectors.EVENT_READ)
        while len(found) < len(connections):
            assert time.monotonic() < end, f"{len(connections) - len(found)} connections got no reply"
            for key, _ in selector.select(1.0):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                chunk = _received(connection)
                received[connection] += chunk
                reply = _reply(received[connection]) if chunk else Reply(None, closed=True)
                if reply is not None:
                    found[connection] = reply
                    selector.unregister(connection)
    return [found[each] for each in connections]


def is_closed(connection: socket.socket, within: float = PATIENCE) -> bool:
    """Read what was sent; return whether the other end has closed, or closes ``within`` seconds of its last bytes."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        try:
            while selector.select(within):
                if not connection.recv(65536):
                    return True
        except ConnectionError:
            return True
    return False


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


def _reply(received: bytes) -> Reply | None:
    head, complete, body = received.partition(b"\r\n\r\n")
    if not complete:
        return None
    status, *lines = head.split(b"\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in lines)
    if len(body) < int(headers[b"content-length"]):
        return None
    return Reply(int(status.split()[1]), body, headers.get(b"connection") == b"close")
