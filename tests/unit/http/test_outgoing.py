"""Outgoing requests over real sockets: one deadline for everything, kept connections, bounded answers."""

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from strongroom.http.outgoing import (
    KEPT_FOR,
    MAX_ANSWER,
    Answer,
    BadAnswer,
    CannotConnect,
    Connections,
    Deadline,
    Endpoint,
    OutgoingError,
    Resolver,
    TlsFailed,
    TooLate,
)
from tls_files import Pair
from xks_stub import named_certificate

NAME = "proxy.example.com"
REQUEST = b"POST / HTTP/1.1\r\nhost: proxy.example.com\r\ncontent-length: 0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
OK = HEAD + b"content-length: 2\r\n\r\n{}"
LONG = 60.0

Talk = Callable[[ssl.SSLSocket], None]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return named_certificate(tmp_path_factory.mktemp("tls"), "proxy", (NAME,))


@contextmanager
def listening(pair: Pair, talk: Talk, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Iterator[Endpoint]:
    """Serve TLS connections, each with ``talk`` on a thread; yield how to reach them."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.certificate, pair.key)
    server.maximum_version = version
    listener = socket.create_server(("127.0.0.1", 0))

    def one(plain: socket.socket) -> None:
        with suppress(OSError), server.wrap_socket(plain, server_side=True) as secure:
            talk(secure)

    def run() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield endpoint(pair, listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def endpoint(pair: Pair, port: int, host: str = "127.0.0.1") -> Endpoint:
    context = ssl.create_default_context(cafile=str(pair.certificate))
    return Endpoint(NAME, host, port, context)


def answering(answer: bytes) -> Talk:
    """Answer each request."""

    def talk(connection: ssl.SSLSocket) -> None:
        while connection.recv(65536):
            connection.sendall(answer)

    return talk


def answering_once(answer: bytes) -> Talk:
    """Answer one request, and close the connection."""

    def talk(connection: ssl.SSLSocket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return talk


def exchange(connections: Connections, where: Endpoint, seconds: float = LONG) -> Answer:
    return connections.exchange(where, REQUEST, Deadline(time.perf_counter, seconds))


@pytest.fixture
def connections() -> Iterator[Connections]:
    connections = Connections(time.perf_counter)
    yield connections
    connections.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_connection_is_kept_open(pair: Pair, connections: Connections, version: ssl.TLSVersion) -> None:
    with listening(pair, answering(OK), version) as where:
        for _ in range(5):
            assert exchange(connections, where) == Answer(200, "application/json", b"{}")
    assert connections.opened == 1


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{}",
    ],
    ids=["chunked", "after others", "until the end", "HTTP/1.0"],
)
def test_every_framing_of_an_answer(pair: Pair, connections: Connections, answer: bytes) -> None:
    with listening(pair, answering_once(answer)) as where:
        for _ in range(2):
            assert exchange(connections, where) == Answer(200, "application/json", b"{}")


@pytest.mark.parametrize(
    "answer",
    [
        b"\x16\x03\x01", b"220 ready\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n" + b"x" * 99_999, OK + OK,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_ANSWER,
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    ],
)  # fmt: skip
def test_answers_that_are_none(pair: Pair, connections: Connections, answer: bytes) -> None:
    with listening(pair, answering_once(answer)) as where, pytest.raises(BadAnswer):
        exchange(connections, where)


def test_a_kept_connection_that_was_closed_is_replaced(pair: Pair, connections: Connections) -> None:
    with listening(pair, answering_once(OK)) as where:
        for _ in range(5):
            assert exchange(connections, where).status == 200
    assert connections.opened == 5


def test_a_connection_that_is_closed_when_the_next_request_comes_is_replaced(
    pair: Pair, connections: Connections
) -> None:
    asked: list[bytes] = []

    def talk(connection: ssl.SSLSocket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(OK)
        # The second request arrives, and nothing is answered.
        asked.append(connection.recv(65536))

    with listening(pair, talk) as where:
        for _ in range(3):
            assert exchange(connections, where).status == 200
    assert connections.opened == 3
    assert asked.count(REQUEST) == 5


def test_what_arrives_unasked_is_no_answer(pair: Pair, connections: Connections) -> None:
    answered, said = threading.Event(), threading.Event()

    def talk(connection: ssl.SSLSocket) -> None:
        while connection.recv(65536):
            connection.sendall(OK)
            assert answered.wait(LONG)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")
            said.set()

    with listening(pair, talk) as where:
        assert exchange(connections, where).body == b"{}"
        # Until then, it would be a wrong answer.
        answered.set()
        assert said.wait(LONG)
        assert exchange(connections, where).body == b"{}"


def test_idle_connections_are_kept_for_a_while(pair: Pair) -> None:
    now = [0.0]
    connections = Connections(lambda: now[0])
    with listening(pair, answering(OK)) as where:
        exchange(connections, where)
        now[0] += KEPT_FOR - 1
        exchange(connections, where)
        assert connections.opened == 1
        now[0] += KEPT_FOR
        exchange(connections, where)
        assert connections.opened == 2
        connections.close()


def endlessly(connection: ssl.SSLSocket) -> None:
    """Send one byte of an answer after the other, until the connection is closed."""
    connection.recv(65536)
    for byte in itertools.chain(HEAD, b"x: ", itertools.repeat(ord("y"))):
        connection.sendall(bytes((byte,)))
        time.sleep(0.02)


def silent(connection: ssl.SSLSocket) -> None:
    while connection.recv(65536):
        pass


@pytest.mark.parametrize("talk", [endlessly, silent], ids=["one byte after the other", "never"])
def test_the_deadline_is_one_for_the_whole_answer(pair: Pair, connections: Connections, talk: Talk) -> None:
    with listening(pair, talk) as where:
        begun = time.perf_counter()
        with pytest.raises(TooLate):
            exchange(connections, where, 0.2)
        assert 0.19 < time.perf_counter() - begun < LONG / 2


def test_the_deadline_covers_the_handshake(pair: Pair, connections: Connections) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        begun = time.perf_counter()
        with pytest.raises(TooLate):
            exchange(connections, endpoint(pair, deaf.getsockname()[1]), 0.2)
        assert 0.19 < time.perf_counter() - begun < LONG / 2


def test_the_deadline_covers_the_name(pair: Pair) -> None:
    released = threading.Event()
    lookups: list[str] = []

    def slow(host: str, _port: int) -> list[tuple[int, tuple[str, int]]]:
        lookups.append(host)
        released.wait(LONG)
        return []

    connections = Connections(time.perf_counter, Resolver(slow))
    for _ in range(3):
        begun = time.perf_counter()
        with pytest.raises(OutgoingError):
            exchange(connections, endpoint(pair, 443, "slow.example.com"), 0.1)
        assert time.perf_counter() - begun < LONG / 2
    # They waited for the same lookup.
    assert lookups == ["slow.example.com"]
    released.set()


def test_names_that_cannot_be_looked_up(pair: Pair) -> None:
    def unknown(_host: str, _port: int) -> list[tuple[int, tuple[str, int]]]:
        raise socket.gaierror(-2, "Name or service not known")

    connections = Connections(time.perf_counter, Resolver(unknown))
    for _ in range(2):
        with pytest.raises(CannotConnect, match="Name or service not known"):
            exchange(connections, endpoint(pair, 443, "unknown.example.com"))


def test_the_next_address_is_tried(pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    with listening(pair, answering(OK)) as where:
        found: list[tuple[int, tuple[str, int]]] = [
            (socket.AF_INET, ("127.0.0.1", port)) for port in (closed, where.port)
        ]
        connections = Connections(time.perf_counter, Resolver(lambda _host, _port: found))
        assert exchange(connections, where).status == 200
        connections.close()
    with pytest.raises(CannotConnect, match="refused"):
        exchange(Connections(time.perf_counter), endpoint(pair, closed))


def test_certificates_that_are_not_trusted(tmp_path: Path, pair: Pair, connections: Connections) -> None:
    other = named_certificate(tmp_path, "other", (NAME,))
    elsewhere = named_certificate(tmp_path, "elsewhere", ("elsewhere.example.com",))
    for served in (other, elsewhere):
        with listening(served, answering(OK)) as where:
            context = ssl.create_default_context(cafile=str(pair.certificate))
            context.load_verify_locations(str(elsewhere.certificate))
            with pytest.raises(TlsFailed, match="certificate verify failed"):
                exchange(connections, Endpoint(NAME, where.host, where.port, context))


def test_what_does_not_speak_tls(pair: Pair, connections: Connections) -> None:
    def greet(listener: socket.socket) -> None:
        for greeting in (b"220 smtp.example.com\r\n", b""):
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet, args=(listener,))
        thread.start()
        for _ in range(2):
            with pytest.raises(TlsFailed):
                exchange(connections, endpoint(pair, listener.getsockname()[1]))
        thread.join()
