"""A full disk: no answer is sent, readiness and metrics show it, and the service recovers when there is room.

The running server gets a limit on the size of files (RLIMIT_FSIZE, prlimit(2)): to it, that is a full disk.
"""

import base64
import json
import resource
import time
from pathlib import Path

import pytest

from accounts import succeed
from audits import audit_files, audit_records
from client_errors import error_with_status
from clients import Answer, Raw, client_of, send, signed
from local_server import RunningServer, running_server
from scrapes import scrape, scrape_until

PLAINTEXT = b"not to be released"

PATIENCE = 120


def leave_room(server: RunningServer, size: int) -> None:
    """Let no file of the server's grow beyond a size."""
    _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, most))


def get(server: RunningServer, path: str) -> tuple[int, str]:
    answer = send(server, Raw("GET", path, {}, b""))
    return answer.status, answer.body.decode()


def assert_refused(answer: Answer) -> None:
    assert (answer.status, answer.error) == (500, "KMSInternalException")
    assert "audit" in answer.message
    assert base64.b64encode(PLAINTEXT) not in answer.body


@pytest.mark.parametrize("durability", ["write", "fsync"])
def test_a_full_disk(tmp_path: Path, durability: str) -> None:
    data = tmp_path / "data"
    options = ("--durability", durability, "--metrics-listen", "127.0.0.1:0")
    with running_server(data, tmp_path / "log", *options) as server:
        kms = client_of(server)
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        blob = kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
        body = json.dumps({"CiphertextBlob": base64.b64encode(blob).decode()}).encode()
        (segment,) = audit_files(data)
        whole = segment.read_bytes()
        assert get(server, "/readyz") == (200, "ok\n")
        shown = scrape(server)
        assert shown.sum("strongroom_audit_writable") == 1
        assert shown.sum("strongroom_audit_flush_failures_total") == 0

        # Half a record fits.
        leave_room(server, len(whole) + 300)
        for _ in range(3):
            assert_refused(send(server, signed(server, "Decrypt", body)))
        assert error_with_status(500, kms.create_key)["Code"] == "KMSInternalException"
        assert get(server, "/readyz") == (503, "not ready: the audit log cannot be written\n")
        assert get(server, "/healthz") == (200, "ok\n")
        shown = scrape_until(server, lambda shown: shown.sum("strongroom_audit_writable") == 0)
        assert shown.sum("strongroom_audit_flush_failures_total") >= 4
        assert shown.sum("strongroom_audit_lines_waiting") >= 4
        assert shown.sum("strongroom_requests_total", operation="Decrypt", outcome="KMSInternalException") == 3
        assert shown.sum("strongroom_http_requests_refused_total", status="503") == 1
        # Nothing is left of what did not fit.
        assert segment.read_bytes().startswith(whole)
        assert segment.read_bytes().endswith(b"\n")

        leave_room(server, resource.RLIM_INFINITY)
        # Without any call in between.
        assert get(server, "/readyz") == (200, "ok\n")
        shown = scrape_until(server, lambda shown: shown.sum("strongroom_audit_writable") == 1)
        assert shown.sum("strongroom_audit_lines_waiting") == 0
        assert shown.sum("strongroom_audit_lines_lost_total") == 0
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
        assert len(kms.list_keys()["Keys"]) == 1
        assert server.stop() == 0
    # The attempts are recorded, though none was answered; after the first, nothing was done.
    tried = [(record["eventName"], record.get("errorCode")) for record in audit_records(data)]
    refused = "KMSInternalException"
    assert tried == [
        ("CreateKey", None),
        ("Encrypt", None),
        ("Decrypt", None),
        ("Decrypt", refused),
        ("Decrypt", refused),
        ("CreateKey", refused),
        ("Decrypt", None),
        ("ListKeys", None),
    ]
    assert "The log is whole." in succeed(data, "audit", "verify")


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data, tmp_path / "log") as server:
        leave_room(server, 0)
        assert_refused(send(server, signed(server)))
        # The keeper may be trying once more just now.
        end = time.monotonic() + PATIENCE
        while audit_files(data) and time.monotonic() < end:
            time.sleep(0.01)
        assert audit_files(data) == []
        leave_room(server, resource.RLIM_INFINITY)
        assert client_of(server).list_keys()["Keys"] == []
        assert server.stop() == 0
    assert "The log is whole." in succeed(data, "audit", "verify")


def test_a_full_disk_does_not_flood_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_server(tmp_path / "data", log) as server:
        body = json.dumps({"Limit": 1}).encode()
        for _ in range(3):
            assert send(server, signed(server, "ListKeys", body)).status == 200
        (segment,) = audit_files(tmp_path / "data")
        # The line of the log fits into its own file.
        leave_room(server, segment.stat().st_size + 10)
        for _ in range(50):
            assert_refused(send(server, signed(server, "ListKeys", body)))
        leave_room(server, resource.RLIM_INFINITY)
        assert get(server, "/readyz")[0] == 200
        assert send(server, signed(server, "ListKeys", body)).status == 200
        assert server.stop() == 0
    lines = [line for line in log.read_text().splitlines() if "the audit log can" in line]
    assert len(lines) == 2
    assert "File too large; calls refused since the last line: 1" in lines[0]
    assert "can be written again; calls refused since the last line: 49" in lines[1]
    assert "Traceback" not in log.read_text()
