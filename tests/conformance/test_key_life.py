import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from client_errors import error_of

SAME_BUT_CASE = "Duplicate tag keys found. Please note that Tag keys are case insensitive."


def test_a_new_key_is_described_as_aws_describes_it(kms: KMSClient) -> None:
    made: dict[str, Any] = dict(
        kms.create_key(Description="mine", Tags=[{"TagKey": "team", "TagValue": "x"}])["KeyMetadata"]
    )
    described: dict[str, Any] = dict(kms.describe_key(KeyId=made["KeyId"])["KeyMetadata"])
    assert described == made
    assert abs(described.pop("CreationDate") - datetime.now(UTC)) < timedelta(minutes=1)  # noqa: TID251
    key_id, material_id = described.pop("KeyId"), described.pop("CurrentKeyMaterialId")
    assert len(material_id) == 64
    assert described == {
        "AWSAccountId": "000000000000",
        "Arn": f"arn:aws:kms:us-east-1:000000000000:key/{key_id}",
        "Enabled": True,
        "Description": "mine",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }


def test_a_multi_region_primary_and_a_key_that_waits_for_import(kms: KMSClient) -> None:
    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]
    assert primary["KeyId"].startswith("mrk-")
    assert primary["MultiRegionConfiguration"] == {
        "MultiRegionKeyType": "PRIMARY",
        "PrimaryKey": {"Arn": primary["Arn"], "Region": "us-east-1"},
        "ReplicaKeys": [],
    }
    external = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    assert (external["KeyState"], external["Enabled"], "CurrentKeyMaterialId" in external) == (
        "PendingImport",
        False,
        False,
    )
    assert error_of(kms.encrypt, KeyId=external["KeyId"], Plaintext=b"x") == {
        "Code": "KMSInvalidStateException",
        "Message": f"{external['Arn']} is pending import.",
    }
    assert error_of(kms.enable_key_rotation, KeyId=external["KeyId"]) == {
        "Code": "UnsupportedOperationException",
        "Message": f"{external['Arn']} origin is EXTERNAL which is not valid for this operation.",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            {"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"},
            "ValidationException",
            (
                "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
                "CustomerMasterKeySpec is deprecated."
            ),
        ),
        (
            {"KeySpec": "RSA_2048"},
            "ValidationException",
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
        ),
        (
            {"KeySpec": "RSA_2048", "KeyUsage": "KEY_AGREEMENT"},
            "ValidationException",
            "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048",
        ),
        (
            {"KeyUsage": "SIGN_VERIFY"},
            "ValidationException",
            "KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT",
        ),
        ({"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": "cks-1"}, "CustomKeyStoreNotFoundException", ""),
        ({"Tags": [{"TagKey": "a", "TagValue": ""}] * 2}, "TagException", "Duplicate tag keys"),
        ({"Tags": [{"TagKey": "a", "TagValue": ""}, {"TagKey": "A", "TagValue": ""}]}, "TagException", SAME_BUT_CASE),
        ({"Tags": [{"TagKey": "a", "TagValue": "R&D"}]}, "TagException", "Invalid tag"),
        ({"Tags": [{"TagKey": "a#", "TagValue": ""}]}, "TagException", "Invalid tag"),
        ({"Policy": "{"}, "MalformedPolicyDocumentException", None),
        ({"KeySpec": "nonsense"}, "ValidationException", None),
    ],
)
def test_keys_that_cannot_be_made(kms: KMSClient, arguments: dict[str, Any], code: str, message: str | None) -> None:
    refusal = error_of(kms.create_key, **arguments)
    assert refusal["Code"] == code
    assert message is None or refusal["Message"] == message


def test_a_disabled_key_does_nothing_until_it_is_enabled(kms: KMSClient, key_id: str) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    arn = kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
    kms.disable_key(KeyId=key_id)
    disabled = {"Code": "DisabledException", "Message": f"{arn} is disabled."}
    assert error_of(kms.encrypt, KeyId=key_id, Plaintext=b"x") == disabled
    assert error_of(kms.decrypt, CiphertextBlob=blob) == disabled
    assert error_of(kms.rotate_key_on_demand, KeyId=key_id) == disabled
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Enabled"] is False
    kms.enable_key(KeyId=key_id)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_deletion_waits_can_be_cancelled_and_leaves_the_key_disabled(kms: KMSClient, key_id: str) -> None:
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    arn = kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
    kms.enable_key_rotation(KeyId=key_id)
    answer = kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    assert (answer["KeyId"], answer["KeyState"], answer["PendingWindowInDays"]) == (arn, "PendingDeletion", 7)
    assert abs(answer["DeletionDate"].timestamp() - time.time() - 7 * 86400) < 60  # noqa: TID251
    pending = {"Code": "KMSInvalidStateException", "Message": f"{arn} is pending deletion."}
    assert error_of(kms.encrypt, KeyId=key_id, Plaintext=b"x") == pending
    assert error_of(kms.schedule_key_deletion, KeyId=key_id) == pending
    assert error_of(kms.tag_resource, KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "b"}]) == pending
    assert kms.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"] is False
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["DeletionDate"] == answer["DeletionDate"]
    assert kms.cancel_key_deletion(KeyId=key_id)["KeyId"] == arn
    described = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    assert (described["KeyState"], "DeletionDate" in described) == ("Disabled", False)
    assert kms.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"] is True
    assert error_of(kms.cancel_key_deletion, KeyId=key_id)["Message"] == f"{arn} is not pending deletion."
    kms.enable_key(KeyId=key_id)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_the_default_window_is_thirty_days_and_others_must_be_in_range(kms: KMSClient, key_id: str) -> None:
    assert error_of(kms.schedule_key_deletion, KeyId=key_id, PendingWindowInDays=6)["Code"] == "ValidationException"
    assert error_of(kms.schedule_key_deletion, KeyId=key_id, PendingWindowInDays=31)["Code"] == "ValidationException"
    assert kms.schedule_key_deletion(KeyId=key_id)["PendingWindowInDays"] == 30


