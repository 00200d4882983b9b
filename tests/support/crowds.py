"""Many connections at once, from one thread, without waiting for any of them."""

import os
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

from audits import audit_records
from clients import Raw, signed
from local_server import RunningServer
from strongroom.http.message import HttpRequest

PATIENCE = 25.0
_SOON = 2.0
PAGE = resource.getpagesize()
THROTTLED = b'{"__type":"ThrottlingException"'


class Reply(msgspec.Struct):
    """What came back on one connection; without a status if it was closed before an answer was whole."""

    status: int | None
    body: bytes = b""
    closed: bool = False

    @property
    def throttled(self) -> bool:
        """Whether the call was refused because there are too many."""
        return self.status == 400 and self.body.startswith(THROTTLED)


def on_the_wire(server: RunningServer, operation: str, body: bytes = b"{}", *more: str) -> bytes:
    """Return a signed request as bytes; it may be sent many times."""
    request = signed(server, operation, body)
    request.headers["Host"] = urlsplit(server.endpoint).netloc
    return as_bytes(request, *more)


def as_bytes(request: Raw | HttpRequest, *more: str) -> bytes:
    """Return a request as bytes, with further lines in its head."""
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = [f"{request.method} {request.path} HTTP/1.1", *lines, *more, f"Content-Length: {len(request.body)}"]
    return "\r\n".join([*head, "", ""]).encode() + request.body


@contextmanager
def crowd(server: RunningServer, count: int) -> Iterator[list[socket.socket]]:
    """Hold so many connections open. Skips the test where this process may not have as many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The server has its limit from here, and keeps some for itself.
    needed = len([*Path("/proc/self/fd").iterdir()]) + count + 300
    if soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            # A limit that whoever runs the tests has set, and no package lifts.
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
    """Send the same bytes on each connection as far as its buffers take them."""
    for each in connections:
        try:
            each.send(data)
        except (BlockingIOError, ConnectionError):
            continue


def send_whole(connection: socket.socket, data: bytes) -> None:
    """Send bytes on one connection, and wait until the other end has them or has closed."""
    connection.settimeout(PATIENCE)
    with suppress(ConnectionError):
        connection.sendall(data)
    connection.settimeout(0)


def replies(connections: Sequence[socket.socket], within: float = PATIENCE) -> list[Reply]:
    """Wait for one reply on each connection, or for its end; raises AssertionError when some have neither in time."""
    received = dict.fromkeys(connections, b"")
    found: dict[socket.socket, Reply] = {}
    end = time.monotonic() + within
    with selectors.DefaultSelector() as selector:
        for each in connections:
            selector.register(each, selectors.EVENT_READ)
        while len(found) < len(connections):
            assert time.monotonic() < end, f"{len(connections) - len(found)} connections wait in vain"
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


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the other end has closed or does so soon, reading what it sent before."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        try:
            while selector.select(_SOON):
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


def resident(server: RunningServer) -> int:
    """Return the resident memory of a server that is one process, in bytes."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * PAGE


def open_files(server: RunningServer) -> int:
    """Count the file descriptors of a server that is one process. Skips the test where only root may see them."""
    folder = Path(f"/proc/{server.process.pid}/fd")
    if not os.access(folder, os.R_OK):
        # Only what the kernel says is exact, and nothing that can be installed makes it tell others.
        pytest.skip("the server hides its open files from all but root; as root, this test runs")
    return len([*folder.iterdir()])


def open_sockets(server: RunningServer) -> int:
    """Count a server's listener, while it is open, and the connections that it has accepted and not closed.

    Those it has not accepted yet, and those it has closed, have no inode (proc_pid_net(5), ``tcp``).
    """
    here = f":{urlsplit(server.endpoint).port:04X}"
    _, *rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    return sum(row[1].endswith(here) and row[9] != "0" for row in rows)


def processor_seconds(server: RunningServer) -> float:
    """Return what a server that is one process has computed, in seconds."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / 100


def throttled_records(data: Path) -> int:
    """Count the audit records of calls that were refused because there were too many."""
    return sum(each.get("errorCode") == "ThrottlingException" for each in audit_records(data))
