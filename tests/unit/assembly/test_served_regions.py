"""Regions that have keys and are not served any more are named."""

from pathlib import Path

from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.problems import Subject


def test_a_region_that_is_not_served_any_more(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    assert not local.deployment.problems.current()
    for _ in range(2):
        local.call("CreateKey", region="eu-west-1")
    local.deployment.close()
    fewer = LocalDeployment(tmp_path / "data", clock, regions=("us-east-1",))
    (problem,) = fewer.deployment.problems.current()
    assert problem.subject == Subject.REGIONS
    assert "keys of Regions that are not served cannot be used: eu-west-1 (2 keys)" in problem.text
    fewer.deployment.close()
    again = LocalDeployment(tmp_path / "data", clock)
    assert not again.deployment.problems.current()
    again.deployment.close()
