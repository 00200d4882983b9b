"""New imported material of related multi-Region keys: into the primary, into every replica, then the rotation.

Sources: KMS API Reference, ImportKeyMaterial, RotateKeyOnDemand, DeleteImportedKeyMaterial and RotationsListEntry.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments import Bench, Refused
from importing import import_material
from strongroom.clock import DAY, ManualClock

EAST, WEST, SOUTH = "us-east-1", "eu-west-1", "ap-southeast-2"
FIRST, SECOND, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))
WAITS_FOR_ALL, WAITS = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION", "PENDING_ROTATION"


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock) -> Iterator[Bench]:
    bench = Bench(tmp_path / "data", clock, (EAST, WEST, SOUTH))
    yield bench
    bench.deployment.close()


@pytest.fixture
def key_id(bench: Bench) -> str:
    """Return a key with imported material: its primary in us-east-1, replicas in the other Regions."""
    key_id: str = bench.call("CreateKey", Origin="EXTERNAL", MultiRegion=True)["KeyMetadata"]["KeyId"]
    put(bench, key_id, FIRST)
    for region in (WEST, SOUTH):
        bench.call("ReplicateKey", KeyId=key_id, ReplicaRegion=region)
        put(bench, key_id, FIRST, region)
    return key_id


def put(bench: Bench, key_id: str, material: bytes, region: str = EAST, **more: Any) -> str:
    """Import material and return its id."""
    found: str = import_material(bench, key_id, material, region, **more)["KeyMaterialId"]
    return found


def put_new(bench: Bench, key_id: str, material: bytes, **more: Any) -> str:
    return put(bench, key_id, material, ImportType="NEW_KEY_MATERIAL", **more)


def put_everywhere(bench: Bench, key_id: str, material: bytes) -> str:
    put_new(bench, key_id, material)
    return [put(bench, key_id, material, region) for region in (WEST, SOUTH)][-1]


def states(bench: Bench, key_id: str, region: str = EAST) -> list[tuple[str, str]]:
    """Return what a key's material is, and whether it is there."""
    listed = bench.call("ListKeyRotations", KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL", region=region)
    return [(each["KeyMaterialState"], each["ImportState"]) for each in listed["Rotations"]]


def describe(bench: Bench, key_id: str, region: str = EAST) -> dict[str, Any]:
    found: dict[str, Any] = bench.call("DescribeKey", KeyId=key_id, region=region)["KeyMetadata"]
    return found


def refusal(bench: Bench, operation: str, region: str = EAST, **request: Any) -> str:
    with pytest.raises(Refused) as refused:
        bench.call(operation, region=region, **request)
    return refused.value.code


def encrypt(bench: Bench, key_id: str, region: str = EAST) -> str:
    blob: str = bench.call("Encrypt", KeyId=key_id, Plaintext="eA==", region=region)["CiphertextBlob"]
    return blob


def opened_by(bench: Bench, blob: str, region: str = EAST) -> str:
    """Decrypt, and return the id of the material that did it."""
    answer = bench.call("Decrypt", CiphertextBlob=blob, region=region)
    assert answer["Plaintext"] == "eA=="
    found: str = answer["KeyMaterialId"]
    return found


def test_new_material_is_current_everywhere_once_every_replica_has_it_and_the_primary_has_rotated(
    bench: Bench, key_id: str
) -> None:
    first = describe(bench, key_id)["CurrentKeyMaterialId"]
    old = encrypt(bench, key_id, WEST)
    second = put_new(bench, key_id, SECOND)
    waiting = (WAITS_FOR_ALL, "IMPORTED")
    current = ("CURRENT", "IMPORTED")
    assert states(bench, key_id) == [current, waiting]
    for region in (WEST, SOUTH):
        assert states(bench, key_id, region) == [current, (WAITS_FOR_ALL, "PENDING_IMPORT")]
    assert refusal(bench, "RotateKeyOnDemand", KeyId=key_id) == "KMSInvalidStateException"

    assert put(bench, key_id, SECOND, WEST, ImportType="EXISTING_KEY_MATERIAL") == second
    assert states(bench, key_id) == states(bench, key_id, WEST) == [current, waiting]
    assert refusal(bench, "RotateKeyOnDemand", KeyId=key_id) == "KMSInvalidStateException"

    assert put(bench, key_id, SECOND, SOUTH, ImportType="EXISTING_KEY_MATERIAL") == second
    for region in (EAST, WEST, SOUTH):
        assert states(bench, key_id, region) == [current, (WAITS, "IMPORTED")]
        assert describe(bench, key_id, region)["CurrentKeyMaterialId"] == first
    assert opened_by(bench, encrypt(bench, key_id)) == first

    bench.call("RotateKeyOnDemand", KeyId=key_id)
    for region in (EAST, WEST, SOUTH):
        assert states(bench, key_id, region) == [("NON_CURRENT", "IMPORTED"), current]
        found = describe(bench, key_id, region)
        assert (found["KeyState"], found["CurrentKeyMaterialId"]) == ("Enabled", second)
        (rotation,) = bench.call("ListKeyRotations", KeyId=key_id, region=region)["Rotations"]
        assert (rotation["KeyMaterialId"], rotation["RotationType"]) == (second, "ON_DEMAND")
        assert rotation["RotationDate"] == bench.clock.now()
    new = encrypt(bench, key_id, SOUTH)
    for region in (EAST, WEST, SOUTH):
        assert [opened_by(bench, blob, region) for blob in (old, new)] == [first, second]


def test_a_replica_takes_no_new_material_and_rotates_with_its_primary(bench: Bench, key_id: str) -> None:
    for import_type, code in (("NEW", "UnsupportedOperationException"), ("EXISTING", "IncorrectKeyMaterialException")):
        with pytest.raises(Refused, match=code):
            put(bench, key_id, SECOND, WEST, ImportType=f"{import_type}_KEY_MATERIAL")
    put_everywhere(bench, key_id, SECOND)
    with pytest.raises(Refused) as refused:
        bench.call("RotateKeyOnDemand", KeyId=key_id, region=WEST)
    assert refused.value.code == "UnsupportedOperationException"
    assert refused.value.message.endswith(f":{WEST}:000000000000:key/{key_id} is not a multi-region primary key.")
    assert states(bench, key_id)[1] == (WAITS, "IMPORTED")


def test_what_a_replica_gives_up_it_must_import_again_before_the_rotation(bench: Bench, key_id: str) -> None:
    second = put_everywhere(bench, key_id, SECOND)
    bench.call("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=second, region=WEST)
    assert states(bench, key_id)[1] == (WAITS_FOR_ALL, "IMPORTED")
    assert states(bench, key_id, WEST)[1] == (WAITS_FOR_ALL, "PENDING_IMPORT")
    assert states(bench, key_id, SOUTH)[1] == (WAITS_FOR_ALL, "IMPORTED")
    assert {describe(bench, key_id, region)["KeyState"] for region in (EAST, WEST, SOUTH)} == {"Enabled"}
    assert refusal(bench, "RotateKeyOnDemand", KeyId=key_id) == "KMSInvalidStateException"
    put(bench, key_id, SECOND, WEST)
    bench.call("RotateKeyOnDemand", KeyId=key_id)


def test_what_the_primary_gives_up_before_the_rotation_is_gone_everywhere(bench: Bench, key_id: str) -> None:
    second = put_everywhere(bench, key_id, SECOND)
    bench.call("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=second)
    for region in (EAST, WEST, SOUTH):
        assert states(bench, key_id, region) == [("CURRENT", "IMPORTED")]
    third = put_everywhere(bench, key_id, THIRD)
    bench.call("RotateKeyOnDemand", KeyId=key_id)
    assert opened_by(bench, encrypt(bench, key_id, WEST), SOUTH) == third


def test_material_that_expires_in_a_replica_before_the_rotation_holds_the_rotation_up(
    bench: Bench, key_id: str
) -> None:
    put_new(bench, key_id, SECOND)
    put(bench, key_id, SECOND, SOUTH)
    put(bench, key_id, SECOND, WEST, ValidTo=bench.clock.now() + DAY)
    assert states(bench, key_id)[1] == (WAITS, "IMPORTED")
    bench.clock.advance(DAY)
    bench.deployment.keeper.run()
    assert states(bench, key_id)[1] == (WAITS_FOR_ALL, "IMPORTED")
    assert refusal(bench, "RotateKeyOnDemand", KeyId=key_id) == "KMSInvalidStateException"
    assert encrypt(bench, key_id, WEST)


def test_material_that_expires_in_the_primary_before_the_rotation_is_gone_everywhere(bench: Bench, key_id: str) -> None:
    second = put_new(bench, key_id, SECOND, ValidTo=bench.clock.now() + DAY)
    put(bench, key_id, SECOND, WEST)
    bench.clock.advance(DAY)
    bench.deployment.keeper.run()
    for region in (EAST, WEST, SOUTH):
        assert states(bench, key_id, region) == [("CURRENT", "IMPORTED")]
    (event,) = [each for each in bench.records() if each["eventName"] == "DeleteExpiredKeyMaterial"]
    assert (event["awsRegion"], event["serviceEventDetails"]["keyMaterialId"]) == (EAST, second)
    put_everywhere(bench, key_id, THIRD)
    bench.call("RotateKeyOnDemand", KeyId=key_id)


def test_a_replica_that_comes_late_is_waited_for_and_one_that_goes_is_not(bench: Bench) -> None:
    key_id: str = bench.call("CreateKey", Origin="EXTERNAL", MultiRegion=True)["KeyMetadata"]["KeyId"]
    put(bench, key_id, FIRST)
    put_new(bench, key_id, SECOND)
    assert states(bench, key_id)[1] == (WAITS, "IMPORTED")
    bench.call("ReplicateKey", KeyId=key_id, ReplicaRegion=WEST)
    assert states(bench, key_id)[1] == (WAITS_FOR_ALL, "IMPORTED")
    assert states(bench, key_id, WEST) == [("CURRENT", "PENDING_IMPORT"), (WAITS_FOR_ALL, "PENDING_IMPORT")]
    bench.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7, region=WEST)
    assert states(bench, key_id)[1] == (WAITS_FOR_ALL, "IMPORTED")
    bench.clock.advance(7 * DAY)
    bench.deployment.keeper.run()
    assert states(bench, key_id)[1] == (WAITS, "IMPORTED")
    bench.call("RotateKeyOnDemand", KeyId=key_id)


def test_a_new_primary_waits_for_what_its_predecessor_imported(bench: Bench, key_id: str) -> None:
    second = put_new(bench, key_id, SECOND)
    bench.call("UpdatePrimaryRegion", KeyId=key_id, PrimaryRegion=WEST)
    assert states(bench, key_id, WEST)[1] == (WAITS_FOR_ALL, "PENDING_IMPORT")
    assert states(bench, key_id)[1] == (WAITS_FOR_ALL, "IMPORTED")
    for region in (WEST, SOUTH):
        put(bench, key_id, SECOND, region)
    assert refusal(bench, "RotateKeyOnDemand", KeyId=key_id) == "UnsupportedOperationException"
    bench.call("RotateKeyOnDemand", KeyId=key_id, region=WEST)
    assert opened_by(bench, encrypt(bench, key_id), SOUTH) == second


def test_losing_a_part_after_the_rotation_concerns_only_the_key_that_lost_it(bench: Bench, key_id: str) -> None:
    first = describe(bench, key_id)["CurrentKeyMaterialId"]
    put_everywhere(bench, key_id, SECOND)
    bench.call("RotateKeyOnDemand", KeyId=key_id)
    bench.call("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=first)
    assert [describe(bench, key_id, region)["KeyState"] for region in (EAST, WEST, SOUTH)] == [
        "PendingImport",
        "Enabled",
        "Enabled",
    ]
    blob = encrypt(bench, key_id, WEST)
    assert refusal(bench, "Decrypt", CiphertextBlob=blob) == "KMSInvalidStateException"
    put(bench, key_id, FIRST)
    assert opened_by(bench, blob)


def test_an_hmac_replica_takes_the_bytes_of_its_primary_and_no_others(bench: Bench) -> None:
    kind = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
    key_id: str = bench.call("CreateKey", Origin="EXTERNAL", MultiRegion=True, **kind)["KeyMetadata"]["KeyId"]
    message = {"KeyId": key_id, "Message": "eA==", "MacAlgorithm": "HMAC_SHA_256"}
    import_material(bench, key_id, FIRST)
    bench.call("ReplicateKey", KeyId=key_id, ReplicaRegion=WEST)
    with pytest.raises(Refused, match="IncorrectKeyMaterialException"):
        import_material(bench, key_id, SECOND, WEST)
    import_material(bench, key_id, FIRST, WEST)
    tag = bench.call("GenerateMac", **message)["Mac"]
    assert bench.call("VerifyMac", region=WEST, **message, Mac=tag)["MacValid"] is True


def test_a_rotation_to_what_has_just_expired_in_a_replica_leaves_that_pending_import(bench: Bench, key_id: str) -> None:
    put_new(bench, key_id, SECOND)
    put(bench, key_id, SECOND, SOUTH)
    put(bench, key_id, SECOND, WEST, ValidTo=bench.clock.now() + DAY)
    bench.clock.advance(DAY)
    bench.call("RotateKeyOnDemand", KeyId=key_id)
    bench.deployment.keeper.run()
    assert describe(bench, key_id, WEST)["KeyState"] == "PendingImport"
    with pytest.raises(Refused, match="KMSInvalidStateException"):
        bench.call("Encrypt", KeyId=key_id, Plaintext="eA==", region=WEST)
    put(bench, key_id, SECOND, WEST)
    blob = bench.call("Encrypt", KeyId=key_id, Plaintext="eA==", region=WEST)["CiphertextBlob"]
    assert bench.call("Decrypt", CiphertextBlob=blob, region=SOUTH)["Plaintext"] == "eA=="


def test_a_replica_that_still_holds_what_the_primary_lost_does_not_pass_for_having_what_is_new(
    bench: Bench, key_id: str
) -> None:
    put_new(bench, key_id, SECOND, ValidTo=bench.clock.now() + DAY)
    for region in (WEST, SOUTH):
        put(bench, key_id, SECOND, region)
    bench.clock.advance(DAY)
    bench.deployment.keeper.run()
    put_new(bench, key_id, THIRD)
    assert (WAITS_FOR_ALL, "IMPORTED") in states(bench, key_id)
    with pytest.raises(Refused, match="KMSInvalidStateException"):
        bench.call("RotateKeyOnDemand", KeyId=key_id)
