"""Hostile or careless clients get a typed error, and the server continues to serve others."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from clients import Raw, send, signed
from local_server import RunningServer
from raw_connections import exchange


def raw_bytes(request: Raw, *more: str) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    extra = "".join(f"{line}\r\n" for line in more)
    head = f"{request.method} {request.path} HTTP/1.1\r\n{headers}{extra}Content-Length: {len(request.body)}\r\n\r\n"
    return head.encode() + request.body


def local(server: RunningServer, operation: str = "ListKeys", body: bytes = b"{}") -> Raw:
    request = signed(server, operation, body)
    request.headers["Host"] = urlsplit(server.endpoint).netloc
    return request


@pytest.mark.parametrize("target", ["TrentService.Nonsense", "TrentService.", "ListKeys", "", "Other.ListKeys"])
def test_unknown_operations(server: RunningServer, target: str) -> None:
    answer = send(server, signed(server), lambda request: request.headers.update({"X-Amz-Target": target}))
    assert (answer.status, answer.error) == (400, "UnknownOperationException")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_another_content_type(server: RunningServer, content_type: str) -> None:
    answer = send(server, signed(server), lambda request: request.headers.update({"Content-Type": content_type}))
    assert (answer.status, answer.body) == (404, b"<UnknownOperationException/>\n")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"Limit": "ten"}',
        b'{"Limit": 1.5}',
        b'{"Marker": 7}',
        b'{"Marker": "\\ud800"}',
        b'{"Marker": "\xff"}',
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"Limit": ' + b"9" * 5000 + b"}",
        b'{"Limit": 1e999}',
    ],
)
def test_bodies_that_do_not_fit(server: RunningServer, body: bytes) -> None:
    answer = send(server, signed(server, "ListKeys", body))
    assert answer.status == 400
    assert answer.error in {"SerializationException", "ValidationException"}


def test_everything_that_is_wrong_with_a_request_is_said_at_once(server: RunningServer) -> None:
    body = json.dumps({"KeyId": "", "KeySpec": "AES_512", "NumberOfBytes": 0, "GrantTokens": [""] * 11}).encode()
    answer = send(server, signed(server, "GenerateDataKey", body))
    assert answer.error == "ValidationException"
    assert answer.message.startswith(
        "15 validation errors detected: Value '' at 'keyId' failed to satisfy constraint: "
    )
    assert (
        "Value 'AES_512' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: "
        in answer.message
    )
    assert (
        "Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1"
        in answer.message
    )
    missing = send(server, signed(server, "Encrypt", b"{}"))
    assert missing.message == (
        "2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; "
        "Value null at 'plaintext' failed to satisfy constraint: Member must not be null"
    )


def test_unknown_members_and_nulls_are_ignored(server: RunningServer) -> None:
    assert send(server, signed(server, "ListKeys", b'{"Limit": 1, "Marker": null, "Shape": {"a": [1]}}')).status == 200
    assert send(server, signed(server, "ListKeys", b"")).status == 200


def test_operations_without_output_answer_nothing(server: RunningServer) -> None:
    made = json.loads(send(server, signed(server, "CreateKey")).body)["KeyMetadata"]["KeyId"]
    answer = send(server, signed(server, "DisableKey", json.dumps({"KeyId": made}).encode()))
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


def test_pipelined_requests_are_answered_in_order_fast_and_slow_ones_mixed(server: RunningServer) -> None:
    random = local(server, "GenerateRandom", b'{"NumberOfBytes":8}')
    create = local(server, "CreateKey", b"{}")
    data = b"".join(raw_bytes(request) for request in [create, random] * 20) + raw_bytes(random, "Connection: close")
    received = exchange(server, data)
    bodies = [part for part in received.split(b"HTTP/1.1 200 OK\r\n") if part]
    kinds = ["KeyMetadata" if b"KeyMetadata" in body else "Plaintext" for body in bodies]
    assert kinds == ["KeyMetadata", "Plaintext"] * 20 + ["Plaintext"]


def test_a_body_sent_in_chunks_or_byte_by_byte_is_one_request(server: RunningServer) -> None:
    request = local(server, "ListKeys", b'{"Limit":5}')
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    chunked = f"POST / HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
    chunked += b"".join(b"1\r\n%c\r\n" % byte for byte in request.body) + b"0\r\n\r\n"
    assert exchange(server, chunked).startswith(b"HTTP/1.1 200 OK\r\n")
    url = urlsplit(server.endpoint)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=30) as connection:
        for byte in raw_bytes(request, "Connection: close"):
            connection.sendall(bytes((byte,)))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_expect_100_continue_is_answered(server: RunningServer) -> None:
    request = local(server)
    url = urlsplit(server.endpoint)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=30) as connection:
        head, _, body = raw_bytes(request, "Expect: 100-continue", "Connection: close").partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 404),
        (b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 40_000, 431),
        (b"POST /" + b"x" * 40_000, 431),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: x\r\n" % each for each in range(102)), 431),
        (b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: x\r\n" % each for each in range(101)) + b"\r\n", 431),
    ],
)
def test_what_is_no_request_or_too_large_a_one(server: RunningServer, data: bytes, status: int) -> None:
    received = exchange(server, data)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in received
    assert send(server, signed(server)).status == 200


def test_a_chunked_body_that_never_ends_is_cut_off(server: RunningServer) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert exchange(server, head + (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 20).startswith(b"HTTP/1.1 413 ")


@pytest.mark.one_node("a server that answers while a request still comes ends the connection to the balancer")
def test_nothing_after_the_body_passes_for_a_header(server: RunningServer) -> None:
    request = local(server, "ListKeys", b'{"Limit":5}')
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    chunked = f"POST / HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode()
    chunked += b"%x\r\n%b\r\n0\r\n" % (len(request.body), request.body)
    assert exchange(server, chunked + b"X-Forwarded-For: 10.0.0.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert exchange(server, chunked + b"X: y\r\n" * 100_000).startswith(b"HTTP/1.1 400 ")


def test_http_1_0_closes_after_its_answer(server: RunningServer) -> None:
    assert exchange(server, b"GET /healthz HTTP/1.0\r\n\r\n").endswith(b"ok\n")
