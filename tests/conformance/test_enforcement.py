"""Key policies, identity policies and boundaries decide every call, and changes apply from the next call on.

The wording is that of the IAM User Guide, "Troubleshoot access denied error messages".
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient
from mypy_boto3_kms.client import KMSClient

from client_errors import error_code_of, error_of, error_with_status
from identities import ACCOUNT, ACCOUNT_ROOT, Identities
from policies import Json, allow, deny, document

KEYS = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/"
NO_IDENTITY = "because no identity-based policy allows the {action} action"
NO_RESOURCE = "because no resource-based policy allows the {action} action"
POLICY = document(allow(ACCOUNT_ROOT))
TAGS = [{"TagKey": "a", "TagValue": "b"}]

# Operations on one key, with what they need besides.
ON_A_KEY: dict[str, Json] = {
    "Encrypt": {"Plaintext": b"x"},
    "GenerateDataKey": {"KeySpec": "AES_256"},
    "GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"},
    "DescribeKey": {},
    "EnableKey": {},
    "DisableKey": {},
    "UpdateKeyDescription": {"Description": "mine"},
    "ScheduleKeyDeletion": {},
    "CancelKeyDeletion": {},
    "TagResource": {"Tags": TAGS},
    "UntagResource": {"TagKeys": ["a"]},
    "ListResourceTags": {},
    "GetKeyPolicy": {},
    "PutKeyPolicy": {"Policy": POLICY},
    "ListKeyPolicies": {},
    "EnableKeyRotation": {},
    "DisableKeyRotation": {},
    "GetKeyRotationStatus": {},
    "ListKeyRotations": {},
    "RotateKeyOnDemand": {},
    "CreateGrant": {"GranteePrincipal": ACCOUNT_ROOT, "Operations": ["Encrypt"]},
    "ListGrants": {},
    "RevokeGrant": {"GrantId": "0" * 64},
}
ON_NO_KEY: dict[str, Json] = {
    "GenerateRandom": {"NumberOfBytes": 8},
    "CreateKey": {},
    "ListKeys": {},
    "ListAliases": {},
}


def method(kms: Any, operation: str) -> Callable[..., Any]:
    """Return a client's method for an operation."""
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).strip("_")
    found: Callable[..., Any] = getattr(kms, name)
    return found


def denial(arn: str, action: str, where: str, why: str) -> dict[str, str]:
    """Return AWS's refusal."""
    message = f"User: {arn} is not authorized to perform: {action} {where} {why.format(action=action)}"
    return {"Code": "AccessDeniedException", "Message": message}


@pytest.fixture(scope="module")
def common_key(kms: KMSClient) -> str:
    """Return a key with the default policy, which delegates to identity policies."""
    return kms.create_key()["KeyMetadata"]["Arn"]


