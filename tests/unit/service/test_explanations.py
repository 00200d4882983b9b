"""Who may do something with a key is named as calls name the caller, in every partition."""

from contextlib import closing
from pathlib import Path

import pytest

from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.service.explanations import Asked, everyone, who_can


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-east-1", "aws-us-gov")]
)
def test_the_root_has_the_arn_of_its_partition(tmp_path: Path, clock: ManualClock, region: str, partition: str) -> None:
    root = f"arn:{partition}:iam::000000000000:root"
    local = LocalDeployment(tmp_path / "data", clock, (region,))
    with closing(local.deployment):
        key = local.call("CreateKey", region=region)["KeyMetadata"]["Arn"]
        backends = local.deployment.backends
        assert everyone(backends) == [root]
        (found,) = who_can(backends, Asked("kms:Encrypt", key, region, clock.now(), {}))
        assert found.principal == root
        # The decision is about the caller whom records name.
        assert local.records()[-1]["userIdentity"]["arn"] == root
