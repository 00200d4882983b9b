"""One connection without a network: what it holds and charges, how many header lines it takes, and its deadlines."""

import sys
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import pytest
from typing_extensions import override

from recorded_connection import NothingIsPlain, Recorder, Wire
from strongroom.http import connection as connections
from strongroom.http.connection import Connection, Limits
from strongroom.http.fast_parser import FastParser
from strongroom.http.heads import HEADER_SIZE, MOST_LINES
from strongroom.http.message import HttpRequest
from strongroom.http.timeouts import NEVER

FREE = connections._SMALL
LIMITS = Limits()
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LONG = b"y" * 31_000
WITH_TARGET = b"GET /healthz?" + LONG + b" HTTP/1.1\r\nHost: x\r\n\r\n"
WITH_HEADER = b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + LONG + b"\r\n\r\n"
WITH_HEADERS = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"%d:\r\n" % each for each in range(97)) + b"\r\n"
PLAIN = b"POST / HTTP/1.1\r\nHost: x\r\nA: " + LONG + b"\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = PLAIN.replace(b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
SMALL = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HEADS = pytest.mark.parametrize("request_bytes", [WITH_TARGET, WITH_HEADER, PLAIN, CHUNKED])


class Slow(Recorder):
    """Leaves each request in work until the test answers it, and has a clock that the test moves."""

    now = 100.0

    @override
    def time(self) -> float:
        return self.now

    @override
    def handle(self, _connection: Connection, request: HttpRequest) -> None:
        self.requests.append(request)


class Socket(Wire):
    """A transport that says how much of what was written is not read, and whether it was closed."""

    unread = 0
    ended = False

    @override
    def get_write_buffer_size(self) -> int:
        return self.unread

    @override
    def close(self) -> None:
        self.ended = True

    @override
    def abort(self) -> None:
        self.ended = True