@pytest.mark.parametrize("operation", ON_A_KEY)
def test_without_permissions_every_call_is_refused(
    identities: Identities, kms: KMSClient, common_key: str, operation: str
) -> None:
    user, action = identities.user(), f"kms:{operation}"
    call, where = method(user.kms, operation), f"on resource: {common_key}"
    asked = ON_A_KEY[operation] | {"KeyId": common_key}
    assert error_of(call, **asked) == denial(user.arn, action, where, NO_IDENTITY)
    # A key policy that names only another user does not delegate to identity policies.
    friend = identities.user(allow(do="kms:*"))
    policy = document(allow(friend.arn), allow(ACCOUNT_ROOT, do="kms:DeleteAlias"))
    closed = kms.create_key(Policy=policy, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["Arn"]
    rich = identities.user(allow(do="*"))
    refusal = error_of(method(rich.kms, operation), **asked | {"KeyId": closed})
    assert refusal == denial(rich.arn, action, f"on resource: {closed}", NO_RESOURCE)


@pytest.mark.parametrize("operation", ON_NO_KEY)
def test_without_permissions_calls_about_no_key_are_refused(identities: Identities, operation: str) -> None:
    user, asked = identities.user(), ON_NO_KEY[operation]
    refusal = error_of(method(user.kms, operation), **asked)
    assert refusal == denial(user.arn, f"kms:{operation}", "on resource: *", NO_IDENTITY)
    method(identities.user(allow(do=f"kms:{operation}")).kms, operation)(**asked)


def test_a_ciphertext_names_the_key(identities: Identities, kms: KMSClient, common_key: str) -> None:
    blob = kms.encrypt(KeyId=common_key, Plaintext=b"x")["CiphertextBlob"]
    user, implied = identities.user(), "on the resource associated with this ciphertext"
    refusal = error_of(user.kms.decrypt, CiphertextBlob=blob)
    assert refusal == denial(user.arn, "kms:Decrypt", implied, NO_IDENTITY)
    refusal = error_of(user.kms.decrypt, CiphertextBlob=blob, KeyId=common_key)
    assert refusal == denial(user.arn, "kms:Decrypt", f"on resource: {common_key}", NO_IDENTITY)
    both = {"CiphertextBlob": blob, "DestinationKeyId": common_key}
    assert error_of(user.kms.re_encrypt, **both) == denial(user.arn, "kms:ReEncryptFrom", implied, NO_IDENTITY)
    half = identities.user(allow(do="kms:ReEncryptFrom"))
    refusal = error_of(half.kms.re_encrypt, **both)
    assert refusal == denial(half.arn, "kms:ReEncryptTo", f"on resource: {common_key}", NO_IDENTITY)
    identities.user(allow(do=["kms:ReEncryptFrom", "kms:ReEncryptTo"])).kms.re_encrypt(**both)


def test_an_alias_needs_permission_on_itself_and_on_its_key(identities: Identities, kms: KMSClient) -> None:
    keys = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    alias = f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/enforced"
    made = {"AliasName": "alias/enforced", "TargetKeyId": keys[0]}
    for resource, other in ((alias, keys[0]), (keys[0], alias)):
        user = identities.user(allow(do="kms:*Alias", on=other))
        refusal = error_of(user.kms.create_alias, **made)
        assert refusal == denial(user.arn, "kms:CreateAlias", f"on resource: {resource}", NO_IDENTITY)
    user = identities.user(allow(do="kms:*Alias", on=[alias, keys[0]]))
    user.kms.create_alias(**made)
    refusal = error_of(user.kms.update_alias, AliasName="alias/enforced", TargetKeyId=keys[1])
    assert refusal == denial(user.arn, "kms:UpdateAlias", f"on resource: {keys[1]}", NO_IDENTITY)
    user.kms.delete_alias(AliasName="alias/enforced")


def test_the_three_ways_to_be_allowed(identities: Identities, kms: KMSClient, common_key: str) -> None:
    asked = {"KeyId": common_key, "Plaintext": b"x"}
    delegated = identities.user(allow(do="kms:Encrypt", on=common_key))
    delegated.kms.encrypt(**asked)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    assert error_code_of(delegated.kms.encrypt, KeyId=other, Plaintext=b"x") == "AccessDeniedException"
    assert error_code_of(delegated.kms.describe_key, KeyId=common_key) == "AccessDeniedException"
    named, granted = identities.user(), identities.user()
    kms.put_key_policy(KeyId=other, Policy=document(allow(ACCOUNT_ROOT), allow(named.arn, do="kms:Encrypt")))
    named.kms.encrypt(KeyId=other, Plaintext=b"x")
    assert error_code_of(granted.kms.encrypt, **asked) == "AccessDeniedException"
    grant = kms.create_grant(KeyId=common_key, GranteePrincipal=granted.arn, Operations=["Encrypt"])["GrantId"]
    granted.kms.encrypt(**asked)
    kms.revoke_grant(KeyId=common_key, GrantId=grant)
    assert error_code_of(granted.kms.encrypt, **asked) == "AccessDeniedException"


@pytest.mark.parametrize("source", ["resource-based", "identity-based", "group", "boundary"])
def test_a_deny_anywhere_wins(identities: Identities, kms: KMSClient, iam: IAMClient, source: str) -> None:
    user = identities.user(allow(do="*"))
    key = kms.create_key(Policy=document(allow(ACCOUNT_ROOT), allow(user.arn)))["KeyMetadata"]["Arn"]
    user.kms.encrypt(KeyId=key, Plaintext=b"x")
    denied, kind = deny(do="kms:Encrypt"), "an identity-based policy"
    match source:
        case "resource-based":
            kind = "a resource-based policy"
            statements = (allow(ACCOUNT_ROOT), allow(user.arn), deny(user.arn, do="kms:Encrypt"))
            kms.put_key_policy(KeyId=key, Policy=document(*statements))
        case "identity-based":
            iam.put_user_policy(UserName=user.name, PolicyName="no", PolicyDocument=document(denied))
        case "group":
            iam.add_user_to_group(UserName=user.name, GroupName=identities.group(denied))
        case _:
            kind = "a permissions boundary"
            boundary = identities.policy(allow(do="*"), denied)
            iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=boundary)
    refusal = error_of(user.kms.encrypt, KeyId=key, Plaintext=b"x")
    where = f"on resource: {key}"
    assert refusal == denial(user.arn, "kms:Encrypt", where, f"with an explicit deny in {kind}")
    user.kms.describe_key(KeyId=key)


