"""Policies and grants mean users and roles by unique id: a rename changes nothing, and a reused name gives nothing."""

import json
from typing import Any

import pytest
from botocore.credentials import Credentials
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of, error_of, error_with_status
from clients import client_with
from identities import ACCOUNT, ACCOUNT_ROOT, Identities, Person, trusts
from local_server import RunningServer
from policies import Json, allow, document


def new_key(kms: KMSClient, *statements: Json) -> str:
    return kms.create_key(Policy=document(allow(ACCOUNT_ROOT), *statements))["KeyMetadata"]["KeyId"]


def shown(kms: KMSClient, key_id: str) -> list[Any]:
    """Return the statements of a key policy after the root's."""
    statements: list[Any] = json.loads(kms.get_key_policy(KeyId=key_id)["Policy"])["Statement"]
    return statements[1:]


def replaced(iam: IAMClient, identities: Identities, user: Person) -> Person:
    """Delete a user and make another of the same name."""
    for key in iam.list_access_keys(UserName=user.name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=user.name, AccessKeyId=key["AccessKeyId"])
    for policy in iam.list_user_policies(UserName=user.name)["PolicyNames"]:
        iam.delete_user_policy(UserName=user.name, PolicyName=policy)
    iam.delete_user(UserName=user.name)
    successor = identities.user()
    iam.update_user(UserName=successor.name, NewUserName=user.name)
    return successor


def test_a_key_policy_goes_on_meaning_a_user_with_a_new_name(
    kms: KMSClient, iam: IAMClient, identities: Identities
) -> None:
    user = identities.user()
    key_id = new_key(kms, allow(user.arn, do="kms:Encrypt"))
    user.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    iam.update_user(UserName=user.name, NewUserName=f"{user.name}-new", NewPath="/moved/")
    user.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    new_arn = f"arn:aws:iam::{ACCOUNT}:user/moved/{user.name}-new"
    assert shown(kms, key_id)[0]["Principal"]["AWS"] == [new_arn]
    # What is shown can be put back.
    kms.put_key_policy(KeyId=key_id, Policy=kms.get_key_policy(KeyId=key_id)["Policy"])
    user.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    old_name = document(allow(ACCOUNT_ROOT), allow(user.arn))
    assert error_code_of(kms.put_key_policy, KeyId=key_id, Policy=old_name) == "MalformedPolicyDocumentException"


def test_two_users_swap_their_names(kms: KMSClient, iam: IAMClient, identities: Identities) -> None:
    one, two = identities.user(), identities.user()
    key_id = new_key(kms, allow(one.arn, do="kms:Encrypt"), allow(two.arn, do="kms:Decrypt"))
    iam.update_user(UserName=one.name, NewUserName="swapping")
    iam.update_user(UserName=two.name, NewUserName=one.name)
    iam.update_user(UserName="swapping", NewUserName=two.name)
    assert [statement["Principal"]["AWS"] for statement in shown(kms, key_id)] == [[two.arn], [one.arn]]
    blob = one.kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    assert error_code_of(two.kms.encrypt, KeyId=key_id, Plaintext=b"x") == "AccessDeniedException"
    assert two.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_condition_on_a_name_means_the_user_who_has_it_now(
    kms: KMSClient, iam: IAMClient, identities: Identities
) -> None:
    user = identities.user()
    named = {"StringEquals": {"aws:PrincipalArn": user.arn}}
    key_id = new_key(kms, allow("*", do="kms:Encrypt", when=named), allow(user.arn, do="kms:Decrypt"))
    user.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    iam.update_user(UserName=user.name, NewUserName=f"{user.name}-new")
    assert error_code_of(user.kms.encrypt, KeyId=key_id, Plaintext=b"x") == "AccessDeniedException"
    by_condition, by_name = shown(kms, key_id)
    assert by_condition["Condition"] == named
    assert by_name["Principal"]["AWS"] == [f"{user.arn}-new"]