class Scene:
    """A connection, its handler and its socket."""

    def __init__(self, handler: Slow | None = None, parser: FastParser | None = None) -> None:
        self.handler = handler or Slow()
        parser = parser or FastParser(LIMITS.head, LIMITS.body)
        self.connection = Connection(self.handler, LIMITS, parser, secure=False)
        self.socket = Socket()
        self.connection.connection_made(self.socket)

    def receive(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.data_received(piece)

    def answer(self) -> None:
        self.handler.requests.pop()
        self.connection.send(REPLY, close=False)

    @property
    def charged(self) -> int:
        """What is charged to this connection; charges of less than the limit may be late."""
        return self.handler.held_bytes.held


def held_by(connection: Connection) -> int:
    """Return the bytes of memory that the values of a connection take."""

    def size(value: object) -> int:
        own = sys.getsizeof(value)
        if isinstance(value, dict):
            return own + sum(size(name) + size(each) for name, each in value.items())
        if isinstance(value, tuple | list | deque):
            return own + sum(map(size, value))
        if isinstance(value, msgspec.Struct):
            return own + sum(map(size, msgspec.structs.astuple(value)))
        return own

    shared = ("_handler", "_limits", "_timeouts", "_fast_parser", "_transport", "_parser")
    return sum(size(value) for name, value in vars(connection).items() if name not in shared)


@HEADS
@pytest.mark.parametrize("parser", [FastParser, NothingIsPlain])
def test_an_idle_connection_holds_nothing_of_its_last_request(
    request_bytes: bytes, parser: Callable[[int, int], FastParser]
) -> None:
    scene = Scene(parser=parser(LIMITS.head, LIMITS.body))
    new = held_by(scene.connection)
    for _ in range(3):
        scene.receive(request_bytes)
        scene.answer()
        assert held_by(scene.connection) < new + 200
        assert scene.charged == 0


@HEADS
@pytest.mark.parametrize("parser", [FastParser, NothingIsPlain])
def test_the_head_of_a_request_in_work_is_charged(
    request_bytes: bytes, parser: Callable[[int, int], FastParser]
) -> None:
    scene = Scene(parser=parser(LIMITS.head, LIMITS.body))
    scene.receive(request_bytes)
    assert scene.charged >= len(LONG) - FREE
    # The client has gone, and the request is in work.
    scene.connection.connection_lost(None)
    assert scene.charged >= len(LONG) - FREE
    scene.connection.send(REPLY, close=False)
    assert scene.charged == 0


@HEADS
@pytest.mark.parametrize("parser", [FastParser, NothingIsPlain])
def test_the_head_of_a_request_that_waits_is_charged(
    request_bytes: bytes, parser: Callable[[int, int], FastParser]
) -> None:
    scene = Scene(parser=parser(LIMITS.head, LIMITS.body))
    scene.receive(SMALL, request_bytes, request_bytes)
    assert scene.charged >= 2 * len(LONG) - FREE
    scene.answer()
    assert scene.charged >= 2 * len(LONG) - FREE
    scene.connection.connection_lost(None)
    assert len(LONG) - FREE <= scene.charged < 2 * len(LONG)
    scene.connection.send(REPLY, close=False)
    assert scene.charged == 0


@pytest.mark.parametrize(
    "pieces",
    [
        [WITH_TARGET[:-4]],
        [WITH_HEADER[:-4]],
        [SMALL[:9], WITH_TARGET[9:-4]],
        [WITH_TARGET.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n")],
        [WITH_HEADER.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n"), b"part"],
        [WITH_HEADER.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), b"4\r\npart\r\n"],
        # Behind other requests, in the same piece.
        [SMALL + WITH_TARGET[:-4]],
        [SMALL + WITH_HEADER[:-40], WITH_HEADER[-40:-4]],
        [SMALL + WITH_HEADER[:-4], b"\r\nContent-Length: 9\r\n\r\n", b"part"],
    ],
)
def test_the_head_of_a_request_that_is_never_finished_is_charged(pieces: Sequence[bytes]) -> None:
    scene = Scene()
    scene.receive(*pieces)
    if pieces[0].startswith(SMALL):
        scene.answer()
    assert scene.charged >= len(LONG) - FREE
    scene.connection.connection_lost(None)
    assert scene.charged == 0


def test_very_small_requests_that_wait_are_charged_what_they_take() -> None:
    scene = Scene()
    new = held_by(scene.connection)
    scene.receive(SMALL, b"GET / HTTP/1.1\r\n\r\n" * 1_000)
    assert scene.charged + FREE > held_by(scene.connection) - new > 100_000


@pytest.mark.parametrize("end", [b"", b"Content-Length: 9\r\n\r\n"])
def test_many_small_headers_are_charged_what_they_take(end: bytes) -> None:
    scene = Scene()
    new = held_by(scene.connection)
    scene.receive(WITH_HEADERS[:-2] + end)
    assert held_by(scene.connection) - new > 97 * 100
    assert scene.charged >= 97 * HEADER_SIZE - FREE


@pytest.mark.parametrize("request_bytes", [WITH_TARGET, WITH_HEADER, PLAIN, CHUNKED, WITH_TARGET[:-4]])
@pytest.mark.parametrize("parser", [FastParser, NothingIsPlain])
def test_a_head_that_is_too_much_for_the_server_is_refused(
    request_bytes: bytes, parser: Callable[[int, int], FastParser]
) -> None:
    scene = Scene(parser=parser(LIMITS.head, LIMITS.body))
    scene.handler.held_bytes._limit = 10_000
    scene.receive(request_bytes)
    assert scene.handler.refusals == [429]
    assert scene.handler.requests == []
    # The client sees the refusal; nothing that it sends then is read.
    scene.receive(SMALL)
    assert scene.handler.requests == []
    scene.connection.send(REPLY, close=True)
    assert scene.socket.ended
    scene.connection.connection_lost(None)
    assert scene.charged == 0


@pytest.mark.parametrize(("lines", "refusals"), [(MOST_LINES, []), (MOST_LINES + 1, [431])])
@pytest.mark.parametrize("names", [1, 60, 200])
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_limit_of_headers_counts_lines_not_names(lines: int, refusals: list[int], names: int, pieces: int) -> None:
    head = b"GET / HTTP/1.1\r\n" + b"".join(b"a%d:\r\n" % (number % names) for number in range(lines)) + b"\r\n"
    step = -(-len(head) // pieces)
    scene = Scene()
    scene.receive(*(head[at : at + step] for at in range(0, len(head), step)))
    assert scene.handler.refusals == refusals
    assert len(scene.handler.requests) == (0 if refusals else 1)


def test_thousands_of_lines_of_one_name_are_refused_before_they_are_joined() -> None:
    scene = Scene()
    scene.receive(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 8_000)
    assert scene.handler.refusals == [431]
    assert len(scene.connection._headers["a"]) < MOST_LINES


def test_a_client_that_has_read_its_reply_may_wait_for_the_next_as_long_as_the_server_works() -> None:
    scene = Scene()
    scene.receive(SMALL, SMALL)
    scene.answer()
    assert scene.connection.busy
    # The transport reports only now that the first reply did not fit into the socket.
    scene.connection.pause_writing()
    assert scene.connection.deadline == scene.handler.now + LIMITS.timeouts.request
    scene.connection.resume_writing()
    assert scene.connection.deadline == NEVER


def test_a_request_that_began_behind_another_has_the_time_of_a_request() -> None:
    scene = Scene()
    scene.receive(SMALL + SMALL[:9])
    scene.answer()
    assert scene.connection.deadline == scene.handler.now + LIMITS.timeouts.request
    scene.receive(SMALL[9:])
    scene.answer()
    assert scene.connection.deadline == scene.handler.now + LIMITS.timeouts.idle