def test_a_boundary_limits_identity_policies_and_not_what_a_key_gives_directly(
    identities: Identities, kms: KMSClient, iam: IAMClient, common_key: str
) -> None:
    user = identities.user(allow(do="kms:*"))
    boundary = identities.policy(allow(do=["kms:DescribeKey", "iam:*"]))
    iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=boundary)
    user.kms.describe_key(KeyId=common_key)
    refusal = error_of(user.kms.encrypt, KeyId=common_key, Plaintext=b"x")
    why = "because no permissions boundary allows the {action} action"
    assert refusal == denial(user.arn, "kms:Encrypt", f"on resource: {common_key}", why)
    # What only the boundary allows is not allowed.
    assert "no identity-based policy allows" in error_with_status(403, user.iam.list_users)["Message"]
    key = kms.create_key(Policy=document(allow(ACCOUNT_ROOT), allow(user.arn)))["KeyMetadata"]["Arn"]
    user.kms.encrypt(KeyId=key, Plaintext=b"x")
    iam.delete_user_permissions_boundary(UserName=user.name)
    user.kms.encrypt(KeyId=common_key, Plaintext=b"x")


def test_a_revoked_permission_is_refused_on_the_next_call(
    identities: Identities, iam: IAMClient, common_key: str
) -> None:
    """Strict consistency: for every way to lose a permission, the next call is refused."""
    user, group, policy = identities.user(), identities.group(), identities.policy(allow(do="kms:DescribeKey"))
    who, attached = {"UserName": user.name}, {"PolicyArn": policy}
    inline = {"PolicyName": "own", "PolicyDocument": document(allow(do="kms:DescribeKey"))}
    nothing = document(allow(do="kms:ListKeys"))
    ways: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
        (
            lambda: iam.put_user_policy(**who, **inline),
            lambda: iam.delete_user_policy(**who, PolicyName="own"),
        ),
        (lambda: iam.attach_user_policy(**who, **attached), lambda: iam.detach_user_policy(**who, **attached)),
        (
            lambda: (iam.put_group_policy(GroupName=group, **inline), iam.add_user_to_group(**who, GroupName=group)),
            lambda: iam.remove_user_from_group(**who, GroupName=group),
        ),
        (
            lambda: iam.add_user_to_group(**who, GroupName=group),
            lambda: iam.delete_group_policy(GroupName=group, PolicyName="own"),
        ),
        (
            lambda: iam.attach_group_policy(GroupName=group, **attached),
            lambda: iam.create_policy_version(**attached, PolicyDocument=nothing, SetAsDefault=True),
        ),
        (
            lambda: iam.set_default_policy_version(**attached, VersionId="v1"),
            lambda: iam.set_default_policy_version(**attached, VersionId="v2"),
        ),
        (
            lambda: iam.set_default_policy_version(**attached, VersionId="v1"),
            lambda: iam.detach_group_policy(GroupName=group, **attached),
        ),
        (
            lambda: iam.put_user_policy(**who, **inline),
            lambda: iam.put_user_policy(**who, PolicyName="own", PolicyDocument=nothing),
        ),
    ]
    assert error_code_of(user.kms.describe_key, KeyId=common_key) == "AccessDeniedException"
    for number, (give, take) in enumerate(ways):
        give()
        assert user.kms.describe_key(KeyId=common_key)["KeyMetadata"]["Arn"] == common_key, number
        take()
        assert error_code_of(user.kms.describe_key, KeyId=common_key) == "AccessDeniedException", number


