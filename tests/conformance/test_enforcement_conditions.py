"""Condition keys decide live calls: caller, source address, time, resource and tags."""

from datetime import UTC, datetime
from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of, error_of, error_with_status
from identities import ACCOUNT, ACCOUNT_ROOT, Identities, iam_tags
from policies import allow, deny, document

# Fixed, because they are in the names of tests, which must be the same in every process that runs some of them.
PAST, FUTURE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
RED: list[Any] = [{"TagKey": "team", "TagValue": "red"}]
BLUE: list[Any] = [{"TagKey": "team", "TagValue": "blue"}]


@pytest.mark.parametrize(
    ("operator", "key", "met", "unmet"),
    [
        ("IpAddress", "aws:SourceIp", ["10.0.0.0/8", "127.0.0.0/8"], "10.0.0.0/8"),
        ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", "127.0.0.1"),
        ("DateLessThan", "aws:CurrentTime", f"{FUTURE:%FT%TZ}", f"{PAST:%FT%TZ}"),
        ("DateGreaterThan", "aws:CurrentTime", f"{PAST:%FT%TZ}", f"{FUTURE:%FT%TZ}"),
        ("NumericGreaterThan", "aws:EpochTime", str(int(PAST.timestamp())), str(int(FUTURE.timestamp()))),
        ("DateGreaterThan", "aws:EpochTime", str(int(PAST.timestamp())), str(int(FUTURE.timestamp()))),
        ("StringEquals", "aws:RequestedRegion", "us-east-1", "eu-west-1"),
        ("StringEquals", "aws:PrincipalAccount", ACCOUNT, "444455556666"),
        ("StringEquals", "aws:PrincipalType", "User", "Account"),
        ("StringEquals", "aws:PrincipalTag/team", "red", "blue"),
        ("StringEquals", "AWS:principaltag/TEAM", "red", "RED"),
        ("StringEquals", "kms:CallerAccount", ACCOUNT, "444455556666"),
        ("Bool", "aws:SecureTransport", "false", "true"),
        ("Bool", "aws:ViaAWSService", "false", "true"),
        ("Null", "aws:PrincipalTag/absent", "true", "false"),
        ("Null", "aws:MultiFactorAuthPresent", "true", "false"),
        ("ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:user/*", f"arn:aws:iam::{ACCOUNT}:role/*"),
        ("StringLike", "aws:username", "user-*", "root-*"),
        ("StringLike", "aws:userid", "AIDA*", "AROA*"),
    ],
)
def test_who_from_where_and_when(
    identities: Identities, iam: IAMClient, operator: str, key: str, met: Any, unmet: Any
) -> None:
    user = identities.user(allow(do="kms:ListKeys", when={operator: {key: met}}), tags={"Team": "red"})
    user.kms.list_keys()
    policy = document(allow(do="kms:ListKeys", when={operator: {key: unmet}}))
    iam.put_user_policy(UserName=user.name, PolicyName="own", PolicyDocument=policy)
    assert error_code_of(user.kms.list_keys) == "AccessDeniedException"


def test_tags_of_user_and_key_must_match(identities: Identities, iam: IAMClient, kms: KMSClient) -> None:
    """Attribute-based access control: one policy for all teams, and a new tag takes effect at once."""
    same = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    user = identities.user(allow(do="kms:Encrypt", when=same), tags={"team": "red"})
    red, blue = (kms.create_key(Tags=tags)["KeyMetadata"]["KeyId"] for tags in (RED, BLUE))
    user.kms.encrypt(KeyId=red, Plaintext=b"x")
    assert error_code_of(user.kms.encrypt, KeyId=blue, Plaintext=b"x") == "AccessDeniedException"
    iam.tag_user(UserName=user.name, Tags=iam_tags({"team": "blue"}))
    assert error_code_of(user.kms.encrypt, KeyId=red, Plaintext=b"x") == "AccessDeniedException"
    user.kms.encrypt(KeyId=blue, Plaintext=b"x")
    kms.untag_resource(KeyId=blue, TagKeys=["team"])
    assert error_code_of(user.kms.encrypt, KeyId=blue, Plaintext=b"x") == "AccessDeniedException"
    # Without a tag of its own the user matches nothing, not even a key without one.
    iam.untag_user(UserName=user.name, TagKeys=["team"])
    assert error_code_of(user.kms.encrypt, KeyId=blue, Plaintext=b"x") == "AccessDeniedException"


