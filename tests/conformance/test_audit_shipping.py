"""Servers that ship their audit log: to a folder that is required or not, as operators see it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from accounts import strongroom, succeed
from audits import all_audit_files
from clients import client_of
from local_server import RunningServer, running_server
from server_processes import is_alive, wait_until
from shipping import content_of, object_storage, process_of, s3_client
from started_servers import failed_start
from strongroom.shipping.folder import MARK

SHIPPER = "strongroom.cli.audit_shipper"


@contextmanager
def serving(folder: Path, settings: str, **environment: str) -> Iterator[RunningServer]:
    (folder / "strongroom.toml").write_text(settings)
    options = ("--config", str(folder / "strongroom.toml"))
    with running_server(folder / "data", folder / "log", *options, environment=environment) as server:
        yield server


def shown(folder: Path) -> dict[str, object]:
    """Return what ``audit shipping`` shows of the only destination."""
    done = strongroom(folder / "data", "audit", "shipping", "--json", "--config", str(folder / "strongroom.toml"))
    (found,) = json.loads(done.stdout)["destinations"]
    assert done.returncode == bool(found["failing"])
    return dict(found)


def readiness(server: RunningServer) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{server.endpoint}/readyz") as answer:  # noqa: S310 - our own server
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def fetch(to: Path, config: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "strongroom", "audit", "fetch", "s3://logs/node", str(to), "--config", str(config)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    return folder


def test_the_copy_of_a_stopped_server_is_its_log_and_verifies_like_it(tmp_path: Path, copy: Path) -> None:
    settings = f'workers = 2\naudit-segment-size = 20000\n[[audit-ship]]\nto = "folder:{copy}"\n'
    with serving(tmp_path, settings) as server:
        kms = client_of(server)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        for _ in range(100):
            kms.encrypt(KeyId=key, Plaintext=b"x")
        wait_until(lambda: content_of(copy) == content_of(tmp_path / "data" / "audit"))
        wait_until(lambda: shown(tmp_path)["lines"] == 0)
        public = succeed(tmp_path / "data", "audit", "public-key")
        assert readiness(server) == (200, "ok\n")
        assert server.stop() == 0
    assert content_of(copy) == content_of(tmp_path / "data" / "audit")
    assert len(content_of(copy)) > 5
    (tmp_path / "key.pem").write_text(public)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copy.rename(elsewhere / "audit")
    verified = succeed(elsewhere, "audit", "verify", "--public-key", str(tmp_path / "key.pem"))
    assert "The log is whole." in verified
    found = succeed(elsewhere, "audit", "search", "--event", "Encrypt", "--json")
    assert len(found.splitlines()) == 100


def test_a_required_folder_has_a_record_before_the_answer(tmp_path: Path, copy: Path) -> None:
    with serving(tmp_path, f'[[audit-ship]]\nto = "folder:{copy}"\nrequired = true\n') as server:
        kms = client_of(server)
        for _ in range(20):
            request = kms.create_key()["ResponseMetadata"]["RequestId"]
            assert request.encode() in b"".join(content_of(copy).values())
        assert server.stop() == 0


def test_a_server_that_was_started_again_is_ready_before_its_first_call(tmp_path: Path, copy: Path) -> None:
    """Its chain goes on, and it has no segment yet: nothing of it can be asked for."""
    settings = f'audit-ship-timeout = 1\n[[audit-ship]]\nto = "folder:{copy}"\nrequired = true\n'
    with serving(tmp_path, settings) as server:
        wait_until(lambda: makes_a_key(server))
        assert server.stop() == 0
    with serving(tmp_path, settings) as server:
        begun = time.monotonic()
        while time.monotonic() < begun + 2.5:  # longer than a call waits
            assert readiness(server) == (200, "ok\n")
            time.sleep(0.1)
        wait_until(lambda: makes_a_key(server))
        assert server.stop() == 0


def makes_a_key(server: RunningServer) -> bool:
    """Make a key; return False if its record was not taken in time, as happens on a busy machine."""
    kms = client_of(server)
    try:
        kms.create_key()
    except kms.exceptions.KMSInternalException:
        return False
    return True


def test_calls_are_refused_while_a_required_folder_is_gone_and_answered_when_it_is_back(
    tmp_path: Path, copy: Path
) -> None:
    settings = f'audit-ship-timeout = 3\n[[audit-ship]]\nto = "folder:{copy}"\nrequired = true\n'
    with serving(tmp_path, settings) as server:
        kms = client_of(server)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        copy.rename(tmp_path / "unmounted")
        begun = time.monotonic()
        with pytest.raises(ClientError) as first:
            kms.encrypt(KeyId=key, Plaintext=b"x")
        assert first.value.response["Error"]["Code"] == "KMSInternalException"
        assert time.monotonic() - begun > 2
        with pytest.raises(ClientError) as second:
            kms.encrypt(KeyId=key, Plaintext=b"x")
        assert second.value.response["Error"]["Code"] == "KMSInternalException"
        status, text = readiness(server)
        assert status == 503
        assert "a required destination of the audit log does not take what is written" in text
        wait_until(lambda: "is not there" in str(shown(tmp_path)["failing"]))
        (tmp_path / "unmounted").rename(copy)
        wait_until(lambda: readiness(server)[0] == 200)
        kms.encrypt(KeyId=key, Plaintext=b"x")
        assert server.stop() == 0
    assert content_of(copy) == content_of(tmp_path / "data" / "audit")
    # Every call has a record, also those that were refused.
    log = b"".join(path.read_bytes() for path in all_audit_files(tmp_path / "data"))
    assert log.count(b'"eventName":"Encrypt"') == 3
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_killed_shipper_is_replaced_and_a_required_call_waits_for_it(tmp_path: Path, copy: Path) -> None:
    settings = f'audit-ship-timeout = 60\n[[audit-ship]]\nto = "folder:{copy}"\nrequired = true\n'
    with serving(tmp_path, settings) as server:
        kms = client_of(server)
        for _ in range(2):
            pid = process_of(server.process.pid, SHIPPER)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            request = kms.create_key()["ResponseMetadata"]["RequestId"]
            assert request.encode() in b"".join(content_of(copy).values())
        pid = process_of(server.process.pid, SHIPPER)
        assert pid is not None
        server.process.kill()
        wait_until(lambda: not is_alive(pid))


def test_a_destination_that_is_away_is_a_problem_and_no_obstacle(tmp_path: Path, copy: Path) -> None:
    settings = f'metrics-listen = "127.0.0.1:0"\n[[audit-ship]]\nto = "folder:{copy}"\n'
    copy.rmdir()
    with serving(tmp_path, settings) as server:
        client_of(server).create_key()
        wait_until(lambda: "is not there" in readiness(server)[1])
        assert readiness(server)[0] == 200
        metrics = server.environment["STRONGROOM_METRICS"]

        def scraped() -> str:
            with urllib.request.urlopen(metrics) as answer:  # noqa: S310 - our own server
                return str(answer.read().decode())

        label = f'destination="folder:{copy}"'
        wait_until(lambda: f"strongroom_audit_ship_working{{{label}," in scraped())
        working = next(line for line in scraped().splitlines() if line.startswith("strongroom_audit_ship_working{"))
        assert working.endswith(" 0.0")
        copy.mkdir()
        wait_until(lambda: readiness(server)[1] == "ok\n")
        assert server.stop() == 0
    assert content_of(copy) == content_of(tmp_path / "data" / "audit")
    said = (tmp_path / "log").read_text()
    assert said.count(f"the audit log is not shipped to folder:{copy}: ") <= 2


def test_nothing_is_archived_that_was_not_shipped(tmp_path: Path, copy: Path) -> None:
    settings = f'audit-segment-size = 4096\nkeeper-interval = 0.1\n[[audit-ship]]\nto = "folder:{copy}"\n'
    archive = tmp_path / "archive"
    config = ("--config", str(tmp_path / "strongroom.toml"))
    with serving(tmp_path, settings) as server:
        kms = client_of(server)
        kms.list_keys()
        wait_until(lambda: content_of(copy) != {})
        copy.rename(tmp_path / "away")
        for _ in range(60):
            kms.list_keys()
        time.sleep(1)
        refused = strongroom(tmp_path / "data", "audit", "archive", "--to", str(archive), *config)
        assert refused.returncode == 1
        assert f"was not shipped to folder:{copy} yet" in refused.stderr
        assert content_of(archive) == {}
        (tmp_path / "away").rename(copy)
        wait_until(lambda: not shown(tmp_path)["failing"] and shown(tmp_path)["size"] == 0)
        succeed(tmp_path / "data", "audit", "archive", "--to", str(archive), *config)
        assert len(content_of(archive)) > 3
        assert content_of(archive).items() <= content_of(copy).items()
        assert server.stop() == 0


def test_a_log_in_object_storage_is_fetched_and_verified(tmp_path: Path) -> None:
    secrets = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret"}
    with object_storage(tmp_path / "storage-log") as port:
        s3_client(port).create_bucket(Bucket="logs")
        settings = (
            'audit-segment-size = 4096\n[[audit-ship]]\nto = "s3://logs/node"\nregion = "us-east-1"\n'
            f'endpoint = "http://127.0.0.1:{port}"\nrequired = true\n'
        )
        with serving(tmp_path, settings, **secrets) as server:
            kms = client_of(server)
            for _ in range(20):
                kms.list_keys()
            public = succeed(tmp_path / "data", "audit", "public-key")
            assert server.stop() == 0
        fetched = tmp_path / "fetched" / "audit"
        done = fetch(fetched, tmp_path / "strongroom.toml", secrets)
        assert done.returncode == 0, done.stderr
        assert "is not empty" in fetch(fetched, tmp_path / "strongroom.toml", secrets).stderr
    assert content_of(fetched) == content_of(tmp_path / "data" / "audit")
    (tmp_path / "key.pem").write_text(public)
    verified = succeed(tmp_path / "fetched", "audit", "verify", "--public-key", str(tmp_path / "key.pem"))
    assert "The log is whole." in verified
    assert "testing-secret" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('to = "syslog+tls://host"\nrequired = true', "`required` cannot be kept"),
        ('to = "folder:"', "must be absolute"),
        ('to = "folder:data/audit"', "is in the data folder"),
        ('to = "/mnt/audit"', "it must be folder:/PATH, syslog+tls://HOST:PORT or s3://BUCKET/PREFIX"),
        ('to = "s3://key:secret@bucket"', "must not contain credentials"),
        ('to = "syslog+tls://host/path"', "it must be syslog+tls://HOST:PORT"),
        ('to = "syslog+tls://host"\ncert = "c.pem"', "needs both `cert` and `key`"),
        ('to = "syslog+tls://host"\nca = "none.pem"', "cannot be read: No such file"),
        ('to = "folder:/x"\nretain-days = 3', "are for object storage"),
        ('to = "folder:/x"\n[[audit-ship]]\nto = "folder:/x"', "twice"),
        ('to = "folder:{data}/audit"', "is in the data folder"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(tmp_path: Path, settings: str, said: str) -> None:
    data = tmp_path / "data"
    config = tmp_path / "strongroom.toml"
    config.write_text(f"[[audit-ship]]\n{settings.replace('{data}', str(data))}\n")
    ended = failed_start(data, "--config", str(config))
    assert ended.code == 1
    assert said in ended.last_line
    assert "key:secret" not in ended.errors
    assert "Traceback" not in ended.errors


def test_a_folder_to_which_something_is_shipped_is_marked(tmp_path: Path, copy: Path) -> None:
    with serving(tmp_path, f'[[audit-ship]]\nto = "folder:{copy}"\n') as server:
        client_of(server).list_keys()
        wait_until((copy / MARK).exists)
        assert server.stop() == 0
