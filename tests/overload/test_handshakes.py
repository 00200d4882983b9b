"""Clients that connect and never finish a TLS handshake: they count towards the limit of connections."""

import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local_server import RunningServer
from raw_connections import open_connections, signed_request_bytes
from server_processes import PATIENCE, cpu_seconds, open_sockets, wait_until

Start = Callable[..., RunningServer]
MOST = 40
TURNED_AWAY = 64
SILENT = 400


@pytest.fixture
def server(start: Start, tmp_path: Path) -> RunningServer:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key)]
    subprocess.run([*command, "-out", str(cert)], check=True, capture_output=True)
    return start(max_connections=MOST, tls_cert=cert, tls_key=key)


@contextmanager
def connected(server: RunningServer) -> Iterator[ssl.SSLSocket]:
    url = urlsplit(server.endpoint)
    context = ssl.create_default_context(cafile=Path(server.environment["AWS_CA_BUNDLE"]))
    with (
        socket.create_connection((url.hostname or "", url.port or 0), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=url.hostname) as connection,
    ):
        yield connection


def answers(connection: ssl.SSLSocket, request: bytes) -> bool:
    connection.sendall(request)
    return connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_handshakes_that_never_begin_are_bounded_and_do_not_disturb_others(
    server: RunningServer, tmp_path: Path
) -> None:
    server.environment["AWS_CA_BUNDLE"] = str(tmp_path / "cert.pem")
    request = signed_request_bytes(server, "ListKeys")
    before = open_sockets(server)
    with connected(server) as known:
        assert answers(known, request)
        with open_connections(server, SILENT):
            wait_until(lambda: open_sockets(server) >= before + MOST + TURNED_AWAY - 1)
            used, began = cpu_seconds(server), time.monotonic()
            time.sleep(1)
            # A handful may be accepted before the listener is closed.
            assert open_sockets(server) <= before + MOST + TURNED_AWAY + 8
            assert cpu_seconds(server) - used < 0.5 * (time.monotonic() - began)
            assert all(answers(known, request) for _ in range(50))
        with connected(server) as new:
            assert answers(new, request)


def test_handshakes_that_fail_take_no_room(server: RunningServer, tmp_path: Path) -> None:
    server.environment["AWS_CA_BUNDLE"] = str(tmp_path / "cert.pem")
    request = signed_request_bytes(server, "ListKeys")
    url = urlsplit(server.endpoint)
    before = open_sockets(server)
    for begun in (b"GET / HTTP/1.1\r\n\r\n", b"") * (MOST + TURNED_AWAY):
        with socket.create_connection((url.hostname or "", url.port or 0), PATIENCE) as plain:
            plain.sendall(begun)
    wait_until(lambda: open_sockets(server) == before)
    with connected(server) as new:
        assert answers(new, request)
    assert "leave no room" not in (tmp_path / "log").read_text()
