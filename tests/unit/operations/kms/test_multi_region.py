"""Related keys under a manual clock: automatic rotation, the order of deletion, and nothing half done."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deployments import ORIGIN, Bench, Refused
from keys_builder import make_key, material
from policies import allow, document
from strongroom.api.aws_json import AwsJson
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.software.vault import SoftwareVault
from strongroom.errors import AccessDeniedException, DisabledException
from strongroom.keys import multi_region
from strongroom.keys.arns import KeyLocator
from strongroom.keys.states import StateRule
from strongroom.operations.context import Context
from strongroom.operations.kms.multi_region import UpdatePrimaryRegionRequest, update_primary_region
from strongroom.operations.kms.related_keys import save_with_relatives
from strongroom.operations.kms.table import TABLE
from strongroom.service.call import Call
from strongroom.store.sqlite.store import SqlStore

WEST = "eu-west-1"


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock) -> Iterator[Bench]:
    bench = Bench(tmp_path / "data", clock)
    yield bench
    bench.deployment.close()


@pytest.fixture
def pair(bench: Bench) -> str:
    """Return the id of a primary in us-east-1 that has a replica in eu-west-1."""
    key_id: str = bench.call("CreateKey", MultiRegion=True)["KeyMetadata"]["KeyId"]
    bench.call("ReplicateKey", KeyId=key_id, ReplicaRegion=WEST)
    return key_id


def describe(bench: Bench, key_id: str, region: str = "us-east-1") -> dict[str, Any]:
    found: dict[str, Any] = bench.call("DescribeKey", KeyId=key_id, region=region)["KeyMetadata"]
    return found


def materials(bench: Bench, key_id: str, region: str = "us-east-1") -> list[tuple[str, str]]:
    listed = bench.call("ListKeyRotations", KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL", region=region)
    return [(each["KeyMaterialId"], each["KeyMaterialState"]) for each in listed["Rotations"]]


def events(bench: Bench, name: str) -> list[str]:
    """Return where something was done, by its records."""
    return [each["awsRegion"] for each in bench.records() if each["eventName"] == name]


def is_gone(bench: Bench, key_id: str, region: str = "us-east-1") -> bool:
    try:
        describe(bench, key_id, region)
    except Refused as refused:
        return refused.code == "NotFoundException"
    return False


def later(bench: Bench, days: float) -> None:
    bench.clock.advance(days * DAY)
    bench.deployment.keeper.run()


def test_automatic_rotation_gives_all_related_keys_the_same_new_material_once(bench: Bench, pair: str) -> None:
    bench.call("EnableKeyRotation", KeyId=pair, RotationPeriodInDays=90)
    old = bench.call("Encrypt", KeyId=pair, Plaintext="eA==", region=WEST)["CiphertextBlob"]
    later(bench, 90)
    bench.deployment.keeper.run()
    assert [state for _, state in materials(bench, pair)] == ["NON_CURRENT", "CURRENT"]
    assert materials(bench, pair, WEST) == materials(bench, pair)
    new = bench.call("Encrypt", KeyId=pair, Plaintext="eA==", region=WEST)["CiphertextBlob"]
    for blob in (old, new):
        assert bench.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == "eA=="
    here, there = (bench.call("GetKeyRotationStatus", KeyId=pair, region=region) for region in ("us-east-1", WEST))
    assert here["NextRotationDate"] == there["NextRotationDate"] == bench.clock.now() + 90 * DAY
    assert events(bench, "RotateKey") == ["us-east-1"]
    # When it was enabled, and when it rotated.
    assert events(bench, "SynchronizeMultiRegionKey") == ["us-east-1"] * 2


def test_a_disabled_primary_rotates_none_of_them(bench: Bench, pair: str) -> None:
    bench.call("EnableKeyRotation", KeyId=pair, RotationPeriodInDays=90)
    bench.call("DisableKey", KeyId=pair)
    later(bench, 90)
    assert len(materials(bench, pair, WEST)) == 1
    bench.call("EnableKey", KeyId=pair)
    bench.deployment.keeper.run()
    assert len(materials(bench, pair, WEST)) == 2


def test_a_new_primary_takes_the_schedule_over(bench: Bench, pair: str) -> None:
    bench.call("EnableKeyRotation", KeyId=pair, RotationPeriodInDays=90)
    bench.call("UpdatePrimaryRegion", KeyId=pair, PrimaryRegion=WEST)
    later(bench, 90)
    assert materials(bench, pair) == materials(bench, pair, WEST)
    assert len(materials(bench, pair)) == 2
    assert events(bench, "RotateKey") == [WEST]


def test_on_demand_rotations_are_counted_once_for_all_related_keys(bench: Bench, pair: str) -> None:
    for number in range(25):
        region, other = ("us-east-1", WEST) if number % 2 == 0 else (WEST, "us-east-1")
        bench.call("RotateKeyOnDemand", KeyId=pair, region=region)
        bench.call("UpdatePrimaryRegion", KeyId=pair, PrimaryRegion=other, region=region)
    with pytest.raises(Refused) as refused:
        bench.call("RotateKeyOnDemand", KeyId=pair, region=WEST)
    assert refused.value.code == "LimitExceededException"
    assert len(materials(bench, pair)) == 26


def test_the_primary_is_deleted_after_its_replica_and_after_its_own_window(bench: Bench, pair: str) -> None:
    bench.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7)
    later(bench, 1000)
    assert describe(bench, pair)["KeyState"] == "PendingReplicaDeletion"
    bench.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7, region=WEST)
    later(bench, 6.9)
    assert describe(bench, pair)["KeyState"] == "PendingReplicaDeletion"
    later(bench, 0.1)
    assert is_gone(bench, pair, WEST)
    primary = describe(bench, pair)
    assert (primary["KeyState"], primary["DeletionDate"]) == ("PendingDeletion", bench.clock.now() + 7 * DAY)
    assert primary["MultiRegionConfiguration"]["ReplicaKeys"] == []
    assert "PendingDeletionWindowInDays" not in primary
    later(bench, 6.9)
    assert not is_gone(bench, pair)
    later(bench, 0.1)
    assert is_gone(bench, pair)
    assert events(bench, "DeleteKey") == [WEST, "us-east-1"]


def test_after_downtime_the_primarys_window_begins_when_its_replica_is_truly_gone(bench: Bench, pair: str) -> None:
    bench.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7)
    bench.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7, region=WEST)
    bench.clock.advance(1000 * DAY)
    bench.reopen()
    bench.deployment.keeper.run()
    assert is_gone(bench, pair, WEST)
    assert describe(bench, pair)["DeletionDate"] == bench.clock.now() + 7 * DAY
    later(bench, 7)
    assert is_gone(bench, pair)


@pytest.mark.parametrize("after_days", [0, 7], ids=["while it waits for replicas", "while it waits by itself"])
def test_the_deletion_of_a_primary_can_be_cancelled_in_either_state(bench: Bench, pair: str, after_days: int) -> None:
    bench.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=8)
    bench.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7, region=WEST)
    later(bench, after_days)
    bench.call("CancelKeyDeletion", KeyId=pair)
    later(bench, 1000)
    assert is_gone(bench, pair, WEST)
    assert describe(bench, pair)["KeyState"] == "Disabled"


def test_a_deleted_replica_can_be_made_again(bench: Bench, pair: str) -> None:
    blob = bench.call("Encrypt", KeyId=pair, Plaintext="eA==", region=WEST)["CiphertextBlob"]
    bench.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7, region=WEST)
    later(bench, 7)
    assert describe(bench, pair)["MultiRegionConfiguration"]["ReplicaKeys"] == []
    with pytest.raises(Refused) as refused:
        bench.call("Decrypt", CiphertextBlob=blob, region=WEST)
    assert refused.value.code == "InvalidCiphertextException"
    bench.call("ReplicateKey", KeyId=pair, ReplicaRegion=WEST)
    assert bench.call("Decrypt", CiphertextBlob=blob, region=WEST)["Plaintext"] == "eA=="


def test_what_fails_for_one_related_key_is_done_for_none(bench: Bench, pair: str) -> None:
    lone: str = bench.call("CreateKey", MultiRegion=True)["KeyMetadata"]["KeyId"]
    bench.call("EnableKeyRotation", KeyId=pair, RotationPeriodInDays=90)
    before = materials(bench, pair)
    vault: Any = bench.deployment.backends.vault

    def fails(*_: object) -> bytes:
        raise RuntimeError("the other Region's token is not there")

    vault.replicate = fails
    for operation, request in (
        ("RotateKeyOnDemand", {"KeyId": pair}),
        ("ReplicateKey", {"KeyId": lone, "ReplicaRegion": WEST}),
    ):
        with pytest.raises(Refused) as refused:
            bench.call(operation, **request)
        assert refused.value.status == 500
    bench.clock.advance(90 * DAY)
    bench.deployment.keeper.run()
    bench.reopen()
    assert materials(bench, pair) == materials(bench, pair, WEST) == before
    assert describe(bench, lone)["MultiRegionConfiguration"]["ReplicaKeys"] == []
    assert is_gone(bench, lone, WEST)
    bench.deployment.keeper.run()
    assert materials(bench, pair) == materials(bench, pair, WEST)
    assert len(materials(bench, pair)) == 2


def test_a_successor_disabled_at_the_last_moment_does_not_become_the_primary(bench: Bench, pair: str) -> None:
    account = "000000000000"
    snapshot = bench.deployment.backends.snapshot
    primary, successor = (snapshot.key(KeyLocator(account, region, pair)) for region in ("us-east-1", WEST))
    assert primary is not None
    bench.call("DisableKey", KeyId=pair, region=WEST)
    context = Context(
        backends=bench.deployment.backends,
        credential=bench.root(),
        region="us-east-1",
        now=bench.clock.now(),
        action="kms:UpdatePrimaryRegion",
        rule=StateRule.MOVE_PRIMARY,
        cross_account=False,
        origin=ORIGIN,
    )
    request = UpdatePrimaryRegionRequest(key_id=pair, primary_region=WEST)
    with pytest.raises(DisabledException):
        update_primary_region(context, request, primary, successor)
    assert describe(bench, pair)["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"


def test_a_replica_passes_nothing_on_and_is_kept_in_step(store: SqlStore, vault: SoftwareVault) -> None:
    key_id = "mrk-" + "a" * 32
    alone = replace(make_key(), key_id=key_id, multi_region=True, primary_region="us-east-1")
    primary = multi_region.with_replica(alone, WEST)
    begun = multi_region.new_replica(primary, WEST, now=1.0)
    replica = multi_region.synchronized(begun, primary, {primary.materials[0].material_id: b"copy"})
    stray = replace(replica, materials=(*replica.materials, material(2)), description="changed")
    with store.transaction() as transaction:
        for key in (primary, replica):
            transaction.add_key(key)
        save_with_relatives(transaction, vault, replica, stray)
    with store.read() as reader:
        assert reader.key(replica.locator) == replace(replica, description="changed")
        assert reader.key(primary.locator) == replace(primary, arn=primary.locator.arn)


@pytest.mark.parametrize(
    "operation", [("ReplicateKey", {"ReplicaRegion": WEST}), ("UpdatePrimaryRegion", {"PrimaryRegion": WEST})]
)
def test_no_other_account_reaches_across_regions_whatever_the_key_policy_says(
    bench: Bench, operation: tuple[str, dict[str, str]]
) -> None:
    everyone = document(allow("*"))
    key_id: str = bench.call("CreateKey", MultiRegion=True, Policy=everyone)["KeyMetadata"]["KeyId"]
    bench.deployment.registrar.create_account("111122223333", "us-east-1", "other")
    bench.deployment.backends.snapshot.refresh()
    other = bench.deployment.backends.snapshot.principals.named("arn:aws:iam::111122223333:root")
    assert other is not None
    name, request = operation
    body = json.dumps({"KeyId": describe(bench, key_id)["Arn"], **request}).encode()
    call = Call(TABLE[name], other, "us-east-1", AwsJson(), body, ORIGIN, bench.clock.now())
    refusal = bench.deployment.service.perform(call)
    assert isinstance(refusal, AccessDeniedException)
    assert "on this resource because the resource does not exist in this Region" in str(refusal)
    assert describe(bench, key_id)["MultiRegionConfiguration"]["ReplicaKeys"] == []
