"""New imported material of related multi-Region keys: into the primary, into every replica, then the rotation.

Sources: KMS API Reference, ImportKeyMaterial, RotateKeyOnDemand, DeleteImportedKeyMaterial and RotationsListEntry.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from key_import import import_material
from local_deployment import LocalDeployment, Refused
from strongroom.clock import DAY, ManualClock

EAST, WEST, SOUTH = "us-east-1", "eu-west-1", "ap-southeast-2"
FIRST, SECOND, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))
WAITS_FOR_ALL, WAITS = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION", "PENDING_ROTATION"


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock, (EAST, WEST, SOUTH))
    yield local
    local.deployment.close()


@pytest.fixture
def key_id(local: LocalDeployment) -> str:
    """Return a key with imported material: its primary in us-east-1, replicas in the other Regions."""
    key_id: str = local.call("CreateKey", Origin="EXTERNAL", MultiRegion=True)["KeyMetadata"]["KeyId"]
    put(local, key_id, FIRST)
    for region in (WEST, SOUTH):
        local.call("ReplicateKey", KeyId=key_id, ReplicaRegion=region)
        put(local, key_id, FIRST, region)
    return key_id


def synchronizations(local: LocalDeployment) -> list[str]:
    """Return the Regions of the records that a primary's change was copied to its replicas."""
    return [each["awsRegion"] for each in local.records() if each["eventName"] == "SynchronizeMultiRegionKey"]


def put(local: LocalDeployment, key_id: str, material: bytes, region: str = EAST, **more: Any) -> str:
    """Import material and return its id."""
    found: str = import_material(local, key_id, material, region, **more)["KeyMaterialId"]
    return found


def put_new(local: LocalDeployment, key_id: str, material: bytes, **more: Any) -> str:
    return put(local, key_id, material, ImportType="NEW_KEY_MATERIAL", **more)


def put_everywhere(local: LocalDeployment, key_id: str, material: bytes) -> str:
    put_new(local, key_id, material)
    return [put(local, key_id, material, region) for region in (WEST, SOUTH)][-1]