def test_automatic_rotation_is_off_until_enabled(kms: KMSClient, key_id: str) -> None:
    status = kms.get_key_rotation_status(KeyId=key_id)
    assert (status["KeyRotationEnabled"], "RotationPeriodInDays" in status) == (False, False)
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=key_id)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
    assert abs(status["NextRotationDate"].timestamp() - time.time() - 90 * 86400) < 60  # noqa: TID251
    kms.disable_key_rotation(KeyId=key_id)
    assert kms.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"] is False
    assert error_of(kms.enable_key_rotation, KeyId=key_id, RotationPeriodInDays=89)["Code"] == "ValidationException"


def test_tags_description_and_policy(kms: KMSClient, key_id: str) -> None:
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": f"t{n:02}", "TagValue": str(n)} for n in range(50)])
    kms.untag_resource(KeyId=key_id, TagKeys=["t00", "never there"])
    tags = kms.list_resource_tags(KeyId=key_id)["Tags"]
    assert tags == [{"TagKey": f"t{n:02}", "TagValue": str(n)} for n in range(1, 50)]
    extra = [{"TagKey": "x", "TagValue": ""}, {"TagKey": "y", "TagValue": ""}]
    assert error_of(kms.tag_resource, KeyId=key_id, Tags=extra) == {
        "Code": "TagException",
        "Message": "Too many tags",
    }
    other_case: list[Any] = [{"TagKey": "T01", "TagValue": "1"}]
    assert error_of(kms.tag_resource, KeyId=key_id, Tags=other_case) == {
        "Code": "TagException",
        "Message": SAME_BUT_CASE,
    }
    kms.untag_resource(KeyId=key_id, TagKeys=["t01"])
    kms.tag_resource(KeyId=key_id, Tags=other_case)
    kms.update_key_description(KeyId=key_id, Description="changed")
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Description"] == "changed"
    assert kms.list_key_policies(KeyId=key_id)["PolicyNames"] == ["default"]
    policy = kms.get_key_policy(KeyId=key_id)["Policy"]
    assert '"AWS" : "arn:aws:iam::000000000000:root"' in policy
    kms.put_key_policy(KeyId=key_id, Policy=policy.replace("key-default-1", "mine"))
    assert '"Id" : "mine"' in kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]


def test_a_policy_that_denies_is_obeyed_and_one_that_locks_out_is_refused(kms: KMSClient, key_id: str) -> None:
    allow = '{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"kms:*","Resource":"*"}'
    condition = '{"StringEquals":{"kms:EncryptionContext:tier":"gold"}}'
    deny = f'{{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{condition}}}'
    kms.put_key_policy(KeyId=key_id, Policy=f'{{"Version":"2012-10-17","Statement":[{allow},{deny}]}}')
    kms.encrypt(KeyId=key_id, Plaintext=b"x")
    refusal = error_of(kms.encrypt, KeyId=key_id, Plaintext=b"x", EncryptionContext={"tier": "gold"})
    arn = kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
    assert refusal == {
        "Code": "AccessDeniedException",
        "Message": "User: arn:aws:iam::000000000000:root is not authorized to perform: kms:Encrypt "
        f"on resource: {arn} with an explicit deny in a resource-based policy",
    }
    only_describe = allow.replace("kms:*", "kms:DescribeKey")
    document = f'{{"Version":"2012-10-17","Statement":{only_describe}}}'
    assert error_of(kms.put_key_policy, KeyId=key_id, Policy=document) == {
        "Code": "MalformedPolicyDocumentException",
        "Message": "The new key policy will not allow you to update the key policy in the future.",
    }
    kms.put_key_policy(KeyId=key_id, Policy=document, BypassPolicyLockoutSafetyCheck=True)
    kms.describe_key(KeyId=key_id)
    assert error_of(kms.get_key_policy, KeyId=key_id)["Message"].endswith(
        "because no resource-based policy allows the kms:GetKeyPolicy action"
    )
    nobody = allow.replace("000000000000", "arn:aws:iam::000000000000:user/nobody")
    assert error_of(kms.create_key, Policy=f'{{"Statement":[{allow},{nobody}]}}') == {
        "Code": "MalformedPolicyDocumentException",
        "Message": "Policy contains a statement with one or more invalid principals.",
    }


def test_keys_that_are_not_there(kms: KMSClient) -> None:
    missing = "1234abcd-12ab-34cd-56ef-1234567890ab"
    for call in (kms.describe_key, kms.enable_key, kms.get_key_policy, kms.list_resource_tags):
        assert error_of(call, KeyId=missing) == {
            "Code": "NotFoundException",
            "Message": f"Key 'arn:aws:kms:us-east-1:000000000000:key/{missing}' does not exist",
        }
    assert error_of(kms.describe_key, KeyId="alias/none")["Code"] == "NotFoundException"
    assert error_of(kms.enable_key, KeyId="alias/none")["Code"] == "InvalidArnException"
    elsewhere = f"arn:aws:kms:us-east-1:999999999999:key/{missing}"
    assert error_of(kms.describe_key, KeyId=elsewhere)["Code"] == "AccessDeniedException"
