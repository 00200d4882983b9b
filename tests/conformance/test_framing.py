"""Request lines and transfer codings that few clients send: served where HTTP obliges a server to, or refused."""

import json
import socket
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clients import ONCE, Raw, credentials_of, send, signed
from local_server import RunningServer
from query_requests import query_body, signed_query
from raw_connections import exchange


def wire(request: Raw, target: str, version: str = "1.1") -> bytes:
    """Return a request with another target or version, as bytes; its connection ends with the answer."""
    lines = [f"{request.method} {target} HTTP/{version}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += ["Connection: close", f"Content-Length: {len(request.body)}", "", ""]
    return "\r\n".join(lines).encode() + request.body


def hosted(server: RunningServer, request: Raw) -> Raw:
    request.headers["Host"] = urlsplit(server.endpoint).netloc
    return request


def status_of(received: bytes) -> int:
    assert received.startswith(b"HTTP/1.1 "), received
    return int(received.split()[1])


# --- the absolute form (RFC 9112, 3.2.2)


@pytest.mark.parametrize("path", ["", "/"])
@pytest.mark.parametrize("scheme", ["http", "https", "HTTP"])
def test_a_call_in_absolute_form(server: RunningServer, scheme: str, path: str) -> None:
    request = hosted(server, signed(server, "GenerateRandom", b'{"NumberOfBytes":8}'))
    received = exchange(server, wire(request, f"{scheme}://{request.headers['Host']}{path}"))
    assert status_of(received) == 200
    assert "Plaintext" in json.loads(received.partition(b"\r\n\r\n")[2])


def test_boto3_that_takes_the_server_for_a_proxy(server: RunningServer) -> None:
    """To a proxy, clients send the absolute form; the host that they sign is another than they connect to."""
    key = credentials_of(server)
    kms = boto3.client(
        "kms",
        region_name="us-east-1",
        endpoint_url="http://kms.us-east-1.example.com",
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        config=ONCE.merge(Config(proxies={"http": server.endpoint})),
    )
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_query_call_in_absolute_form(server: RunningServer) -> None:
    request = hosted(server, signed_query(server, "sts", query_body("sts", "GetCallerIdentity")))
    received = exchange(server, wire(request, server.endpoint))
    assert status_of(received) == 200
    assert b"<GetCallerIdentityResult>" in received


def test_the_authority_of_the_url_is_what_must_be_signed(server: RunningServer) -> None:
    request = hosted(server, signed(server))
    right, other = request.headers["Host"], "kms.example.com"
    # The Host header is ignored, and so need not be there.
    request.headers["Host"] = other
    assert status_of(exchange(server, wire(request, f"http://{right}/"))) == 200
    del request.headers["Host"]
    assert status_of(exchange(server, wire(request, f"http://{right}/"))) == 200
    request.headers["Host"] = right
    received = exchange(server, wire(request, f"http://{other}/"))
    assert status_of(received) == 400
    assert b"InvalidSignatureException" in received


def test_a_path_in_absolute_form(server: RunningServer) -> None:
    assert exchange(server, b"GET http://x/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").endswith(b"ok\n")
    assert status_of(exchange(server, wire(hosted(server, signed(server)), f"{server.endpoint}/elsewhere"))) == 404


@pytest.mark.parametrize("target", ["http:///", "http://user@host/", "http://host/#part", "ftp://host/", "host:80"])
def test_a_malformed_target(server: RunningServer, target: str) -> None:
    received = exchange(server, wire(hosted(server, signed(server)), target))
    assert status_of(received) == 400
    assert b"Connection: close" in received


# --- versions


@pytest.mark.parametrize(
    ("version", "status"),
    [("2.0", 505), ("1.2", 505), ("0.9", 505), ("3.0", 505), ("9.9", 505), ("3", 400), ("11.1", 400), ("x.y", 400)],
)
def test_another_version(server: RunningServer, version: str, status: int) -> None:
    request = hosted(server, signed(server))
    received = exchange(server, wire(request, "/", version) * 2)
    assert (status_of(received), received.count(b"HTTP/1.1 ")) == (status, 1)
    assert b"Connection: close" in received
    assert send(server, signed(server)).status == 200


def test_the_preface_of_http_2_and_a_request_of_http_0_9(server: RunningServer) -> None:
    assert status_of(exchange(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) == 505
    assert status_of(exchange(server, b"GET /\r\n\r\n")) == 505


# --- HEAD (RFC 9110, 9.3.2)


def test_an_answer_to_head_has_no_body_and_the_next_one_follows_it(server: RunningServer) -> None:
    paths = ["/healthz", "/readyz", "/", "/elsewhere"]
    heads = "".join(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths)
    received = exchange(server, f"{heads}GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    *answers, last = received.split(b"\r\n\r\n")
    assert last == b"ok\n"
    statuses = [(status_of(answer), answer.rpartition(b": ")[2]) for answer in answers]
    assert statuses == [(200, b"3"), (200, b"3"), (404, b"29"), (404, b"29"), (200, b"3")]


# --- transfer codings


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Transfer-Encoding: gzip, chunked"], 501),
        (["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], 501),
        (["Transfer-Encoding: deflate,\tCHUNKED"], 501),
        (["Transfer-Encoding: chunked, chunked"], 400),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: chunked, gzip"], 400),
        (["Transfer-Encoding: gzip"], 400),
        (["Transfer-Encoding: identity"], 400),
        (["Transfer-Encoding: xchunked"], 400),
        (["Transfer-Encoding: \x0bchunked"], 400),
        (["Transfer-Encoding: chunked;q=1"], 400),
        (["Transfer-Encoding:"], 400),
        (["Transfer-Encoding: ,chunked"], 400),
        (["Transfer-Encoding: chunked", "Content-Length: 3"], 400),
        (["Content-Length: 3", "Transfer-Encoding: chunked"], 400),
        (["Content-Length: 3", "Transfer-Encoding: gzip, chunked"], 400),
    ],
)
def test_a_body_whose_end_would_be_in_doubt(server: RunningServer, lines: list[str], status: int) -> None:
    request = hosted(server, signed(server))
    head = [f"{name}: {value}" for name, value in request.headers.items()]
    data = "\r\n".join(["POST / HTTP/1.1", *head, *lines, "", ""]).encode() + b"2\r\n{}\r\n0\r\n\r\n"
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    received = exchange(server, data + smuggled)
    assert (status_of(received), received.count(b"HTTP/1.1 ")) == (status, 1)
    assert b"Connection: close" in received


def test_chunked_in_any_case_is_served_and_not_in_http_1_0(server: RunningServer) -> None:
    request = hosted(server, signed(server, "ListKeys", b"{}"))
    head = [f"{name}: {value}" for name, value in request.headers.items()]
    for version, status in (("1.1", 200), ("1.0", 400)):
        lines = [f"POST / HTTP/{version}", *head, "Transfer-Encoding: Chunked", "Connection: close", "", ""]
        data = "\r\n".join(lines).encode() + b"2\r\n{}\r\n0\r\n\r\n"
        assert status_of(exchange(server, data)) == status


# --- content types


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-amz-json-1.1; charset=utf-8",
        "application/x-amz-json-1.1;charset=UTF-8",
        "Application/X-Amz-Json-1.1 ; Charset=utf-8",
        "APPLICATION/X-AMZ-JSON-1.1",
        " application/x-amz-json-1.1;",
    ],
)
def test_aws_json_by_any_of_its_names(server: RunningServer, content_type: str) -> None:
    answer = send(server, signed(server, "ListKeys", more={"Content-Type": content_type}))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-amz-json-1.1")


@pytest.mark.parametrize("content_type", ["application/x-amz-json-1.0", "application/x-amz-json-1.1x", "; charset=x"])
def test_another_content_type(server: RunningServer, content_type: str) -> None:
    answer = send(server, signed(server, "ListKeys", more={"Content-Type": content_type}))
    assert (answer.status, answer.body) == (404, b"<UnknownOperationException/>\n")


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded  ; charset=utf-8", " {}; a=b; c=d"],
)
def test_a_form_by_any_of_its_names(server: RunningServer, content_type: str) -> None:
    named = content_type.format("application/x-www-form-urlencoded")
    request = signed_query(server, "sts", query_body("sts", "GetCallerIdentity"), content_type=named)
    assert send(server, request).status == 200