def test_a_key_policy_does_not_mean_a_later_user_of_the_same_name(
    kms: KMSClient, iam: IAMClient, identities: Identities
) -> None:
    user = identities.user()
    key_id = new_key(kms, allow(user.arn, do="kms:Encrypt"))
    successor = replaced(iam, identities, user)
    assert error_of(successor.kms.encrypt, KeyId=key_id, Plaintext=b"x")["Message"].startswith(
        f"User: {user.arn} is not authorized to perform: kms:Encrypt"
    )
    assert shown(kms, key_id)[0]["Principal"]["AWS"] == [user.user_id]
    policy = kms.get_key_policy(KeyId=key_id)["Policy"]
    assert error_of(kms.put_key_policy, KeyId=key_id, Policy=policy) == {
        "Code": "MalformedPolicyDocumentException",
        "Message": "Policy contains a statement with one or more invalid principals.",
    }
    kms.put_key_policy(KeyId=key_id, Policy=policy.replace(user.user_id, user.arn))
    successor.kms.encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_deleted_role_is_shown_by_its_id(kms: KMSClient, iam: IAMClient, identities: Identities) -> None:
    role = identities.role()
    key_id = new_key(kms, allow(role["Arn"], do="kms:Encrypt"))
    iam.delete_role(RoleName=role["RoleName"])
    trust = document(trusts(ACCOUNT_ROOT))
    again = iam.create_role(RoleName=role["RoleName"], AssumeRolePolicyDocument=trust)["Role"]
    assert again["Arn"] == role["Arn"]
    assert again["RoleId"] != role["RoleId"]
    assert shown(kms, key_id)[0]["Principal"]["AWS"] == [role["RoleId"]]


def test_a_grant_goes_on_meaning_its_grantee(kms: KMSClient, iam: IAMClient, identities: Identities) -> None:
    user = identities.user()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_grant(KeyId=key_id, GranteePrincipal=user.arn, Operations=["Encrypt"])
    user.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    iam.update_user(UserName=user.name, NewUserName=f"{user.name}-new")
    user.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    (grant,) = kms.list_grants(KeyId=key_id)["Grants"]
    assert grant["GranteePrincipal"] == f"{user.arn}-new"
    iam.update_user(UserName=f"{user.name}-new", NewUserName=user.name)
    successor = replaced(iam, identities, user)
    assert error_code_of(successor.kms.encrypt, KeyId=key_id, Plaintext=b"x") == "AccessDeniedException"


@pytest.mark.parametrize("fate", ["renamed", "replaced"])
def test_a_trust_policy_means_a_user_and_not_its_name(iam: IAMClient, identities: Identities, fate: str) -> None:
    user = identities.user(allow(do="sts:AssumeRole"))
    role = identities.role(user.arn)
    asked = {"RoleArn": role["Arn"], "RoleSessionName": "session"}
    user.sts.assume_role(**asked)
    if fate == "renamed":
        iam.update_user(UserName=user.name, NewUserName=f"{user.name}-new")
        user.sts.assume_role(**asked)
        name = f"{user.arn}-new"
    else:
        successor = replaced(iam, identities, user)
        statement = document(allow(do="sts:AssumeRole"))
        iam.put_user_policy(UserName=user.name, PolicyName="own", PolicyDocument=statement)
        refusal = error_with_status(403, successor.sts.assume_role, **asked)
        assert refusal == {
            "Code": "AccessDenied",
            "Message": f"User: {user.arn} is not authorized to perform: sts:AssumeRole on resource: {role['Arn']}",
        }
        name = user.user_id
    described = iam.update_role_description(RoleName=role["RoleName"], Description="mine")
    answers: list[Any] = [described, iam.get_role(RoleName=role["RoleName"])]
    for answer in answers:
        assert answer["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"] == [name]


def test_a_session_ends_with_its_user(server: RunningServer, iam: IAMClient, identities: Identities) -> None:
    user = identities.user(allow(do="kms:ListKeys"))
    key = user.sts.get_session_token()["Credentials"]
    session = client_with(server, "kms", Credentials(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"]))
    session.list_keys()
    replaced(iam, identities, user)
    assert error_code_of(session.list_keys) == "UnrecognizedClientException"
