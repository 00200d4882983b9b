"""The resource quota on KMS keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments import Bench, Refused
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.protocol import MaterialBinding

SAYS = "LimitExceededException: An account can have at most 2 KMS keys in a Region."


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock) -> Iterator[Bench]:
    bench = Bench(tmp_path / "data", clock, customer_keys=2)
    yield bench
    bench.deployment.close()


def make(bench: Bench, **request: Any) -> str:
    key_id: str = bench.call("CreateKey", **request)["KeyMetadata"]["KeyId"]
    return key_id


def test_an_account_has_so_many_keys_in_a_region_until_one_is_deleted(bench: Bench) -> None:
    key = make(bench)
    make(bench)
    with pytest.raises(Refused, match=SAYS):
        make(bench)
    make(bench, region="eu-west-1")
    bench.call("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    with pytest.raises(Refused, match=SAYS):
        make(bench)
    bench.clock.advance(7 * DAY)
    bench.deployment.keeper.run()
    make(bench)


def test_no_key_material_is_left_of_a_key_there_was_no_room_for(bench: Bench) -> None:
    vault: Any = bench.deployment.backends.vault
    generate = vault.generate
    made: list[bytes] = []
    destroyed: list[bytes] = []

    def generated(owner: MaterialBinding) -> bytes:
        made.append(generate(owner))
        return made[-1]

    vault.generate = generated
    vault.destroy = lambda token, _owner: destroyed.append(token)
    for _ in range(2):
        make(bench)
    with pytest.raises(Refused, match=SAYS):
        make(bench)
    assert (len(made), destroyed) == (3, made[2:])
    with pytest.raises(Refused, match=SAYS):
        make(bench, KeySpec="RSA_4096", KeyUsage="SIGN_VERIFY")
    assert len(made) == 3


def test_replicas_count_where_they_are(bench: Bench) -> None:
    primary = make(bench, MultiRegion=True)
    for _ in range(2):
        make(bench, region="eu-west-1")
    with pytest.raises(Refused, match=SAYS):
        bench.call("ReplicateKey", KeyId=primary, ReplicaRegion="eu-west-1")
    with pytest.raises(Refused, match="NotFoundException"):
        bench.call("DescribeKey", region="eu-west-1", KeyId=primary)
    make(bench)
    with pytest.raises(Refused, match=SAYS):
        make(bench)


def test_aws_managed_keys_do_not_count(bench: Bench) -> None:
    for _ in range(2):
        make(bench)
    bench.deployment.registrar.create_service("backup.amazonaws.com")
    assert bench.call("DescribeKey", KeyId="alias/aws/backup")["KeyMetadata"]["KeyManager"] == "AWS"