def test_tags_in_requests(identities: Identities, kms: KMSClient) -> None:
    only_team = {
        "StringEquals": {"aws:RequestTag/team": ["red", "blue"]},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]},
    }
    user = identities.user(allow(do=["kms:CreateKey", "kms:TagResource"], when=only_team))
    key = user.kms.create_key(Tags=RED)["KeyMetadata"]["KeyId"]
    user.kms.tag_resource(KeyId=key, Tags=BLUE)
    for tags in ([], [{"TagKey": "team", "TagValue": "green"}], [*RED, {"TagKey": "cost", "TagValue": "1"}]):
        assert error_code_of(user.kms.create_key, Tags=tags) == "AccessDeniedException"
        assert error_code_of(user.kms.tag_resource, KeyId=key, Tags=tags) == "AccessDeniedException"
    remover = identities.user(
        allow(do="kms:UntagResource"), deny(do="*", when={"ForAnyValue:StringEquals": {"aws:TagKeys": "team"}})
    )
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "cost", "TagValue": "1"}])
    remover.kms.untag_resource(KeyId=key, TagKeys=["cost"])
    assert error_code_of(remover.kms.untag_resource, KeyId=key, TagKeys=["cost", "team"]) == "AccessDeniedException"


def test_to_make_a_key_with_tags_needs_permission_to_tag(identities: Identities) -> None:
    user = identities.user(allow(do="kms:CreateKey"))
    user.kms.create_key()
    refusal = error_of(user.kms.create_key, Tags=RED)
    assert refusal["Code"] == "AccessDeniedException"
    assert "kms:TagResource" in refusal["Message"]


def test_aliases_of_the_key_and_of_the_request(identities: Identities, kms: KMSClient) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/app/one", TargetKeyId=key)
    by_key = identities.user(
        allow(do="kms:Encrypt", when={"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/app/*"}})
    )
    by_request = identities.user(allow(do="kms:Encrypt", when={"StringEquals": {"kms:RequestAlias": "alias/app/one"}}))
    arn = f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/app/one"
    for name in (key, "alias/app/one"):
        by_key.kms.encrypt(KeyId=name, Plaintext=b"x")
    for name in ("alias/app/one", arn):
        by_request.kms.encrypt(KeyId=name, Plaintext=b"x")
    assert error_code_of(by_request.kms.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"
    kms.delete_alias(AliasName="alias/app/one")
    assert error_code_of(by_key.kms.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"


def test_encryption_contexts(identities: Identities, kms: KMSClient) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    user = identities.user(
        allow(
            do=["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"],
            when={
                "StringEquals": {"kms:EncryptionContext:Tenant": "${aws:username}"},
                "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["tenant", "file"]},
            },
        )
    )
    mine = {"tenant": user.name, "file": "1"}
    blob = user.kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=mine)["CiphertextBlob"]
    assert user.kms.decrypt(CiphertextBlob=blob, EncryptionContext=mine)["Plaintext"] == b"x"
    user.kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=mine)
    for context in ({}, {"tenant": "other"}, {"file": "1"}, mine | {"more": "x"}):
        refusal = error_code_of(user.kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=context)
        assert refusal == "AccessDeniedException"
    theirs = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"tenant": "other"})["CiphertextBlob"]
    refusal = error_code_of(user.kms.decrypt, CiphertextBlob=theirs, EncryptionContext={"tenant": "other"})
    assert refusal == "AccessDeniedException"


def test_a_key_policy_asks_about_the_caller(identities: Identities, kms: KMSClient) -> None:
    team = {"StringEquals": {"aws:PrincipalTag/team": "red"}}
    everyone_red = document(allow(ACCOUNT_ROOT), allow("*", do="kms:Encrypt", when=team))
    key = kms.create_key(Policy=everyone_red)["KeyMetadata"]["KeyId"]
    identities.user(tags={"team": "red"}).kms.encrypt(KeyId=key, Plaintext=b"x")
    refusal = error_of(identities.user(tags={"team": "blue"}).kms.encrypt, KeyId=key, Plaintext=b"x")
    assert refusal["Message"].endswith("because no identity-based policy allows the kms:Encrypt action")


def test_a_users_name_in_a_resource(identities: Identities, iam: IAMClient) -> None:
    own = f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"
    user, other = (identities.user(allow(do="iam:*", on=own)) for _ in range(2))
    user.iam.tag_user(UserName=user.name, Tags=iam_tags({"a": "b"}))
    refusal = error_with_status(403, user.iam.tag_user, UserName=other.name, Tags=iam_tags({"a": "b"}))
    assert f"iam:TagUser on resource: {other.arn}" in refusal["Message"]
    assert iam.list_user_tags(UserName=other.name)["Tags"] == []
