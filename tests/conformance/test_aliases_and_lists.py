import uuid
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of, error_of
from clients import client_of
from local_server import RunningServer


def name() -> str:
    return f"alias/{uuid.uuid4()}"  # noqa: TID251 - any unused name


def test_an_alias_can_be_made_moved_and_deleted(kms: KMSClient, key_id: str) -> None:
    alias = name()
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    arn = f"arn:aws:kms:us-east-1:000000000000:{alias}"
    assert error_of(kms.create_alias, AliasName=alias, TargetKeyId=key_id) == {
        "Code": "AlreadyExistsException",
        "Message": f"An alias with the name {arn} already exists",
    }
    blob = kms.encrypt(KeyId=alias, Plaintext=b"x")["CiphertextBlob"]
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=alias, TargetKeyId=other)
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == other
    assert kms.decrypt(CiphertextBlob=blob)["KeyId"].endswith(key_id)
    assert error_code_of(kms.decrypt, CiphertextBlob=blob, KeyId=alias) == "IncorrectKeyException"
    listed = kms.list_aliases(KeyId=other)["Aliases"]
    assert [(each["AliasName"], each["AliasArn"], each["TargetKeyId"]) for each in listed] == [(alias, arn, other)]
    assert listed[0]["LastUpdatedDate"] >= listed[0]["CreationDate"]
    assert kms.list_aliases(KeyId=key_id)["Aliases"] == []
    kms.delete_alias(AliasName=alias)
    assert error_of(kms.describe_key, KeyId=alias) == {
        "Code": "NotFoundException",
        "Message": f"Alias {arn} is not found.",
    }
    assert error_code_of(kms.delete_alias, AliasName=alias) == "NotFoundException"


