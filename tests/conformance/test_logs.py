"""The log of a real server: its formats, request ids, the access log, and what must not be in it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from client_errors import error_code_of
from clients import Answer, client_of, credentials_of, send, signed
from local_server import RunningServer, running_server
from server_processes import wait_until

PLAINTEXT = b"Attack at dawn, by the north gate"
CONTEXT = {"purpose": "a context that is not logged"}
REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def settings(folder: Path, text: str) -> tuple[str, str]:
    (folder / "strongroom.toml").write_text(text)
    return "--config", str(folder / "strongroom.toml")


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def calls(server: RunningServer) -> list[Answer]:
    """Make calls that succeed and calls that are refused; return those that were sent as they are."""
    kms = client_of(server)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, EncryptionContext=CONTEXT)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)["Plaintext"] == PLAINTEXT
    grant = kms.create_grant(KeyId=key_id, GranteePrincipal="arn:aws:iam::000000000000:root", Operations=["Encrypt"])
    kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, GrantTokens=[grant["GrantToken"]])
    assert error_code_of(kms.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
    return [
        send(server, signed(server, "ListKeys")),
        send(server, signed(server, "ListKeys"), lambda raw: raw.headers.update({"X-Amz-Date": "20200101T000000Z"})),
    ]


def test_the_access_log_has_a_line_for_each_call(tmp_path: Path) -> None:
    options = settings(tmp_path, 'access-log = true\nlog-format = "json"\ntrusted-proxies = ["127.0.0.0/8"]\n')
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        answers = calls(server)
        forwarded = send(server, signed(server, "ListKeys", more={"X-Forwarded-For": "192.0.2.7"}))
        secret = str(credentials_of(server).secret_key)
        assert server.stop() == 0
    lines = [line for line in lines_of(tmp_path / "log") if line["logger"] == "strongroom.access"]
    assert [(line["operation"], line["outcome"]) for line in lines] == [
        ("CreateKey", "success"),
        ("Encrypt", "success"),
        ("Decrypt", "success"),
        ("CreateGrant", "success"),
        ("Encrypt", "success"),
        ("Decrypt", "InvalidCiphertextException"),
        ("ListKeys", "success"),
        ("ListKeys", "InvalidSignatureException"),
        ("ListKeys", "success"),
    ]
    for line in lines:
        assert line.keys() == {
            *("time", "level", "logger", "message", "worker", "node", "request_id"),
            *("service", "operation", "outcome", "duration", "source"),
        }
        assert (line["worker"], line["service"], line["level"]) == ("w0", "kms", "INFO")
        assert REQUEST_ID.fullmatch(line["request_id"])
        assert 0 < line["duration"] < 10
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert [line["request_id"] for line in lines[-3:]] == [
        answer.headers["x-amzn-requestid"] for answer in (*answers, forwarded)
    ]
    assert [line["source"] for line in lines[-2:]] == ["127.0.0.1", "192.0.2.7"]
    text = (tmp_path / "log").read_text()
    for hidden in (PLAINTEXT.decode(), CONTEXT["purpose"], secret, "AKIA", "CiphertextBlob", "GrantToken"):
        assert hidden not in text


def test_text_is_the_default_and_an_access_log_is_not(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        calls(server)
        assert server.stop() == 0
    assert "strongroom.access" not in (tmp_path / "log").read_text()
    options = settings(tmp_path, 'access-log = true\nlog-level = "error"\n')
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        calls(server)
        assert server.stop() == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 8
    for line in lines:
        assert re.fullmatch(
            r"[\d-]+ [\d:,]+ INFO strongroom\.access: "
            rf"kms:\w+ \w+ in [\d.]+ s from 127\.0\.0\.1 request_id={REQUEST_ID.pattern}",
            line,
        )


def test_workers_name_themselves(tmp_path: Path) -> None:
    options = settings(tmp_path, 'access-log = true\nlog-format = "json"\nworkers = 3\n')
    with running_server(tmp_path / "data", tmp_path / "log", *options, "--workers", "3") as server:
        for _ in range(40):
            client_of(server).list_keys()
        assert server.stop() == 0
    lines = [line for line in lines_of(tmp_path / "log") if line["logger"] == "strongroom.access"]
    assert len(lines) == 40
    assert {line["worker"] for line in lines} <= {"w0", "w1", "w2"}
    assert len({line["worker"] for line in lines}) > 1


def test_processes_beside_the_workers_name_themselves_and_the_node(tmp_path: Path) -> None:
    # Nothing listens on port 1, so both have something to say.
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "A" * 32)
    secret.chmod(0o600)
    options = settings(
        tmp_path,
        'log-format = "json"\n[[audit-ship]]\nto = "syslog+tls://127.0.0.1:1"\n'
        f'[[events]]\nto = "https://127.0.0.1:1/"\nsecret-file = "{secret}"\n',
    )
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        kms = client_of(server)
        kms.rotate_key_on_demand(KeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        wait_until(lambda: {"shipper", "events"} <= {line.get("worker") for line in lines_of(tmp_path / "log")})
        assert server.stop() == 0
    node = (tmp_path / "data" / "node-id").read_text().split()[-1]
    lines = [line for line in lines_of(tmp_path / "log") if line.get("worker") in {"shipper", "events"}]
    assert {line["node"] for line in lines} == {node}


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_defect_is_logged_with_its_request_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(_BREAK_LIST_KEYS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    options = settings(tmp_path, f'log-format = "{form}"\n')
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        answer = send(server, signed(server, "ListKeys"))
        assert (answer.status, answer.error) == (500, "KMSInternalException")
        assert server.stop() == 0
    request_id = answer.headers["x-amzn-requestid"]
    if form == "text":
        assert (
            f"ERROR strongroom.service.pipeline: ListKeys failed request_id={request_id}\nTraceback"
            in (tmp_path / "log").read_text()
        )
        return
    (line,) = [line for line in lines_of(tmp_path / "log") if line["logger"].startswith("strongroom.service")]
    assert (line["level"], line["message"], line["request_id"]) == ("ERROR", "ListKeys failed", request_id)
    assert line["exception"].endswith("ZeroDivisionError: planted")


_BREAK_LIST_KEYS = """
import strongroom.operations.kms.table as table

def broken(*_):
    raise ZeroDivisionError("planted")

table.TABLE["ListKeys"].run = broken
"""


def test_what_ends_a_thread_is_logged_too(tmp_path: Path) -> None:
    program = (
        "import threading; from strongroom.telemetry.logs import start_logging; "
        "from strongroom.settings import Settings; "
        "start_logging(Settings(log_format='json'), 'w0'); t = threading.Thread(target=lambda: 1 / 0); t.start(); "
        "t.join(); {}['missing']"
    )
    done = run_python(program, tmp_path)
    thread, main = [json.loads(line) for line in done.splitlines()]
    assert thread["exception"].endswith("ZeroDivisionError: division by zero")
    assert main["exception"].endswith("KeyError: 'missing'")


def run_python(program: str, folder: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    ).stderr
