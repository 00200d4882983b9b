"""Calls from web pages: preflights and answers for allowed origins and for others, and a page in a real browser."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audits import audit_records
from browsers import Call, Page, served_page
from clients import Answer, Raw, client_of, credentials_of, send, signed
from local_server import RunningServer, running_server
from query_requests import query_body, signed_query
from raw_connections import exchange

APP = "https://app.example.com"
ASKED = "authorization,content-type,x-amz-date,x-amz-target"
EXPOSED = "x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ASKED}


def options(folder: Path, *origins: str) -> tuple[str, str]:
    (folder / "strongroom.toml").write_text(f"cors-origins = {json.dumps(origins)}\n")
    return "--config", str(folder / "strongroom.toml")


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with served_page() as page:
        yield page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("listed")


@pytest.fixture(scope="module")
def listed(folder: Path, page: Page) -> Iterator[RunningServer]:
    with running_server(folder / "data", folder / "log", *options(folder, APP, page.origin)) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("all")
    with running_server(folder / "data", folder / "log", *options(folder, APP, "*")) as server:
        yield server
        assert server.stop() == 0


def preflight(server: RunningServer, headers: dict[str, str], path: str = "/") -> Answer:
    return send(server, Raw("OPTIONS", path, headers, b""))


def cors_headers(answer: Answer) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control") or name == "vary"
    }


def test_a_preflight(listed: RunningServer, open_to_all: RunningServer) -> None:
    permissions = {
        "access-control-allow-methods": "GET, POST",
        "access-control-max-age": "172800",
        "access-control-allow-headers": ASKED,
        "access-control-expose-headers": EXPOSED,
    }
    answer = preflight(listed, {"Origin": APP, **PREFLIGHT})
    assert (answer.status, answer.body) == (200, b"")
    assert cors_headers(answer) == permissions | {"access-control-allow-origin": APP, "vary": "Origin"}
    for origin in (APP, "https://elsewhere.example.com", "null"):
        answer = preflight(open_to_all, {"Origin": origin, **PREFLIGHT})
        assert (answer.status, cors_headers(answer)) == (200, permissions | {"access-control-allow-origin": "*"})


@pytest.mark.parametrize(
    "origin",
    [
        *("https://elsewhere.example.com", "http://app.example.com", f"{APP}:444", f"{APP}.example.net", f"{APP}/"),
        *("https://APP.example.com", "null", "*", "", "https://app.example.co", f"{APP}, {APP}"),
    ],
)
def test_another_origin_gets_no_permission(listed: RunningServer, origin: str) -> None:
    answer = preflight(listed, {"Origin": origin, **PREFLIGHT})
    assert (answer.status, cors_headers(answer)) == (404, {"vary": "Origin"})
    call = send(listed, signed(listed), lambda request: request.headers.update({"Origin": origin}))
    assert (call.status, cors_headers(call)) == (200, {"vary": "Origin"})


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({"Origin": APP}, "/"),
        (PREFLIGHT, "/"),
        ({"Origin": APP, **PREFLIGHT}, "/elsewhere"),
        ({"Origin": APP, **PREFLIGHT}, "*"),
    ],
)
def test_what_is_no_preflight(listed: RunningServer, headers: dict[str, str], path: str) -> None:
    answer = preflight(listed, headers, path)
    assert answer.status == 404
    assert "access-control-allow-methods" not in answer.headers


@pytest.mark.parametrize("names", ["", "a b", "a,,b", "x" * 5000, "a:b", "\xe9", "a,b,"])
def test_header_names_that_are_none_are_not_repeated(listed: RunningServer, names: str) -> None:
    headers = {"Origin": APP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": names}
    answer = preflight(listed, headers)
    assert answer.status == 200
    assert "access-control-allow-headers" not in answer.headers


def test_answers_and_errors_of_every_kind_can_be_read(listed: RunningServer) -> None:
    origin = {"Origin": APP}
    mine = {"access-control-allow-origin": APP, "access-control-expose-headers": EXPOSED, "vary": "Origin"}

    def sent(request: Raw) -> Answer:
        return send(listed, request, lambda each: each.headers.update(origin))

    unsigned = signed(listed)
    del unsigned.headers["Authorization"]
    answers = {
        "success": sent(signed(listed)),
        "on a thread": sent(signed(listed, "CreateKey")),
        "refused": sent(signed(listed, "DescribeKey", b'{"KeyId":"alias/none"}')),
        "without a signature": sent(unsigned),
        "in XML": sent(signed_query(listed, "sts", query_body("sts", "GetCallerIdentity"))),
        "no operation": sent(signed(listed, "Nonsense")),
        "no call": sent(Raw("GET", "/elsewhere", {}, b"")),
        "health": sent(Raw("GET", "/healthz", {}, b"")),
        "ready": sent(Raw("GET", "/readyz", {}, b"")),
    }
    assert {name: answer.status for name, answer in answers.items()} == {
        "success": 200,
        "on a thread": 200,
        "refused": 400,
        "without a signature": 400,
        "in XML": 200,
        "no operation": 400,
        "no call": 404,
        "health": 200,
        "ready": 200,
    }
    assert {name: cors_headers(answer) for name, answer in answers.items()} == dict.fromkeys(answers, mine)


@pytest.mark.parametrize(
    "line", [b"Content-Length: 2000000", b"Content-Length: x", b"Transfer-Encoding: gzip, chunked"]
)
def test_a_request_that_cannot_be_read_is_refused_readably(listed: RunningServer, line: bytes) -> None:
    received = exchange(listed, b"POST / HTTP/1.1\r\nOrigin: %s\r\n%s\r\n\r\n" % (APP.encode(), line))
    assert received.split()[1] in {b"400", b"413", b"501"}
    assert b"\r\nAccess-Control-Allow-Origin: %s\r\n" % APP.encode() in received


def test_without_the_setting_there_is_none_of_it(server: RunningServer) -> None:
    answer = preflight(server, {"Origin": APP, **PREFLIGHT})
    assert (answer.status, cors_headers(answer)) == (404, {})
    assert cors_headers(send(server, signed(server), lambda each: each.headers.update({"Origin": APP}))) == {}


def test_an_origin_cannot_add_headers(open_to_all: RunningServer, listed: RunningServer) -> None:
    for server in (open_to_all, listed):
        head = (
            b"OPTIONS / HTTP/1.1\r\nHost: x\r\nOrigin: %s\rSet-Cookie: a\r\nAccess-Control-Request-Method: POST\r\n\r\n"
        )
        assert b"Set-Cookie" not in exchange(server, head % APP.encode() + b"GET / HTTP/1.0\r\n\r\n")


# --- a page in Chromium


def kms_call(server: RunningServer, operation: str, **parameters: str) -> Call:
    key = credentials_of(server)
    return {
        "endpoint": server.endpoint,
        "service": "kms",
        "target": f"TrentService.{operation}",
        "contentType": "application/x-amz-json-1.1",
        "body": json.dumps(parameters),
        "accessKeyId": str(key.access_key),
        "secretAccessKey": str(key.secret_key),
    }


def sts_call(server: RunningServer) -> Call:
    form = {"contentType": "application/x-www-form-urlencoded", "body": "Action=GetCallerIdentity&Version=2011-06-15"}
    return kms_call(server, "") | {"service": "sts", "target": ""} | form


def test_a_page_of_an_allowed_origin_calls(listed: RunningServer, page: Page, tmp_path: Path) -> None:
    kms = client_of(listed)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    calls = [
        kms_call(listed, "Encrypt", KeyId=key_id, Plaintext=base64.b64encode(b"secret").decode()),
        kms_call(listed, "Encrypt", KeyId="alias/none", Plaintext="AAAA"),
        kms_call(listed, "ListKeys") | {"secretAccessKey": "wrong"},
        sts_call(listed),
    ]
    results: list[dict[str, Any]] = page.results_of(calls, tmp_path)
    assert [result.get("status") for result in results] == [200, 400, 400, 200], results
    blob = base64.b64decode(json.loads(results[0]["body"])["CiphertextBlob"])
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
    errors = [json.loads(result["body"])["__type"] for result in results[1:3]]
    assert errors == ["NotFoundException", "InvalidSignatureException"]
    assert "<GetCallerIdentityResult>" in results[3]["body"]
    assert all(len(result["headers"]["x-amzn-requestid"]) == 36 for result in results)


def test_a_page_of_another_origin_cannot_call(
    listed: RunningServer, open_to_all: RunningServer, folder: Path, tmp_path: Path
) -> None:
    with served_page() as stranger:
        calls = [kms_call(listed, "ListAliases"), kms_call(open_to_all, "ListAliases")]
        results = stranger.results_of(calls, tmp_path)
    assert results[0] == {"failed": "TypeError"}
    assert results[1]["status"] == 200
    # The browser asked, and sent no call.
    assert "ListAliases" not in {record["eventName"] for record in audit_records(folder / "data")}
