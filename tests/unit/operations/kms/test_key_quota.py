"""The resource quota on KMS keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_deployment import LocalDeployment, Refused
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.material import MaterialBinding

SAYS = "LimitExceededException: An account can have at most 2 KMS keys in a Region."


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock, customer_keys=2)
    yield local
    local.deployment.close()


def make(local: LocalDeployment, **request: Any) -> str:
    key_id: str = local.call("CreateKey", **request)["KeyMetadata"]["KeyId"]
    return key_id


def test_the_quota_of_keys_in_a_region_is_free_again_after_a_deletion(local: LocalDeployment) -> None:
    key = make(local)
    make(local)
    with pytest.raises(Refused, match=SAYS):
        make(local)
    make(local, region="eu-west-1")
    local.call("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    with pytest.raises(Refused, match=SAYS):
        make(local)
    local.clock.advance(7 * DAY)
    local.deployment.keeper.run()
    make(local)


def test_no_key_material_is_left_of_a_key_refused_by_the_quota(local: LocalDeployment) -> None:
    backend: Any = local.deployment.backends.key_backends.of_store(None)
    generate = backend.generate
    made: list[bytes] = []
    destroyed: list[bytes] = []

    def generated(owner: MaterialBinding) -> bytes:
        made.append(generate(owner))
        return made[-1]

    backend.generate = generated
    backend.destroy = lambda token, _owner: destroyed.append(token)
    for _ in range(2):
        make(local)
    with pytest.raises(Refused, match=SAYS):
        make(local)
    assert (len(made), destroyed) == (3, made[2:])
    with pytest.raises(Refused, match=SAYS):
        make(local, KeySpec="RSA_4096", KeyUsage="SIGN_VERIFY")
    assert len(made) == 3


def test_replicas_count_in_their_own_region(local: LocalDeployment) -> None:
    primary = make(local, MultiRegion=True)
    for _ in range(2):
        make(local, region="eu-west-1")
    with pytest.raises(Refused, match=SAYS):
        local.call("ReplicateKey", KeyId=primary, ReplicaRegion="eu-west-1")
    with pytest.raises(Refused, match="NotFoundException"):
        local.call("DescribeKey", region="eu-west-1", KeyId=primary)
    make(local)
    with pytest.raises(Refused, match=SAYS):
        make(local)


def test_aws_managed_keys_do_not_count(local: LocalDeployment) -> None:
    for _ in range(2):
        make(local)
    local.deployment.registrar.create_service("backup.amazonaws.com")
    assert local.call("DescribeKey", KeyId="alias/aws/backup")["KeyMetadata"]["KeyManager"] == "AWS"
