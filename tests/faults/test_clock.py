"""Real servers whose wall clock is set while they run: forward and back, across restarts, with several workers."""

import time
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from audits import audit_records, command_records
from clients import client_of
from fake_clock import FakeClock
from local_server import RunningServer
from server_processes import wait_until
from strongroom.trusted_time import TrustedTime

DAY = 86_400
MONTH = 31 * DAY


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    return FakeClock(tmp_path / "offset")


@pytest.fixture
def data(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder whose clock was confirmed in this start of the machine."""
    (tmp_path / "strongroom.toml").write_text("keeper-interval = 0.2\n")
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    with clock.server(data, tmp_path / "log") as server:
        assert server.stop() == 0
    # That takes ten minutes.
    keep(data, replace(kept(data), confirmed=True))
    return data


def kept(data: Path) -> TrustedTime:
    return msgspec.json.decode((data / "clock").read_bytes(), type=TrustedTime)


def keep(data: Path, known: TrustedTime) -> None:
    (data / "clock").write_bytes(msgspec.json.encode(known))


def doomed_key(kms: Any) -> str:
    key_id: str = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key_id)
    return key_id


def state(kms: Any, key_id: str) -> str:
    try:
        found: str = kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"]
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return found


def readiness(server: RunningServer) -> str:
    with urllib.request.urlopen(f"{server.endpoint}/readyz") as answer:  # noqa: S310 - our own server
        body: bytes = answer.read()
    return body.decode().strip()


def test_a_clock_that_jumps_a_month_for_seven_seconds(tmp_path: Path, data: Path, clock: FakeClock) -> None:
    with clock.server(data, tmp_path / "log", "--workers", "2") as server:
        kms = client_of(server)
        doomed, rotating = doomed_key(kms), kms.create_key()["KeyMetadata"]["KeyId"]
        kms.enable_key_rotation(KeyId=rotating, RotationPeriodInDays=90)
        before = kms.get_key_rotation_status(KeyId=rotating)["NextRotationDate"]
        wait_until(lambda: readiness(server) == "ok")
        clock.set(1000 * DAY)
        wait_until(lambda: "strongroom clock accept" in readiness(server))
        assert "1000.0 days ahead" in readiness(server)
        # The client's clock is right, so its signature is from the past.
        assert state(kms, doomed) == "InvalidSignatureException"
        time.sleep(7)
        clock.set(0)
        wait_until(lambda: "has come back" in readiness(server))
        assert state(kms, doomed) == "PendingDeletion"
        assert kms.get_key_rotation_status(KeyId=rotating)["NextRotationDate"] == before
        assert kms.list_key_rotations(KeyId=rotating)["Rotations"] == []
        assert server.stop() == 0
    log = (tmp_path / "log").read_text()
    assert log.count("1000.0 days ahead") == 1
    assert "Traceback" not in log


def test_a_clock_that_jumps_while_the_server_is_stopped(tmp_path: Path, data: Path, clock: FakeClock) -> None:
    with clock.server(data, tmp_path / "log") as server:
        doomed = doomed_key(client_of(server))
        assert server.stop() == 0
    clock.set(MONTH)
    with clock.server(data, tmp_path / "log") as server:
        wait_until(lambda: "31.0 days ahead" in readiness(server))
        time.sleep(1)
        # And it does so again when it was killed.
        server.process.kill()
    with clock.server(data, tmp_path / "log") as server:
        wait_until(lambda: "31.0 days ahead" in readiness(server))
        time.sleep(1)
        clock.set(0)
        wait_until(lambda: "has come back" in readiness(server))
        assert state(client_of(server), doomed) == "PendingDeletion"
        assert server.stop() == 0


def test_a_clock_that_was_set_back(tmp_path: Path, data: Path, clock: FakeClock) -> None:
    with clock.server(data, tmp_path / "log") as server:
        doomed = doomed_key(client_of(server))
        clock.set(-MONTH)
        wait_until(lambda: "31.0 days behind" in readiness(server))
        assert server.stop() == 0
    with clock.server(data, tmp_path / "log") as server:
        wait_until(lambda: "31.0 days behind" in readiness(server))
        clock.set(0)
        wait_until(lambda: "has come back" in readiness(server))
        assert state(client_of(server), doomed) == "PendingDeletion"
        assert server.stop() == 0


def test_a_month_in_which_the_server_was_stopped(tmp_path: Path, data: Path, clock: FakeClock) -> None:
    with clock.server(data, tmp_path / "log") as server:
        doomed = doomed_key(client_of(server))
        assert server.stop() == 0
    known = kept(data)
    # The kernel has counted a month since, and the wall clock shows it.
    before = replace(known.reading, uptime=known.reading.uptime - MONTH)
    agreeing = replace(known.agreeing, uptime=known.agreeing.uptime - MONTH)
    keep(data, replace(known, reading=before, agreeing=agreeing))
    clock.set(MONTH)
    with clock.server(data, tmp_path / "log") as server:
        wait_until(lambda: any(each["eventName"] == "DeleteKey" for each in audit_records(data)))
        wait_until(lambda: readiness(server) == "ok")
        clock.set(0)
        assert state(client_of(server), doomed) == "NotFoundException"
        assert server.stop() == 0


def test_an_operator_looks_at_the_clock_and_accepts_it(tmp_path: Path, data: Path, clock: FakeClock) -> None:
    folder = ("--data", str(data))
    none = clock.run("clock", "status", "--data", str(tmp_path / "none"))
    assert (none.returncode, none.stderr.count("\n")) == (2, 1)
    with clock.server(data, tmp_path / "log", "--workers", "2") as server:
        doomed_key(client_of(server))
        assert clock.run("clock", "status", *folder).returncode == 0
        clock.set(MONTH)
        wait_until(lambda: "31.0 days ahead" in readiness(server))
        shown = clock.run("clock", "status", *folder)
        assert shown.returncode == 1
        assert "Due by the clock alone: 1 deletions of keys" in shown.stdout
        assert "In doubt: the clock of this machine was set, and is 31.0 days ahead" in shown.stdout
        accepted = clock.run("clock", "accept", *folder)
        assert (accepted.returncode, accepted.stderr) == (0, "")
        wait_until(lambda: readiness(server) == "ok")
        wait_until(lambda: any(each["eventName"] == "DeleteKey" for each in audit_records(data)))
        assert clock.run("clock", "status", *folder).returncode == 0
        (event,) = [each for each in command_records(data) if each["eventName"] == "AcceptClock"]
        assert set(event["serviceEventDetails"]) == {"clock", "trusted"}
        assert server.stop() == 0