def test_a_policy_that_locks_its_author_out_is_refused(identities: Identities, kms: KMSClient) -> None:
    user = identities.user(allow(do=["kms:PutKeyPolicy", "kms:CreateKey"]))
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    locked = {"Code": "MalformedPolicyDocumentException"} | {
        "Message": "The new key policy will not allow you to update the key policy in the future."
    }
    only_use = document(allow(user.arn, do="kms:Encrypt"), allow(ACCOUNT_ROOT, do="kms:Encrypt"))
    assert error_of(user.kms.put_key_policy, KeyId=key, Policy=only_use) == locked
    assert error_of(user.kms.create_key, Policy=only_use) == locked
    stranger = document(allow(identities.user().arn))
    assert error_of(user.kms.put_key_policy, KeyId=key, Policy=stranger) == locked
    # Delegation is enough, because an identity policy lets this user put the next one.
    user.kms.put_key_policy(KeyId=key, Policy=document(allow(ACCOUNT_ROOT, do="kms:*")))
    user.kms.put_key_policy(KeyId=key, Policy=document(allow(user.arn, do="kms:Put*")))
    # From here on the root has no permission.
    assert error_code_of(kms.get_key_policy, KeyId=key) == "AccessDeniedException"
    user.kms.put_key_policy(KeyId=key, Policy=only_use, BypassPolicyLockoutSafetyCheck=True)
    assert error_code_of(user.kms.put_key_policy, KeyId=key, Policy=POLICY) == "AccessDeniedException"


@pytest.mark.parametrize(
    "principal",
    [
        f"arn:aws:iam::{ACCOUNT}:user/nobody",
        f"arn:aws:iam::{ACCOUNT}:role/nothing",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/nothing/session",
        "arn:aws:iam::999999999999:root",
        "999999999999",
        "AIDAAAAAAAAAAAAAAAAAA",
        f"arn:aws:iam::{ACCOUNT}:group/crew",
        "arn:aws:iam::123:root",
        "alice",
    ],
)
def test_key_policies_must_name_existing_principals(kms: KMSClient, common_key: str, principal: str) -> None:
    before = kms.get_key_policy(KeyId=common_key)["Policy"]
    refusal = {
        "Code": "MalformedPolicyDocumentException",
        "Message": "Policy contains a statement with one or more invalid principals.",
    }
    policy = document(allow(ACCOUNT_ROOT), allow(principal, do="kms:Encrypt"))
    assert error_of(kms.put_key_policy, KeyId=common_key, Policy=policy) == refusal
    assert error_of(kms.create_key, Policy=policy) == refusal
    assert kms.get_key_policy(KeyId=common_key)["Policy"] == before


def test_duties_are_separate(identities: Identities, kms: KMSClient) -> None:
    """Administrators need no right to use a key, and those who encrypt need no right to decrypt."""
    admin, writer, reader = identities.user(), identities.user(), identities.user()
    policy = document(
        allow(ACCOUNT_ROOT),
        allow(admin.arn, do=["kms:Describe*", "kms:Get*", "kms:Put*", "kms:Enable*", "kms:Disable*"]),
        allow(writer.arn, do=["kms:Encrypt", "kms:GenerateDataKey*"]),
        allow(reader.arn, do="kms:Decrypt"),
    )
    key = kms.create_key(Policy=policy)["KeyMetadata"]["KeyId"]
    blob = writer.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert reader.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    admin.kms.disable_key(KeyId=key)
    admin.kms.enable_key(KeyId=key)
    assert json.loads(admin.kms.get_key_policy(KeyId=key)["Policy"])["Statement"]
    for call, asked in (
        (writer.kms.decrypt, {"CiphertextBlob": blob}),
        (reader.kms.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (admin.kms.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (admin.kms.decrypt, {"CiphertextBlob": blob}),
        (writer.kms.disable_key, {"KeyId": key}),
    ):
        assert error_code_of(call, **asked) == "AccessDeniedException"
