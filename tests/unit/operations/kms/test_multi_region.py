"""Related keys under a manual clock: automatic rotation, the order of deletion, and atomic changes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from keys_builder import make_key, material
from local_deployment import ORIGIN, LocalDeployment, Refused, entropy, performed
from policies import allow, document
from strongroom.api.aws_json import AwsJson
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.key_backends import KeyBackends
from strongroom.errors import AccessDeniedException, DisabledException
from strongroom.keys import multi_region
from strongroom.keys.arns import KeyLocator
from strongroom.keys.states import StateRule
from strongroom.operations.context import Context
from strongroom.operations.kms.key_changes import KeyChanges, change_keys
from strongroom.operations.kms.multi_region import UpdatePrimaryRegionRequest, update_primary_region
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.kms.related_keys import KeyVersions, with_relatives
from strongroom.operations.kms.table import TABLE
from strongroom.service.call import Call
from strongroom.store.protocol import Reader, Transaction
from strongroom.store.sqlite.store import SqlStore

WEST = "eu-west-1"


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


@pytest.fixture
def pair(local: LocalDeployment) -> str:
    """Return the id of a primary in us-east-1 that has a replica in eu-west-1."""
    key_id: str = local.call("CreateKey", MultiRegion=True)["KeyMetadata"]["KeyId"]
    local.call("ReplicateKey", KeyId=key_id, ReplicaRegion=WEST)
    return key_id


def describe(local: LocalDeployment, key_id: str, region: str = "us-east-1") -> dict[str, Any]:
    found: dict[str, Any] = local.call("DescribeKey", KeyId=key_id, region=region)["KeyMetadata"]
    return found


def materials(local: LocalDeployment, key_id: str, region: str = "us-east-1") -> list[tuple[str, str]]:
    listed = local.call("ListKeyRotations", KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL", region=region)
    return [(each["KeyMaterialId"], each["KeyMaterialState"]) for each in listed["Rotations"]]


def events(local: LocalDeployment, name: str) -> list[str]:
    """Return where something was done, by its records."""
    return [each["awsRegion"] for each in local.records() if each["eventName"] == name]


def is_gone(local: LocalDeployment, key_id: str, region: str = "us-east-1") -> bool:
    try:
        describe(local, key_id, region)
    except Refused as refused:
        return refused.code == "NotFoundException"
    return False


def later(local: LocalDeployment, days: float) -> None:
    local.clock.advance(days * DAY)
    local.deployment.keeper.run()


def test_automatic_rotation_gives_all_related_keys_the_same_new_material_once(
    local: LocalDeployment, pair: str
) -> None:
    local.call("EnableKeyRotation", KeyId=pair, RotationPeriodInDays=90)
    old = local.call("Encrypt", KeyId=pair, Plaintext="eA==", region=WEST)["CiphertextBlob"]
    later(local, 90)
    local.deployment.keeper.run()
    assert [state for _, state in materials(local, pair)] == ["NON_CURRENT", "CURRENT"]
    assert materials(local, pair, WEST) == materials(local, pair)
    new = local.call("Encrypt", KeyId=pair, Plaintext="eA==", region=WEST)["CiphertextBlob"]
    for blob in (old, new):
        assert local.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == "eA=="
    here, there = (local.call("GetKeyRotationStatus", KeyId=pair, region=region) for region in ("us-east-1", WEST))
    assert here["NextRotationDate"] == there["NextRotationDate"] == local.clock.now() + 90 * DAY
    assert events(local, "RotateKey") == ["us-east-1"]
    # When it was enabled, and when it rotated.
    assert events(local, "SynchronizeMultiRegionKey") == ["us-east-1"] * 2


def test_related_keys_rotate_only_while_their_primary_is_enabled(local: LocalDeployment, pair: str) -> None:
    local.call("EnableKeyRotation", KeyId=pair, RotationPeriodInDays=90)
    local.call("DisableKey", KeyId=pair)
    later(local, 90)
    assert len(materials(local, pair, WEST)) == 1
    local.call("EnableKey", KeyId=pair)
    local.deployment.keeper.run()
    assert len(materials(local, pair, WEST)) == 2


def test_a_new_primary_continues_the_rotation_schedule(local: LocalDeployment, pair: str) -> None:
    local.call("EnableKeyRotation", KeyId=pair, RotationPeriodInDays=90)
    local.call("UpdatePrimaryRegion", KeyId=pair, PrimaryRegion=WEST)
    later(local, 90)
    assert materials(local, pair) == materials(local, pair, WEST)
    assert len(materials(local, pair)) == 2
    assert events(local, "RotateKey") == [WEST]


def test_on_demand_rotations_are_counted_once_for_all_related_keys(local: LocalDeployment, pair: str) -> None:
    for number in range(25):
        region, other = ("us-east-1", WEST) if number % 2 == 0 else (WEST, "us-east-1")
        local.call("RotateKeyOnDemand", KeyId=pair, region=region)
        local.call("UpdatePrimaryRegion", KeyId=pair, PrimaryRegion=other, region=region)
    with pytest.raises(Refused) as refused:
        local.call("RotateKeyOnDemand", KeyId=pair, region=WEST)
    assert refused.value.code == "LimitExceededException"
    assert len(materials(local, pair)) == 26


def test_the_primary_is_deleted_after_its_replica_and_after_its_own_window(local: LocalDeployment, pair: str) -> None:
    local.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7)
    later(local, 1000)
    assert describe(local, pair)["KeyState"] == "PendingReplicaDeletion"
    local.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7, region=WEST)
    later(local, 6.9)
    assert describe(local, pair)["KeyState"] == "PendingReplicaDeletion"
    later(local, 0.1)
    assert is_gone(local, pair, WEST)
    primary = describe(local, pair)
    assert (primary["KeyState"], primary["DeletionDate"]) == ("PendingDeletion", local.clock.now() + 7 * DAY)
    assert primary["MultiRegionConfiguration"]["ReplicaKeys"] == []
    assert "PendingDeletionWindowInDays" not in primary
    later(local, 6.9)
    assert not is_gone(local, pair)
    later(local, 0.1)
    assert is_gone(local, pair)
    assert events(local, "DeleteKey") == [WEST, "us-east-1"]


def test_after_downtime_the_waiting_period_of_a_primary_starts_when_its_replica_is_deleted(
    local: LocalDeployment, pair: str
) -> None:
    local.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7)
    local.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7, region=WEST)
    local.clock.advance(1000 * DAY)
    local.reopen()
    local.deployment.keeper.run()
    assert is_gone(local, pair, WEST)
    assert describe(local, pair)["DeletionDate"] == local.clock.now() + 7 * DAY
    later(local, 7)
    assert is_gone(local, pair)


@pytest.mark.parametrize("after_days", [0, 7], ids=["while it waits for replicas", "while it waits by itself"])
def test_the_deletion_of_a_primary_can_be_cancelled_in_either_state(
    local: LocalDeployment, pair: str, after_days: int
) -> None:
    local.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=8)
    local.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7, region=WEST)
    later(local, after_days)
    local.call("CancelKeyDeletion", KeyId=pair)
    later(local, 1000)
    assert is_gone(local, pair, WEST)
    assert describe(local, pair)["KeyState"] == "Disabled"


def test_a_deleted_replica_can_be_made_again(local: LocalDeployment, pair: str) -> None:
    blob = local.call("Encrypt", KeyId=pair, Plaintext="eA==", region=WEST)["CiphertextBlob"]
    local.call("ScheduleKeyDeletion", KeyId=pair, PendingWindowInDays=7, region=WEST)
    later(local, 7)
    assert describe(local, pair)["MultiRegionConfiguration"]["ReplicaKeys"] == []
    with pytest.raises(Refused) as refused:
        local.call("Decrypt", CiphertextBlob=blob, region=WEST)
    assert refused.value.code == "AccessDeniedException"
    local.call("ReplicateKey", KeyId=pair, ReplicaRegion=WEST)
    assert local.call("Decrypt", CiphertextBlob=blob, region=WEST)["Plaintext"] == "eA=="


def test_a_change_that_fails_for_one_related_key_changes_none(local: LocalDeployment, pair: str) -> None:
    lone: str = local.call("CreateKey", MultiRegion=True)["KeyMetadata"]["KeyId"]
    local.call("EnableKeyRotation", KeyId=pair, RotationPeriodInDays=90)
    before = materials(local, pair)
    backend: Any = local.deployment.backends.key_backends.of_store(None)

    def fails(*_: object) -> bytes:
        raise RuntimeError("the other Region's token is not there")

    backend.replicate = fails
    for operation, request in (
        ("RotateKeyOnDemand", {"KeyId": pair}),
        ("ReplicateKey", {"KeyId": lone, "ReplicaRegion": WEST}),
    ):
        with pytest.raises(Refused) as refused:
            local.call(operation, **request)
        assert refused.value.status == 500
    local.clock.advance(90 * DAY)
    local.deployment.keeper.run()
    local.reopen()
    assert materials(local, pair) == materials(local, pair, WEST) == before
    assert describe(local, lone)["MultiRegionConfiguration"]["ReplicaKeys"] == []
    assert is_gone(local, lone, WEST)
    local.deployment.keeper.run()
    assert materials(local, pair) == materials(local, pair, WEST)
    assert len(materials(local, pair)) == 2


def test_a_successor_disabled_at_the_last_moment_does_not_become_the_primary(local: LocalDeployment, pair: str) -> None:
    account = "000000000000"
    snapshot = local.deployment.backends.snapshot
    primary, successor = (
        snapshot.key(KeyLocator(account, region, pair), may_wait=True) for region in ("us-east-1", WEST)
    )
    assert primary is not None
    local.call("DisableKey", KeyId=pair, region=WEST)
    context = Context(
        backends=local.deployment.backends,
        credential=local.root(),
        region="us-east-1",
        now=local.clock.now(),
        action="kms:UpdatePrimaryRegion",
        rule=StateRule.MOVE_PRIMARY,
        cross_account=False,
        origin=ORIGIN,
    )
    request = UpdatePrimaryRegionRequest(key_id=pair, primary_region=WEST)
    with pytest.raises(DisabledException):
        update_primary_region(context, request, primary, successor)
    assert describe(local, pair)["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"


def test_saving_a_replica_changes_neither_shared_properties_nor_the_primary(
    store: SqlStore, key_backends: KeyBackends
) -> None:
    key_id = "mrk-" + "a" * 32
    alone = replace(make_key(), key_id=key_id, multi_region=True, primary_region="us-east-1")
    primary = multi_region.with_replica(alone, WEST)
    begun = multi_region.new_replica(primary, WEST, now=1.0)
    replica = multi_region.synchronized(begun, primary, {primary.materials[0].material_id: b"copy"})
    stray = replace(replica, materials=(*replica.materials, material(2)), description="changed")

    def add(transaction: Transaction) -> None:
        for key in (primary, replica):
            transaction.add_key(key)

    store.write(add)

    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        return KeyChanges(saved=tuple(with_relatives(reader, prepared, KeyVersions(replica, stray))))

    with PreparedMaterial(key_backends, entropy) as prepared:
        change_keys(store, prepared, plan)
    with store.read() as reader:
        assert reader.key(replica.locator) == replace(replica, description="changed")
        assert reader.key(primary.locator) == replace(primary, arn=primary.locator.arn)


@pytest.mark.parametrize(
    "operation", [("ReplicateKey", {"ReplicaRegion": WEST}), ("UpdatePrimaryRegion", {"PrimaryRegion": WEST})]
)
def test_no_other_account_reaches_across_regions_whatever_the_key_policy_says(
    local: LocalDeployment, operation: tuple[str, dict[str, str]]
) -> None:
    everyone = document(allow("*"))
    key_id: str = local.call("CreateKey", MultiRegion=True, Policy=everyone)["KeyMetadata"]["KeyId"]
    local.deployment.registrar.create_account("111122223333", "us-east-1", "other")
    local.deployment.backends.snapshot.refresh()
    other = local.deployment.backends.snapshot.principals.named("arn:aws:iam::111122223333:root", may_wait=True)
    assert other is not None
    name, request = operation
    body = json.dumps({"KeyId": describe(local, key_id)["Arn"], **request}).encode()
    call = Call(TABLE[name], other, "us-east-1", AwsJson(), body, ORIGIN, local.clock.now())
    refusal = performed(local.deployment.service.pipeline, call)
    assert isinstance(refusal, AccessDeniedException)
    assert "on this resource because the resource does not exist in this Region" in str(refusal)
    assert describe(local, key_id)["MultiRegionConfiguration"]["ReplicaKeys"] == []
