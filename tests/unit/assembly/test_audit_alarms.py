"""A start that finds audit records or checkpoints missing has an open problem, which /readyz and doctor show."""

from pathlib import Path

import pytest

from faulty_stores import change
from local_deployment import LocalDeployment
from strongroom.assembly.data_folder import DataFolder
from strongroom.clock import ManualClock
from strongroom.store.audit.segments import segments_of


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> LocalDeployment:
    local = LocalDeployment(tmp_path / "data", clock)
    local.call("CreateKey")
    assert problems_of(local) == []
    local.deployment.close()
    return local


def problems_of(local: LocalDeployment) -> list[str]:
    return [*local.deployment.service.readiness.check().problems]


def problem_after_start(local: LocalDeployment) -> str:
    """Return the problem of the next start; the one after it has none."""
    local.reopen()
    (problem,) = problems_of(local)
    local.call("ListKeys")
    local.reopen()
    assert problems_of(local) == []
    local.deployment.close()
    return problem


def test_a_lost_file(local: LocalDeployment) -> None:
    for segment in segments_of(local.folder / "audit"):
        segment.path.unlink()
    assert "the audit log lacks its checkpoint at" in problem_after_start(local)


def test_a_lost_checkpoint(local: LocalDeployment) -> None:
    change(DataFolder(local.folder).database, "DELETE FROM audit_checkpoint")
    assert "the database has lost its checkpoint of audit writer" in problem_after_start(local)


def test_a_damaged_checkpoint(local: LocalDeployment) -> None:
    change(DataFolder(local.folder).database, "UPDATE audit_checkpoint SET signature = x'00'")
    assert "the database has no good checkpoint of audit writer" in problem_after_start(local)