def states(local: LocalDeployment, key_id: str, region: str = EAST) -> list[tuple[str, str]]:
    """Return what a key's material is, and whether it is there."""
    listed = local.call("ListKeyRotations", KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL", region=region)
    return [(each["KeyMaterialState"], each["ImportState"]) for each in listed["Rotations"]]


def describe(local: LocalDeployment, key_id: str, region: str = EAST) -> dict[str, Any]:
    found: dict[str, Any] = local.call("DescribeKey", KeyId=key_id, region=region)["KeyMetadata"]
    return found


def refusal(local: LocalDeployment, operation: str, region: str = EAST, **request: Any) -> str:
    with pytest.raises(Refused) as refused:
        local.call(operation, region=region, **request)
    return refused.value.code


def encrypt(local: LocalDeployment, key_id: str, region: str = EAST) -> str:
    blob: str = local.call("Encrypt", KeyId=key_id, Plaintext="eA==", region=region)["CiphertextBlob"]
    return blob


def opened_by(local: LocalDeployment, blob: str, region: str = EAST) -> str:
    """Decrypt, and return the id of the material that did it."""
    answer = local.call("Decrypt", CiphertextBlob=blob, region=region)
    assert answer["Plaintext"] == "eA=="
    found: str = answer["KeyMaterialId"]
    return found


def test_new_material_is_current_everywhere_once_every_replica_has_it_and_the_primary_has_rotated(
    local: LocalDeployment, key_id: str
) -> None:
    first = describe(local, key_id)["CurrentKeyMaterialId"]
    old = encrypt(local, key_id, WEST)
    second = put_new(local, key_id, SECOND)
    waiting = (WAITS_FOR_ALL, "IMPORTED")
    current = ("CURRENT", "IMPORTED")
    assert states(local, key_id) == [current, waiting]
    for region in (WEST, SOUTH):
        assert states(local, key_id, region) == [current, (WAITS_FOR_ALL, "PENDING_IMPORT")]
    assert refusal(local, "RotateKeyOnDemand", KeyId=key_id) == "KMSInvalidStateException"

    assert put(local, key_id, SECOND, WEST, ImportType="EXISTING_KEY_MATERIAL") == second
    assert states(local, key_id) == states(local, key_id, WEST) == [current, waiting]
    assert refusal(local, "RotateKeyOnDemand", KeyId=key_id) == "KMSInvalidStateException"

    assert put(local, key_id, SECOND, SOUTH, ImportType="EXISTING_KEY_MATERIAL") == second
    for region in (EAST, WEST, SOUTH):
        assert states(local, key_id, region) == [current, (WAITS, "IMPORTED")]
        assert describe(local, key_id, region)["CurrentKeyMaterialId"] == first
    assert opened_by(local, encrypt(local, key_id)) == first

    local.call("RotateKeyOnDemand", KeyId=key_id)
    for region in (EAST, WEST, SOUTH):
        assert states(local, key_id, region) == [("NON_CURRENT", "IMPORTED"), current]
        found = describe(local, key_id, region)
        assert (found["KeyState"], found["CurrentKeyMaterialId"]) == ("Enabled", second)
        (rotation,) = local.call("ListKeyRotations", KeyId=key_id, region=region)["Rotations"]
        assert (rotation["KeyMaterialId"], rotation["RotationType"]) == (second, "ON_DEMAND")
        assert rotation["RotationDate"] == local.clock.now()
    new = encrypt(local, key_id, SOUTH)
    for region in (EAST, WEST, SOUTH):
        assert [opened_by(local, blob, region) for blob in (old, new)] == [first, second]


def test_a_replica_cannot_import_new_material_first_and_rotates_with_its_primary(
    local: LocalDeployment, key_id: str
) -> None:
    for import_type, code in (("NEW", "UnsupportedOperationException"), ("EXISTING", "IncorrectKeyMaterialException")):
        with pytest.raises(Refused, match=code):
            put(local, key_id, SECOND, WEST, ImportType=f"{import_type}_KEY_MATERIAL")
    put_everywhere(local, key_id, SECOND)
    with pytest.raises(Refused) as refused:
        local.call("RotateKeyOnDemand", KeyId=key_id, region=WEST)
    assert refused.value.code == "UnsupportedOperationException"
    assert refused.value.message.endswith(f":{WEST}:000000000000:key/{key_id} is not a multi-region primary key.")
    assert states(local, key_id)[1] == (WAITS, "IMPORTED")


def test_material_deleted_in_a_replica_must_be_imported_again_before_the_rotation(
    local: LocalDeployment, key_id: str
) -> None:
    second = put_everywhere(local, key_id, SECOND)
    local.call("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=second, region=WEST)
    assert states(local, key_id)[1] == (WAITS_FOR_ALL, "IMPORTED")
    assert states(local, key_id, WEST)[1] == (WAITS_FOR_ALL, "PENDING_IMPORT")
    assert states(local, key_id, SOUTH)[1] == (WAITS_FOR_ALL, "IMPORTED")
    assert {describe(local, key_id, region)["KeyState"] for region in (EAST, WEST, SOUTH)} == {"Enabled"}
    assert refusal(local, "RotateKeyOnDemand", KeyId=key_id) == "KMSInvalidStateException"
    put(local, key_id, SECOND, WEST)
    local.call("RotateKeyOnDemand", KeyId=key_id)


def test_pending_material_deleted_in_the_primary_is_deleted_in_all_replicas(
    local: LocalDeployment, key_id: str
) -> None:
    second = put_everywhere(local, key_id, SECOND)
    local.call("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=second)
    for region in (EAST, WEST, SOUTH):
        assert states(local, key_id, region) == [("CURRENT", "IMPORTED")]
    third = put_everywhere(local, key_id, THIRD)
    local.call("RotateKeyOnDemand", KeyId=key_id)
    assert opened_by(local, encrypt(local, key_id, WEST), SOUTH) == third


def test_a_change_of_material_that_reaches_the_replicas_is_recorded(local: LocalDeployment, key_id: str) -> None:
    """The import of the first material came before there were replicas. What follows changes one key alone or all."""
    assert synchronizations(local) == []
    second = put_new(local, key_id, SECOND, ValidTo=local.clock.now() + DAY)
    assert synchronizations(local) == [EAST]
    for region in (WEST, SOUTH, EAST):
        put(local, key_id, SECOND, region)
    local.call("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=second, region=WEST)
    local.call("DeleteImportedKeyMaterial", KeyId=key_id)
    put(local, key_id, FIRST)
    assert synchronizations(local) == [EAST]
    local.call("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=second)
    assert synchronizations(local) == [EAST] * 2
    put_new(local, key_id, THIRD, ValidTo=local.clock.now() + DAY)
    put(local, key_id, FIRST, WEST, ValidTo=local.clock.now() + DAY)
    assert synchronizations(local) == [EAST] * 3
    local.clock.advance(DAY)
    local.deployment.keeper.run()
    assert synchronizations(local) == [EAST] * 4


def test_an_import_into_an_hmac_key_changes_that_key_alone(local: LocalDeployment) -> None:
    kind = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
    key_id: str = local.call("CreateKey", Origin="EXTERNAL", MultiRegion=True, **kind)["KeyMetadata"]["KeyId"]
    import_material(local, key_id, FIRST)
    local.call("ReplicateKey", KeyId=key_id, ReplicaRegion=WEST)
    import_material(local, key_id, FIRST, WEST)
    import_material(local, key_id, FIRST)
    local.call("DeleteImportedKeyMaterial", KeyId=key_id)
    assert synchronizations(local) == []


def test_pending_material_that_expires_in_a_replica_delays_the_rotation(local: LocalDeployment, key_id: str) -> None:
    put_new(local, key_id, SECOND)
    put(local, key_id, SECOND, SOUTH)
    put(local, key_id, SECOND, WEST, ValidTo=local.clock.now() + DAY)
    assert states(local, key_id)[1] == (WAITS, "IMPORTED")
    local.clock.advance(DAY)
    local.deployment.keeper.run()
    assert states(local, key_id)[1] == (WAITS_FOR_ALL, "IMPORTED")
    assert refusal(local, "RotateKeyOnDemand", KeyId=key_id) == "KMSInvalidStateException"
    assert encrypt(local, key_id, WEST)


def test_pending_material_that_expires_in_the_primary_is_deleted_in_all_replicas(
    local: LocalDeployment, key_id: str
) -> None:
    second = put_new(local, key_id, SECOND, ValidTo=local.clock.now() + DAY)
    put(local, key_id, SECOND, WEST)
    local.clock.advance(DAY)
    local.deployment.keeper.run()
    for region in (EAST, WEST, SOUTH):
        assert states(local, key_id, region) == [("CURRENT", "IMPORTED")]
    (event,) = [each for each in local.records() if each["eventName"] == "DeleteExpiredKeyMaterial"]
    assert (event["awsRegion"], event["serviceEventDetails"]["keyMaterialId"]) == (EAST, second)
    put_everywhere(local, key_id, THIRD)
    local.call("RotateKeyOnDemand", KeyId=key_id)


def test_a_rotation_waits_for_a_new_replica_and_not_for_a_deleted_one(local: LocalDeployment) -> None:
    key_id: str = local.call("CreateKey", Origin="EXTERNAL", MultiRegion=True)["KeyMetadata"]["KeyId"]
    put(local, key_id, FIRST)
    put_new(local, key_id, SECOND)
    assert states(local, key_id)[1] == (WAITS, "IMPORTED")
    local.call("ReplicateKey", KeyId=key_id, ReplicaRegion=WEST)
    assert states(local, key_id)[1] == (WAITS_FOR_ALL, "IMPORTED")
    assert states(local, key_id, WEST) == [("CURRENT", "PENDING_IMPORT"), (WAITS_FOR_ALL, "PENDING_IMPORT")]
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7, region=WEST)
    assert states(local, key_id)[1] == (WAITS_FOR_ALL, "IMPORTED")
    local.clock.advance(7 * DAY)
    local.deployment.keeper.run()
    assert states(local, key_id)[1] == (WAITS, "IMPORTED")
    local.call("RotateKeyOnDemand", KeyId=key_id)


def test_a_new_primary_waits_for_the_material_that_the_former_primary_imported(
    local: LocalDeployment, key_id: str
) -> None:
    second = put_new(local, key_id, SECOND)
    local.call("UpdatePrimaryRegion", KeyId=key_id, PrimaryRegion=WEST)
    assert states(local, key_id, WEST)[1] == (WAITS_FOR_ALL, "PENDING_IMPORT")
    assert states(local, key_id)[1] == (WAITS_FOR_ALL, "IMPORTED")
    for region in (WEST, SOUTH):
        put(local, key_id, SECOND, region)
    assert refusal(local, "RotateKeyOnDemand", KeyId=key_id) == "UnsupportedOperationException"
    local.call("RotateKeyOnDemand", KeyId=key_id, region=WEST)
    assert opened_by(local, encrypt(local, key_id), SOUTH) == second


def test_material_deleted_after_the_rotation_is_missing_only_in_that_key(local: LocalDeployment, key_id: str) -> None:
    first = describe(local, key_id)["CurrentKeyMaterialId"]
    put_everywhere(local, key_id, SECOND)
    local.call("RotateKeyOnDemand", KeyId=key_id)
    local.call("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=first)
    assert [describe(local, key_id, region)["KeyState"] for region in (EAST, WEST, SOUTH)] == [
        "PendingImport",
        "Enabled",
        "Enabled",
    ]
    blob = encrypt(local, key_id, WEST)
    assert refusal(local, "Decrypt", CiphertextBlob=blob) == "KMSInvalidStateException"
    put(local, key_id, FIRST)
    assert opened_by(local, blob)


def test_an_hmac_replica_imports_only_the_material_of_its_primary(local: LocalDeployment) -> None:
    kind = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
    key_id: str = local.call("CreateKey", Origin="EXTERNAL", MultiRegion=True, **kind)["KeyMetadata"]["KeyId"]
    message = {"KeyId": key_id, "Message": "eA==", "MacAlgorithm": "HMAC_SHA_256"}
    import_material(local, key_id, FIRST)
    local.call("ReplicateKey", KeyId=key_id, ReplicaRegion=WEST)
    with pytest.raises(Refused, match="IncorrectKeyMaterialException"):
        import_material(local, key_id, SECOND, WEST)
    import_material(local, key_id, FIRST, WEST)
    tag = local.call("GenerateMac", **message)["Mac"]
    assert local.call("VerifyMac", region=WEST, **message, Mac=tag)["MacValid"] is True


@pytest.mark.parametrize("keeper_comes", [True, False])
def test_material_that_has_expired_in_a_replica_is_not_rotated_to(
    local: LocalDeployment, key_id: str, *, keeper_comes: bool
) -> None:
    put_new(local, key_id, SECOND)
    put(local, key_id, SECOND, SOUTH)
    put(local, key_id, SECOND, WEST, ValidTo=local.clock.now() + DAY)
    local.clock.advance(DAY)
    if keeper_comes:
        local.deployment.keeper.run()
    assert refusal(local, "RotateKeyOnDemand", KeyId=key_id) == "KMSInvalidStateException"
    assert describe(local, key_id, WEST)["KeyState"] == "Enabled"
    put(local, key_id, SECOND, WEST)
    local.call("RotateKeyOnDemand", KeyId=key_id)
    blob = local.call("Encrypt", KeyId=key_id, Plaintext="eA==", region=WEST)["CiphertextBlob"]
    assert local.call("Decrypt", CiphertextBlob=blob, region=SOUTH)["Plaintext"] == "eA=="


@pytest.mark.parametrize("keeper_comes", [True, False])
@pytest.mark.parametrize("material", [SECOND, THIRD])
def test_new_material_takes_the_place_of_pending_material_that_has_expired(
    local: LocalDeployment, key_id: str, material: bytes, *, keeper_comes: bool
) -> None:
    second = put_new(local, key_id, SECOND, ValidTo=local.clock.now() + DAY)
    put(local, key_id, SECOND, WEST)
    local.clock.advance(DAY)
    if keeper_comes:
        local.deployment.keeper.run()
    with pytest.raises(Refused, match="IncorrectKeyMaterialException"):
        put(local, key_id, SECOND, ImportType="EXISTING_KEY_MATERIAL")
    assert synchronizations(local) == [EAST] * (2 if keeper_comes else 1)
    put_new(local, key_id, material)
    local.deployment.keeper.run()
    (event,) = [each for each in local.records() if each["eventName"] == "DeleteExpiredKeyMaterial"]
    assert (event["awsRegion"], event["serviceEventDetails"]["keyMaterialId"]) == (EAST, second)
    # The same material, imported before the keeper comes, never leaves the replicas.
    stays = material == SECOND and not keeper_comes
    assert synchronizations(local) == [EAST] * (1 if stays else 3)
    for region in (WEST, SOUTH):
        put(local, key_id, material, region)
    local.call("RotateKeyOnDemand", KeyId=key_id)
    assert opened_by(local, encrypt(local, key_id, WEST), SOUTH)


def test_a_replica_with_former_pending_material_does_not_count_as_having_the_new_one(
    local: LocalDeployment, key_id: str
) -> None:
    put_new(local, key_id, SECOND, ValidTo=local.clock.now() + DAY)
    for region in (WEST, SOUTH):
        put(local, key_id, SECOND, region)
    local.clock.advance(DAY)
    local.deployment.keeper.run()
    put_new(local, key_id, THIRD)
    assert (WAITS_FOR_ALL, "IMPORTED") in states(local, key_id)
    with pytest.raises(Refused, match="KMSInvalidStateException"):
        local.call("RotateKeyOnDemand", KeyId=key_id)
