"""AWS managed keys under a manual clock: rotated by the service, and nothing else ever happens to them."""

import base64
from pathlib import Path

import pytest

from deployments import Bench
from doors import Door
from strongroom.clock import DAY, ManualClock

SERVICE = "backup.amazonaws.com"
ALIAS = "alias/aws/backup"
FOR_ROOT = {"X-Strongroom-On-Behalf-Of": "arn:aws:iam::000000000000:root"}
DATA = base64.b64encode(b"data").decode()


@pytest.fixture
def door(door: Door) -> Door:
    door.bench.deployment.registrar.create_service(SERVICE)
    return door


def arn_of(key_id: str) -> str:
    return f"arn:aws:kms:us-east-1:000000000000:key/{key_id}"


def test_the_keeper_rotates_them_and_old_data_still_opens(door: Door) -> None:
    bench, service = door.bench, door.profile(SERVICE)
    sealed = door.kms(service, "Encrypt", KeyId=ALIAS, Plaintext=DATA, more=FOR_ROOT).json
    key_id = bench.call("DescribeKey", KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    due = bench.clock.now() + 1035 * DAY
    assert bench.call("GetKeyRotationStatus", KeyId=key_id) == {
        "KeyId": arn_of(key_id),
        "KeyRotationEnabled": True,
        "RotationPeriodInDays": 1035,
        "NextRotationDate": due,
    }

    bench.clock.advance(1035 * DAY - 1)
    bench.deployment.keeper.run()
    assert bench.call("ListKeyRotations", KeyId=key_id)["Rotations"] == []
    bench.clock.advance(1)
    bench.deployment.keeper.run()
    (rotation,) = bench.call("ListKeyRotations", KeyId=key_id)["Rotations"]
    assert (rotation["RotationType"], rotation["RotationDate"]) == ("AUTOMATIC", due)
    (event,) = [record for record in bench.records() if record["eventName"] == "RotateKey"]
    assert event["serviceEventDetails"]["keyId"] == key_id

    fresh = door.kms(service, "Encrypt", KeyId=ALIAS, Plaintext=DATA, more=FOR_ROOT).json
    old, new = (
        door.kms(service, "Decrypt", CiphertextBlob=each["CiphertextBlob"], more=FOR_ROOT).json
        for each in (sealed, fresh)
    )
    assert old["Plaintext"] == new["Plaintext"] == DATA
    assert old["KeyMaterialId"] != new["KeyMaterialId"] == rotation["KeyMaterialId"]


def test_how_often_is_a_setting(tmp_path: Path, clock: ManualClock) -> None:
    bench = Bench(tmp_path / "data", clock, managed_rotation_days=365)
    bench.deployment.registrar.create_service(SERVICE)
    key_id = bench.call("DescribeKey", KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    assert bench.call("GetKeyRotationStatus", KeyId=key_id)["RotationPeriodInDays"] == 365
    bench.deployment.close()


def test_a_service_that_calls_for_nobody_gets_no_key(door: Door) -> None:
    assert door.kms(door.profile(SERVICE), "DescribeKey", KeyId=ALIAS).error == "NotFoundException"
    with door.bench.deployment.backends.store.read() as reader:
        assert reader.keys("", "us-east-1", "", 10) == []
    assert door.bench.call("ListKeys")["Keys"] == []


def test_a_call_through_another_service_makes_no_key(door: Door) -> None:
    door.bench.deployment.registrar.create_service("s3.amazonaws.com")
    other = door.profile("s3.amazonaws.com")
    assert door.kms(other, "Encrypt", KeyId=ALIAS, Plaintext=DATA, more=FOR_ROOT).error == "NotFoundException"
    assert door.kms(other, "Encrypt", KeyId="alias/aws/s3", Plaintext=DATA, more=FOR_ROOT).status == 200