# --- any bytes

PIECES = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b":",
            b"\x00",
            b"\xff",
            b"%",
            b"?",
            b"#",
            b"//",
            b"http://h",
            b"0",
            b"-1",
            b"x" * 999,
        ),
        *(b"GET / HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n", b"HTTP/2.0", b"Transfer-Encoding: chunked\r\n"),
        *(
            b"Expect: 100-continue\r\n",
            b"Connection: upgrade\r\nUpgrade: h2c\r\n",
            b"Origin: null\r\n",
            b"Accept: *\r\n",
        ),
        *(b"/?X-Amz-Signature=0&Action=GetCallerIdentity&Version=2011-06-15", b"application/x-www-form-urlencoded"),
    ]
)


@given(changes=st.lists(st.tuples(st.floats(0, 1), PIECES, st.integers(0, 30)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_request_is_answered_or_its_connection_closed(
    server: RunningServer, changes: list[tuple[float, bytes, int]]
) -> None:
    data = wire(hosted(server, signed(server, "GetKeyRotationStatus", b'{"KeyId":"alias/none"}')), "/")
    for where, piece, length in changes:
        place = int(where * len(data))
        data = data[:place] + piece + data[place + length :]
    for line in answered(server, data):
        assert int(line[9:12]) in {100, 400, 403, 404, 413, 431, 501, 505}, line


def answered(server: RunningServer, data: bytes) -> list[bytes]:
    """Send bytes that may be no whole request; return the status lines that come back before long."""
    url = urlsplit(server.endpoint)
    received = b""
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=0.3) as connection:
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
    assert received == b"" or received.startswith(b"HTTP/1.1 ")
    return [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