def test_aliases_that_are_refused(kms: KMSClient, key_id: str) -> None:
    alias = name()
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    assert error_code_of(kms.create_alias, AliasName="alias/aws/s3", TargetKeyId=key_id) == "NotAuthorizedException"
    assert error_code_of(kms.create_alias, AliasName="no-prefix", TargetKeyId=key_id) == "ValidationException"
    assert error_code_of(kms.create_alias, AliasName="alias/a b", TargetKeyId=key_id) == "ValidationException"
    assert error_of(kms.create_alias, AliasName=name(), TargetKeyId=alias) == {
        "Code": "ValidationException",
        "Message": "Aliases must refer to keys. Not aliases",
    }
    assert error_code_of(kms.update_alias, AliasName=name(), TargetKeyId=key_id) == "NotFoundException"
    for _ in range(49):
        kms.create_alias(AliasName=name(), TargetKeyId=key_id)
    assert error_code_of(kms.create_alias, AliasName=name(), TargetKeyId=key_id) == "LimitExceededException"
    kms.update_alias(AliasName=alias, TargetKeyId=key_id)
    another = name()
    kms.create_alias(AliasName=another, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    assert error_code_of(kms.update_alias, AliasName=another, TargetKeyId=key_id) == "LimitExceededException"


@pytest.mark.parametrize(
    ("old", "new", "alike"),
    [
        (("ECC_NIST_P256", "SIGN_VERIFY"), ("ML_DSA_44", "SIGN_VERIFY"), True),
        (("HMAC_224", "GENERATE_VERIFY_MAC"), ("HMAC_512", "GENERATE_VERIFY_MAC"), True),
        (("ECC_NIST_P256", "SIGN_VERIFY"), ("ECC_NIST_P256", "KEY_AGREEMENT"), False),
        (("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("RSA_2048", "ENCRYPT_DECRYPT"), False),
        (("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("HMAC_256", "GENERATE_VERIFY_MAC"), False),
    ],
)
def test_an_alias_moves_between_keys_of_one_type_and_usage(kms: KMSClient, old: Any, new: Any, *, alike: bool) -> None:
    """KMS API Reference, UpdateAlias: both symmetric or both asymmetric or both HMAC, and of the same usage."""
    keys = [kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"] for spec, usage in (old, new)]
    alias = name()
    kms.create_alias(AliasName=alias, TargetKeyId=keys[0])
    if alike:
        kms.update_alias(AliasName=alias, TargetKeyId=keys[1])
    else:
        assert error_code_of(kms.update_alias, AliasName=alias, TargetKeyId=keys[1]) == "ValidationException"
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == keys[alike]


def test_an_alias_outlives_the_scheduling_of_its_key_and_can_be_moved_away(kms: KMSClient, key_id: str) -> None:
    alias = name()
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    kms.schedule_key_deletion(KeyId=key_id)
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert error_code_of(kms.create_alias, AliasName=name(), TargetKeyId=key_id) == "KMSInvalidStateException"
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=alias, TargetKeyId=other)
    assert error_code_of(kms.update_alias, AliasName=alias, TargetKeyId=key_id) == "KMSInvalidStateException"
    kms.delete_alias(AliasName=alias)


def test_lists_come_in_pages(kms: KMSClient) -> None:
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(7)}
    listed = [
        entry["KeyId"]
        for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
        for entry in page["Keys"]
    ]
    assert len(listed) == len(set(listed))
    assert made <= set(listed)
    first = kms.list_keys(Limit=1)
    assert (first["Truncated"], len(first["Keys"])) == (True, 1)
    assert set(first["Keys"][0]) == {"KeyId", "KeyArn"}

    key = made.pop()
    names = sorted(name() for _ in range(5))
    for alias in names:
        kms.create_alias(AliasName=alias, TargetKeyId=key)
    pages = kms.get_paginator("list_aliases").paginate(KeyId=key, PaginationConfig={"PageSize": 2})
    assert [entry["AliasName"] for page in pages for entry in page["Aliases"]] == names

    kms.tag_resource(KeyId=key, Tags=[{"TagKey": str(n), "TagValue": ""} for n in range(5)])
    tags = kms.get_paginator("list_resource_tags").paginate(KeyId=key, PaginationConfig={"PageSize": 2})
    assert [tag["TagKey"] for page in tags for tag in page["Tags"]] == list("01234")

    for _ in range(5):
        kms.rotate_key_on_demand(KeyId=key)
    rotations = kms.get_paginator("list_key_rotations").paginate(KeyId=key, PaginationConfig={"PageSize": 2})
    assert len([each for page in rotations for each in page["Rotations"]]) == 5


def test_a_marker_of_another_list_or_an_invented_one_is_refused(kms: KMSClient, key_id: str) -> None:
    marker = kms.list_keys(Limit=1)["NextMarker"]
    for bad in (marker, "nonsense", "!", "\xff"):
        assert error_code_of(kms.list_aliases, Marker=bad) == "InvalidMarkerException"
    assert error_code_of(kms.list_resource_tags, KeyId=key_id, Marker=marker) == "InvalidMarkerException"
    assert error_code_of(kms.list_keys, Limit=1001) == "ValidationException"


def test_regions_do_not_see_each_other(server: RunningServer, kms: KMSClient, key_id: str) -> None:
    ireland = client_of(server, "eu-west-1")
    alias = name()
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    arn = kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    assert error_code_of(ireland.describe_key, KeyId=key_id) == "NotFoundException"
    assert error_of(ireland.describe_key, KeyId=arn) == {
        "Code": "NotFoundException",
        "Message": "Invalid arn us-east-1",
    }
    assert error_code_of(ireland.describe_key, KeyId=alias) == "NotFoundException"
    assert error_code_of(ireland.decrypt, CiphertextBlob=blob) == "AccessDeniedException"
    there = ireland.create_key()["KeyMetadata"]
    assert there["Arn"].startswith("arn:aws:kms:eu-west-1:")
    assert error_code_of(kms.describe_key, KeyId=there["KeyId"]) == "NotFoundException"
    ireland.create_alias(AliasName=alias, TargetKeyId=there["KeyId"])
    assert ireland.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == there["KeyId"]
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == key_id
    tokyo = client_of(server, "ap-northeast-1")
    assert error_of(tokyo.list_keys) == {
        "Code": "InvalidSignatureException",
        "Message": "Credential should be scoped to a valid region, not 'ap-northeast-1'. "
        "This server does not serve that Region; it serves eu-west-1, us-east-1. ",
    }
