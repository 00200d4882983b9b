"""Imported key material past its time: unusable at that moment, then erased by the keeper and off the disk."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit_disk import broken
from key_import import import_material
from local_deployment import ORIGIN, LocalDeployment, Refused
from strongroom.clock import DAY, ManualClock
from strongroom.errors import KMSInvalidStateException
from strongroom.keys import lifecycle
from strongroom.keys.arns import KeyLocator
from strongroom.keys.states import StateRule
from strongroom.operations.context import Context
from strongroom.operations.kms.key_changes import modify

entropy = os.urandom  # noqa: TID251 - the owner's own
FIRST, SECOND = entropy(32), entropy(32)


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


@pytest.fixture
def key_id(local: LocalDeployment) -> str:
    """Return a key with two parts: the older expires in one day, the current one in three."""
    key_id: str = local.call("CreateKey", Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    import_material(local, key_id, FIRST, ValidTo=local.clock.now() + DAY)
    import_material(local, key_id, SECOND, ValidTo=local.clock.now() + 3 * DAY, ImportType="NEW_KEY_MATERIAL")
    local.call("RotateKeyOnDemand", KeyId=key_id)
    return key_id


def state(local: LocalDeployment, key_id: str) -> str:
    found: str = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["KeyState"]
    return found


def materials(local: LocalDeployment, key_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = local.call("ListKeyRotations", KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")[
        "Rotations"
    ]
    return found


def events(local: LocalDeployment) -> list[dict[str, Any]]:
    return [record for record in local.records() if record["eventName"] == "DeleteExpiredKeyMaterial"]


def tokens(local: LocalDeployment, key_id: str) -> list[bytes]:
    """Return a part of each wrapped material that is enough to find it anywhere."""
    snapshot = local.deployment.backends.snapshot
    snapshot.refresh()
    active = snapshot.key(KeyLocator("000000000000", "us-east-1", key_id), may_wait=True)
    assert active is not None
    return [material.token[17:49] for material in active.key.materials if material.token is not None]


def on_disk(local: LocalDeployment, secret: bytes) -> bool:
    return any(secret in path.read_bytes() for path in local.folder.glob("strongroom.db*"))


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("Encrypt", {"Plaintext": "eA=="}),
        ("GenerateDataKey", {"KeySpec": "AES_256"}),
        ("EnableKey", {}),
        ("RotateKeyOnDemand", {}),
    ],
)
def test_a_key_is_unusable_from_the_moment_its_material_expires(
    local: LocalDeployment, key_id: str, operation: str, request_: dict[str, Any]
) -> None:
    local.clock.advance(DAY)
    with pytest.raises(Refused) as refused:
        local.call(operation, KeyId=key_id, **request_)
    assert refused.value.code == "KMSInvalidStateException"
    assert refused.value.message.endswith(f"{key_id} is pending import.")


def test_a_blob_of_expired_material_does_not_open_even_before_the_keeper_comes_by(
    local: LocalDeployment, key_id: str
) -> None:
    blob = local.call("Encrypt", KeyId=key_id, Plaintext="eA==")["CiphertextBlob"]
    local.clock.advance(DAY - 1)
    assert local.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == "eA=="
    local.clock.advance(1)
    with pytest.raises(Refused, match="is pending import"):
        local.call("Decrypt", CiphertextBlob=blob)
    assert state(local, key_id) == "PendingImport"
    older, current = materials(local, key_id)
    assert (older["ImportState"], current["ImportState"]) == ("PENDING_IMPORT", "IMPORTED")
    assert events(local) == []


def test_a_disabled_key_that_lost_its_material_cannot_be_enabled(local: LocalDeployment, key_id: str) -> None:
    local.call("DisableKey", KeyId=key_id)
    local.clock.advance(DAY)
    with pytest.raises(Refused, match="is pending import"):
        local.call("EnableKey", KeyId=key_id)


@pytest.mark.parametrize("keeper_comes", [True, False])
def test_a_disabled_key_that_lost_its_material_is_enabled_when_it_is_back(
    local: LocalDeployment,
    key_id: str,
    keeper_comes: bool,  # noqa: FBT001 - a case
) -> None:
    """KMS API Reference, ImportKeyMaterial: the state of the KMS key changes to Enabled."""
    local.call("DisableKey", KeyId=key_id)
    local.clock.advance(DAY)
    if keeper_comes:
        local.deployment.keeper.run()
    assert state(local, key_id) == "PendingImport"
    import_material(local, key_id, FIRST)
    assert state(local, key_id) == "Enabled"


def test_a_change_asks_the_store_whether_the_material_has_expired(local: LocalDeployment, key_id: str) -> None:
    """What the snapshot showed when the call began may be another life of the key."""
    backends = local.deployment.backends
    active = backends.snapshot.key(KeyLocator("000000000000", "us-east-1", key_id), may_wait=True)
    assert active is not None
    import_material(local, key_id, SECOND, ValidTo=local.clock.now() + 10)
    context = Context(
        backends=backends,
        credential=local.root(),
        region="us-east-1",
        now=local.clock.now() + 10,
        action="kms:DisableKey",
        rule=StateRule.SWITCH,
        cross_account=False,
        origin=ORIGIN,
    )
    with pytest.raises(KMSInvalidStateException, match="is pending import"):
        modify(context, active, lifecycle.disable)


def test_the_keeper_erases_what_has_expired_and_records_it(local: LocalDeployment, key_id: str) -> None:
    blob = local.call("Encrypt", KeyId=key_id, Plaintext="eA==")["CiphertextBlob"]
    older, current = tokens(local, key_id)
    first, _ = materials(local, key_id)
    local.clock.advance(DAY - 1)
    local.deployment.keeper.run()
    assert on_disk(local, older)
    local.clock.advance(1)
    local.deployment.keeper.run()
    local.deployment.keeper.run()
    assert not on_disk(local, older)
    assert on_disk(local, current)
    (event,) = events(local)
    assert event["eventType"] == "AwsServiceEvent"
    assert event["serviceEventDetails"] == {"keyId": key_id, "keyMaterialId": first["KeyMaterialId"]}
    assert state(local, key_id) == "PendingImport"
    assert tokens(local, key_id) == [current]

    import_material(local, key_id, FIRST)
    assert state(local, key_id) == "Enabled"
    assert local.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == "eA=="


def test_a_key_says_when_the_first_of_its_parts_expires(local: LocalDeployment, key_id: str) -> None:
    """KMS API Reference, KeyMetadata: the earliest time at which any material that is part of the key expires."""
    begin = local.clock.now()
    third = import_material(local, key_id, entropy(32), ValidTo=begin + 10, ImportType="NEW_KEY_MATERIAL")
    found = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]
    assert (found["ValidTo"], found["ExpirationModel"]) == (begin + DAY, "KEY_MATERIAL_EXPIRES")
    local.call("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=third["KeyMaterialId"])
    import_material(local, key_id, FIRST)
    assert local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["ValidTo"] == begin + 3 * DAY
    import_material(local, key_id, SECOND)
    found = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]
    assert ("ValidTo" in found, found["ExpirationModel"]) == (False, "KEY_MATERIAL_DOES_NOT_EXPIRE")


def test_expiry_catches_up_after_downtime(local: LocalDeployment, key_id: str) -> None:
    wrapped = tokens(local, key_id)
    local.clock.advance(30 * DAY)
    local.reopen()
    local.deployment.keeper.run()
    assert not any(on_disk(local, token) for token in wrapped)
    assert len(events(local)) == 2


def test_importing_again_in_time_puts_the_expiry_off(local: LocalDeployment, key_id: str) -> None:
    wrapped = tokens(local, key_id)[0]
    import_material(local, key_id, FIRST, ValidTo=local.clock.now() + 3 * DAY)
    local.clock.advance(2 * DAY)
    local.deployment.keeper.run()
    assert state(local, key_id) == "Enabled"
    assert events(local) == []
    assert not on_disk(local, wrapped)


def test_material_pending_rotation_expires_without_harm_to_the_key(local: LocalDeployment, key_id: str) -> None:
    third = import_material(local, key_id, entropy(32), ValidTo=local.clock.now() + 10, ImportType="NEW_KEY_MATERIAL")[
        "KeyMaterialId"
    ]
    local.clock.advance(10)
    with pytest.raises(Refused, match="No available key material pending rotation"):
        local.call("RotateKeyOnDemand", KeyId=key_id)
    local.deployment.keeper.run()
    assert state(local, key_id) == "Enabled"
    assert [each["serviceEventDetails"]["keyMaterialId"] for each in events(local)] == [third]
    import_material(local, key_id, entropy(32), ImportType="NEW_KEY_MATERIAL")


def test_a_key_pending_deletion_stays_that_when_its_material_expires(local: LocalDeployment, key_id: str) -> None:
    local.call("ScheduleKeyDeletion", KeyId=key_id)
    local.clock.advance(5 * DAY)
    local.deployment.keeper.run()
    assert state(local, key_id) == "PendingDeletion"
    local.call("CancelKeyDeletion", KeyId=key_id)
    assert state(local, key_id) == "PendingImport"


def test_material_that_is_deleted_leaves_no_trace_on_the_disk(local: LocalDeployment, key_id: str) -> None:
    local.deployment.keeper.run()
    older, current = tokens(local, key_id)
    local.call("DeleteImportedKeyMaterial", KeyId=key_id)
    local.deployment.keeper.run()
    assert not on_disk(local, current)
    assert on_disk(local, older)
    assert events(local) == []


def test_nothing_expires_without_a_record(local: LocalDeployment, key_id: str) -> None:
    wrapped = tokens(local, key_id)
    local.clock.advance(5 * DAY)
    with broken(local.deployment.log):
        local.deployment.keeper.run()
    assert tokens(local, key_id) == wrapped
    local.deployment.keeper.run()
    assert tokens(local, key_id) == []
