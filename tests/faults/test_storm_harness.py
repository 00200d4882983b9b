"""The harness of storms itself: what a switch may be at a moment, and which server gets a request."""

import http.client
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typing_extensions import override

from fast_client import CallRefused, NoAnswer
from request_balancer import RequestBalancer
from server_processes import PATIENCE
from switch_history import SwitchHistory


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = itertools.count(1)
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(moments))


@pytest.mark.usefixtures("counted")
def test_a_switch_is_what_was_acknowledged_last_or_is_being_made_of_it() -> None:
    history = SwitchHistory()
    with history.attempt(on=True):  # sent 1, acknowledged 2
        pass
    with pytest.raises(NoAnswer), history.attempt(on=False):  # sent 3, the outcome is unknown
        raise NoAnswer
    with pytest.raises(CallRefused), history.attempt(on=False):  # sent 4, the outcome is unknown
        raise CallRefused(500, "KMSInternalException", "")
    with pytest.raises(CallRefused), history.attempt(on=False):  # sent 5, refused
        raise CallRefused(400, "ValidationException", "")
    with history.attempt(on=False):  # sent 6, acknowledged 7
        pass
    with history.attempt(on=True):  # sent 8, acknowledged 9
        pass
    on = {
        (began, ended): history.allows(on=True, began=began, ended=ended) for began in range(12) for ended in range(12)
    }
    off = {span: history.allows(on=False, began=span[0], ended=span[1]) for span in on}
    assert on[7, 7]  # known to be off only after the acknowledgement
    assert not on[8, 7]
    assert on[8, 8]  # the next attempt may have been faster
    assert on[10, 11]
    assert off[3, 3]
    assert not off[3, 2]
    assert off[9, 9]
    assert not off[10, 11]
    assert history.turns == [1e-9, 4e-9, 1e-9]
    assert history.unknown == 2


def test_each_request_goes_to_the_next_server() -> None:
    with _answering("first") as first, _answering("second") as second, _balancing(first, second, PATIENCE) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        told = []
        for size in (0, 10, 200_000, 1, 0):
            connection.request("POST", "/", b"x" * size)
            told.append(connection.getresponse().read())
        assert told == [b"first 0", b"second 10", b"first 200000", b"second 1", b"first 0"]
        connection.close()


def test_what_is_no_whole_request_stays_with_one_server() -> None:
    with _answering("first") as first, _answering("second") as second, _balancing(first, second, 0.2) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            request = b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"
            connection.sendall(2 * request + b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        assert received.count(b"first") == 3
        assert b"second" not in received


@contextmanager
def _balancing(first: int, second: int, patience: float) -> Iterator[int]:
    """Run a balancer before two servers; yield its port."""
    balancer = RequestBalancer([first, second], patience)
    try:
        yield balancer.port
    finally:
        balancer.close()


@contextmanager
def _answering(name: str) -> Iterator[int]:
    """Run a server that tells its name, and how long the body was; yield its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told = f"{name} {len(body)}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        @override
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
