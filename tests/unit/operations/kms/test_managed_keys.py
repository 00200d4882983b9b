"""AWS managed keys under a manual clock: only the service rotates them, and no caller can change them."""

import base64
from pathlib import Path
from typing import Any

import pytest

from direct_client import DirectClient
from local_deployment import LocalDeployment
from strongroom.clock import DAY, ManualClock
from strongroom.errors import KMSInternalException

SERVICE = "backup.amazonaws.com"
ALIAS = "alias/aws/backup"
FOR_ROOT = {"X-Strongroom-On-Behalf-Of": "arn:aws:iam::000000000000:root"}
DATA = base64.b64encode(b"data").decode()


@pytest.fixture
def direct(direct: DirectClient) -> DirectClient:
    direct.local.deployment.registrar.create_service(SERVICE)
    return direct


def arn_of(key_id: str) -> str:
    return f"arn:aws:kms:us-east-1:000000000000:key/{key_id}"


def test_the_keeper_rotates_aws_managed_keys_and_old_ciphertexts_still_decrypt(direct: DirectClient) -> None:
    local, service = direct.local, direct.profile(SERVICE)
    sealed = direct.kms(service, "Encrypt", KeyId=ALIAS, Plaintext=DATA, more=FOR_ROOT).json
    key_id = local.call("DescribeKey", KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    due = local.clock.now() + 1035 * DAY
    assert local.call("GetKeyRotationStatus", KeyId=key_id) == {
        "KeyId": arn_of(key_id),
        "KeyRotationEnabled": True,
        "RotationPeriodInDays": 1035,
        "NextRotationDate": due,
    }

    local.clock.advance(1035 * DAY - 1)
    local.deployment.keeper.run()
    assert local.call("ListKeyRotations", KeyId=key_id)["Rotations"] == []
    local.clock.advance(1)
    local.deployment.keeper.run()
    (rotation,) = local.call("ListKeyRotations", KeyId=key_id)["Rotations"]
    assert (rotation["RotationType"], rotation["RotationDate"]) == ("AUTOMATIC", due)
    (event,) = [record for record in local.records() if record["eventName"] == "RotateKey"]
    assert event["serviceEventDetails"]["keyId"] == key_id

    fresh = direct.kms(service, "Encrypt", KeyId=ALIAS, Plaintext=DATA, more=FOR_ROOT).json
    old, new = (
        direct.kms(service, "Decrypt", CiphertextBlob=each["CiphertextBlob"], more=FOR_ROOT).json
        for each in (sealed, fresh)
    )
    assert old["Plaintext"] == new["Plaintext"] == DATA
    assert old["KeyMaterialId"] != new["KeyMaterialId"] == rotation["KeyMaterialId"]


def creations(local: LocalDeployment) -> list[dict[str, Any]]:
    return [record for record in local.records() if record["eventName"] == "CreateKey"]


def test_the_record_of_a_managed_key_is_that_of_the_service(direct: DirectClient) -> None:
    local = direct.local
    for _ in range(2):
        assert direct.kms(direct.profile(SERVICE), "Encrypt", KeyId=ALIAS, Plaintext=DATA, more=FOR_ROOT).status == 200
    key_id = local.call("DescribeKey", KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    (event,) = creations(local)
    assert (event["eventType"], event["readOnly"]) == ("AwsServiceEvent", False)
    assert event["serviceEventDetails"] == {"keyId": key_id, "aliasName": ALIAS}
    assert [each["ARN"] for each in event["resources"]] == [arn_of(key_id)]


def test_a_managed_key_is_recorded_also_if_the_call_that_made_it_is_refused(direct: DirectClient) -> None:
    local, service = direct.local, direct.profile(SERVICE)
    asked = {"KeyId": ALIAS, "Plaintext": DATA, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    assert direct.kms(service, "Encrypt", **asked, more=FOR_ROOT).error == "InvalidKeyUsageException"
    (entry,) = local.call("ListKeys")["Keys"]
    (event,) = creations(local)
    assert event["serviceEventDetails"]["keyId"] == entry["KeyId"]


def test_no_managed_key_is_made_if_that_cannot_be_recorded(
    direct: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, service = direct.local, direct.profile(SERVICE)

    def full() -> None:
        raise KMSInternalException

    with monkeypatch.context() as patched:
        patched.setattr(local.deployment.log, "flush", full)
        with pytest.raises(KMSInternalException):
            direct.kms(service, "Encrypt", KeyId=ALIAS, Plaintext=DATA, more=FOR_ROOT)
    assert local.call("ListKeys")["Keys"] == []


def test_the_rotation_period_of_aws_managed_keys_is_a_setting(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock, managed_rotation_days=365)
    local.deployment.registrar.create_service(SERVICE)
    key_id = local.call("DescribeKey", KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    assert local.call("GetKeyRotationStatus", KeyId=key_id)["RotationPeriodInDays"] == 365
    local.deployment.close()


def test_a_service_that_calls_for_no_principal_makes_no_managed_key(direct: DirectClient) -> None:
    assert direct.kms(direct.profile(SERVICE), "DescribeKey", KeyId=ALIAS).error == "NotFoundException"
    with direct.local.deployment.backends.store.read() as reader:
        assert reader.keys("", "us-east-1", "", 10) == []
    assert direct.local.call("ListKeys")["Keys"] == []


def test_a_call_through_another_service_makes_no_managed_key(direct: DirectClient) -> None:
    direct.local.deployment.registrar.create_service("s3.amazonaws.com")
    other = direct.profile("s3.amazonaws.com")
    assert direct.kms(other, "Encrypt", KeyId=ALIAS, Plaintext=DATA, more=FOR_ROOT).error == "NotFoundException"
    assert direct.kms(other, "Encrypt", KeyId="alias/aws/s3", Plaintext=DATA, more=FOR_ROOT).status == 200
