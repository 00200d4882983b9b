"""Fewer workers than before a crash: uses that only the ended workers had recorded are kept, and their chains ended."""

import json
import os
from pathlib import Path

import pytest

from audit_disk import Disk
from local_deployment import ORIGIN, LocalDeployment, entropy, performed
from strongroom.api.aws_json import AwsJson
from strongroom.assembly.audit_folders import AuditFolders
from strongroom.assembly.audit_log import known_writers, open_audit_key, verify_log
from strongroom.assembly.deployment import Deployment, take_folder
from strongroom.audit.report import Report
from strongroom.audit.writer_id import WriterId
from strongroom.clock import ManualClock
from strongroom.errors import KmsError
from strongroom.operations.kms.table import TABLE
from strongroom.service.call import Call
from strongroom.settings import Settings

NOW = 1_790_000_000.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def key_id(tmp_path: Path, clock: ManualClock) -> str:
    """Return a key that the second of two workers used before a crash, both of whose chains have no checkpoint yet."""
    local = LocalDeployment(tmp_path / "data", clock)
    key_id: str = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    root = local.root()
    local.deployment.close()
    settings = Settings(data=str(tmp_path / "data"), regions=("us-east-1", "eu-west-1"), workers=2)
    clock.advance(1)
    lock = take_folder(settings, clock, entropy)
    first, second = (Deployment(settings, clock, entropy, worker) for worker in range(2))
    for number, deployment in enumerate((first, second)):
        clock.advance(1)
        body = json.dumps({"KeyId": key_id, "Plaintext": "eA=="}).encode()
        call = Call(TABLE["Encrypt"], root, "us-east-1", AwsJson(), body, ORIGIN, NOW + 10 + number)
        assert not isinstance(performed(deployment.service.pipeline, call), KmsError)
        deployment.log.flush()
        deployment.backends.store.close()
    os.close(lock)
    clock.advance(10)
    return key_id


def second(local: LocalDeployment) -> str:
    """Return the name of the second worker's chain."""
    return WriterId(local.deployment.node, 1).name


def verify(local: LocalDeployment) -> Report:
    backends = local.deployment.backends
    key = open_audit_key(backends.store, backends.secrets, entropy, local.folder / "audit").public()
    return verify_log(
        AuditFolders((local.folder / "audit",)),
        {local.deployment.node},
        key,
        backends.store,
        lambda _: None,
        boot="boot 0",
    )


def test_the_uses_by_a_worker_that_does_not_run_any_more_are_written_down(
    tmp_path: Path, clock: ManualClock, key_id: str
) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    assert local.call("GetKeyLastUsage", KeyId=key_id)["KeyLastUsage"]["Timestamp"] == NOW + 11
    with local.deployment.backends.store.read() as reader:
        offsets = {mark.writer: (mark.segment, mark.offset) for mark in reader.audit_marks()}
    (path,) = (path for path in (local.folder / "audit").iterdir() if path.name == offsets[second(local)][0])
    assert path.stat().st_size == offsets[second(local)][1]
    local.deployment.close()


def test_the_chain_of_a_worker_that_does_not_run_any_more_is_signed_and_ended(
    tmp_path: Path, clock: ManualClock, key_id: str
) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    known = known_writers(local.deployment.backends.store)[second(local)]
    assert known.stopped
    assert known.checkpoint is not None
    report = verify(local)
    assert (report.findings, report.uncovered, report.unsigned) == ([], 2, 1)
    files = sorted((local.folder / "audit").iterdir())
    local.reopen()
    # A chain is ended once, not at every start.
    assert [path for path in sorted((local.folder / "audit").iterdir()) if f"-{second(local)}-" in path.name] == [
        path for path in files if f"-{second(local)}-" in path.name
    ]
    local.deployment.close()
    assert key_id


def test_a_chain_that_cannot_be_ended_does_not_prevent_a_start(
    tmp_path: Path, clock: ManualClock, key_id: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(tmp_path / "audit", monkeypatch)
    disk.fill(left=0)
    local = LocalDeployment(tmp_path / "data", clock)
    assert "the end of the audit log could not be written" in caplog.text
    assert not known_writers(local.deployment.backends.store)[second(local)].stopped
    disk.repair()
    assert local.call("GetKeyLastUsage", KeyId=key_id)["KeyLastUsage"]["Timestamp"] == NOW + 11
    local.reopen()
    assert known_writers(local.deployment.backends.store)[second(local)].stopped
    assert verify(local).findings == []
    local.deployment.close()


def test_workers_of_this_start_are_left_alone(tmp_path: Path, clock: ManualClock, key_id: str) -> None:
    settings = Settings(data=str(tmp_path / "data"), regions=("us-east-1", "eu-west-1"), workers=2)
    first = Deployment(settings, clock, entropy, 0)
    assert not known_writers(first.backends.store)[WriterId(first.node, 1).name].stopped
    first.close()
    assert key_id
