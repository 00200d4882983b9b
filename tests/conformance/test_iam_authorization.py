"""Authorization of IAM: all callers but the root need a policy on the resource, and cannot extend their own rights."""

import inspect
import json
from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient

from client_errors import error_with_status
from identities import ACCOUNT, Identities, Person, iam_tags, new_name, trusts
from policies import allow, deny, document
from strongroom.operations.iam.table import IAM_TABLE

POLICY = document(allow(do="*"))
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"

# Every operation of IAM, its parameters, and the resource that a refusal names.
USER, GROUP, ROLE = ({f"{kind}Name": "x"} for kind in ("User", "Group", "Role"))
ARN = {"PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/x"}
INLINE, KEY = {"PolicyName": "p"}, {"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA"}
TAGS, TAG_KEYS = {"Tags": iam_tags({"a": "b"})}, {"TagKeys": ["a"]}
BOUNDARY, TEXT = {"PermissionsBoundary": ADMINISTRATOR}, {"PolicyDocument": POLICY}
VERSION, JOB = {"VersionId": "v1"}, {"JobId": "0" * 36}
DEVICE, CERTIFICATE = {"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/x"}, {"ServerCertificateName": "x"}
PROFILE, ALIAS = {"InstanceProfileName": "x"}, {"AccountAlias": "some-alias"}
PROVIDER = {"OpenIDConnectProviderArn": f"arn:aws:iam::{ACCOUNT}:oidc-provider/x.example"}
OPERATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "CreateUser": (USER, "user/x"),
    "GetUser": (USER, "user/x"),
    "ListUsers": ({}, "*"),
    "UpdateUser": (USER | {"NewUserName": "y"}, "user/x"),
    "DeleteUser": (USER, "user/x"),
    "TagUser": (USER | TAGS, "user/x"),
    "UntagUser": (USER | TAG_KEYS, "user/x"),
    "ListUserTags": (USER, "user/x"),
    "PutUserPermissionsBoundary": (USER | BOUNDARY, "user/x"),
    "DeleteUserPermissionsBoundary": (USER, "user/x"),
    "CreateAccessKey": (USER, "user/x"),
    "ListAccessKeys": (USER, "user/x"),
    "UpdateAccessKey": (USER | KEY | {"Status": "Active"}, "user/x"),
    "DeleteAccessKey": (USER | KEY, "user/x"),
    "GetAccessKeyLastUsed": (KEY, "*"),
    "CreateGroup": (GROUP, "group/x"),
    "GetGroup": (GROUP, "group/x"),
    "ListGroups": ({}, "*"),
    "ListGroupsForUser": (USER, "user/x"),
    "UpdateGroup": (GROUP | {"NewGroupName": "y"}, "group/x"),
    "DeleteGroup": (GROUP, "group/x"),
    "AddUserToGroup": (USER | GROUP, "group/x"),
    "RemoveUserFromGroup": (USER | GROUP, "group/x"),
    "CreateRole": (ROLE | {"AssumeRolePolicyDocument": document(trusts("*"))}, "role/x"),
    "GetRole": (ROLE, "role/x"),
    "ListRoles": ({}, "*"),
    "UpdateRole": (ROLE, "role/x"),
    "UpdateRoleDescription": (ROLE | {"Description": "d"}, "role/x"),
    "UpdateAssumeRolePolicy": (ROLE | {"PolicyDocument": document(trusts("*"))}, "role/x"),
    "DeleteRole": (ROLE, "role/x"),
    "TagRole": (ROLE | TAGS, "role/x"),
    "UntagRole": (ROLE | TAG_KEYS, "role/x"),
    "ListRoleTags": (ROLE, "role/x"),
    "PutRolePermissionsBoundary": (ROLE | BOUNDARY, "role/x"),
    "DeleteRolePermissionsBoundary": (ROLE, "role/x"),
    "ListInstanceProfilesForRole": (ROLE, "role/x"),
    "CreateInstanceProfile": (PROFILE, "instance-profile/x"),
    "GetInstanceProfile": (PROFILE, "instance-profile/x"),
    "ListInstanceProfiles": ({}, "*"),
    "DeleteInstanceProfile": (PROFILE, "instance-profile/x"),
    "AddRoleToInstanceProfile": (PROFILE | ROLE, "instance-profile/x"),
    "RemoveRoleFromInstanceProfile": (PROFILE | ROLE, "instance-profile/x"),
    "TagInstanceProfile": (PROFILE | TAGS, "instance-profile/x"),
    "UntagInstanceProfile": (PROFILE | TAG_KEYS, "instance-profile/x"),
    "ListInstanceProfileTags": (PROFILE, "instance-profile/x"),
    "CreateOpenIDConnectProvider": ({"Url": "https://x.example"}, "oidc-provider/x.example"),
    "GetOpenIDConnectProvider": (PROVIDER, "oidc-provider/x.example"),
    "ListOpenIDConnectProviders": ({}, "*"),
    "DeleteOpenIDConnectProvider": (PROVIDER, "oidc-provider/x.example"),
    "UpdateOpenIDConnectProviderThumbprint": (PROVIDER | {"ThumbprintList": ["a" * 40]}, "oidc-provider/x.example"),
    "AddClientIDToOpenIDConnectProvider": (PROVIDER | {"ClientID": "a"}, "oidc-provider/x.example"),
    "RemoveClientIDFromOpenIDConnectProvider": (PROVIDER | {"ClientID": "a"}, "oidc-provider/x.example"),
    "TagOpenIDConnectProvider": (PROVIDER | TAGS, "oidc-provider/x.example"),
    "UntagOpenIDConnectProvider": (PROVIDER | TAG_KEYS, "oidc-provider/x.example"),
    "ListOpenIDConnectProviderTags": (PROVIDER, "oidc-provider/x.example"),
    "CreateAccountAlias": (ALIAS, "*"),
    "DeleteAccountAlias": (ALIAS, "*"),
    "UpdateAccountPasswordPolicy": ({}, "*"),
    "GetAccountPasswordPolicy": ({}, "*"),
    "DeleteAccountPasswordPolicy": ({}, "*"),
    "PutUserPolicy": (USER | INLINE | TEXT, "user/x"),
    "PutGroupPolicy": (GROUP | INLINE | TEXT, "group/x"),
    "PutRolePolicy": (ROLE | INLINE | TEXT, "role/x"),
    "GetUserPolicy": (USER | INLINE, "user/x"),
    "GetGroupPolicy": (GROUP | INLINE, "group/x"),
    "GetRolePolicy": (ROLE | INLINE, "role/x"),
    "DeleteUserPolicy": (USER | INLINE, "user/x"),
    "DeleteGroupPolicy": (GROUP | INLINE, "group/x"),
    "DeleteRolePolicy": (ROLE | INLINE, "role/x"),
    "ListUserPolicies": (USER, "user/x"),
    "ListGroupPolicies": (GROUP, "group/x"),
    "ListRolePolicies": (ROLE, "role/x"),
    "CreatePolicy": (INLINE | TEXT, "policy/p"),
    "GetPolicy": (ARN, "policy/x"),
    "ListPolicies": ({}, "*"),
    "DeletePolicy": (ARN, "policy/x"),
    "CreatePolicyVersion": (ARN | TEXT, "policy/x"),
    "GetPolicyVersion": (ARN | VERSION, "policy/x"),
    "ListPolicyVersions": (ARN, "policy/x"),
    "SetDefaultPolicyVersion": (ARN | VERSION, "policy/x"),
    "DeletePolicyVersion": (ARN | VERSION, "policy/x"),
    "TagPolicy": (ARN | TAGS, "policy/x"),
    "UntagPolicy": (ARN | TAG_KEYS, "policy/x"),
    "ListPolicyTags": (ARN, "policy/x"),
    "ListEntitiesForPolicy": (ARN, "policy/x"),
    "AttachUserPolicy": (USER | ARN, "user/x"),
    "AttachGroupPolicy": (GROUP | ARN, "group/x"),
    "AttachRolePolicy": (ROLE | ARN, "role/x"),
    "DetachUserPolicy": (USER | ARN, "user/x"),
    "DetachGroupPolicy": (GROUP | ARN, "group/x"),
    "DetachRolePolicy": (ROLE | ARN, "role/x"),
    "ListAttachedUserPolicies": (USER, "user/x"),
    "ListAttachedGroupPolicies": (GROUP, "group/x"),
    "ListAttachedRolePolicies": (ROLE, "role/x"),
    "GetAccountAuthorizationDetails": ({}, "*"),
    "GetAccountSummary": ({}, "*"),
    "ListAccountAliases": ({}, "*"),
    "SimulateCustomPolicy": ({"PolicyInputList": [POLICY], "ActionNames": ["kms:Encrypt"]}, "*"),
    "SimulatePrincipalPolicy": (
        {"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:user/x", "ActionNames": ["kms:Encrypt"]},
        "user/x",
    ),
    "ListMFADevices": (USER, "user/x"),
    "ListVirtualMFADevices": ({}, "*"),
    "ListSSHPublicKeys": (USER, "user/x"),
    "ListSigningCertificates": (USER, "user/x"),
    "ListServiceSpecificCredentials": (USER, "user/x"),
    "ListServerCertificates": ({}, "*"),
    "ListSAMLProviders": ({}, "*"),
    "GetLoginProfile": (USER, "user/x"),
    "DeleteLoginProfile": (USER, "user/x"),
    "GetMFADevice": (USER | DEVICE, "user/x"),
    "DeactivateMFADevice": (USER | DEVICE, "user/x"),
    "DeleteVirtualMFADevice": (DEVICE, "mfa/x"),
    "DeleteSSHPublicKey": (USER | {"SSHPublicKeyId": "APKA" + "A" * 16}, "user/x"),
    "DeleteSigningCertificate": (USER | {"CertificateId": "A" * 24}, "user/x"),
    "DeleteServiceSpecificCredential": (USER | {"ServiceSpecificCredentialId": "ACCA" + "A" * 16}, "user/x"),
    "GetServerCertificate": (CERTIFICATE, "server-certificate/x"),
    "DeleteServerCertificate": (CERTIFICATE, "server-certificate/x"),
    "GenerateCredentialReport": ({}, "*"),
    "GetCredentialReport": ({}, "*"),
    "GenerateServiceLastAccessedDetails": ({"Arn": f"arn:aws:iam::{ACCOUNT}:user/x"}, "user/x"),
    "GetServiceLastAccessedDetails": (JOB, "*"),
    "GetServiceLastAccessedDetailsWithEntities": (JOB | {"ServiceNamespace": "kms"}, "*"),
}


@pytest.fixture(scope="module")
def nobody(identities: Identities) -> Person:
    """Return a user who has every permission but on IAM."""
    return identities.user(allow(do=["kms:*", "sts:*"]))


def test_no_operation_is_left_out() -> None:
    assert set(OPERATIONS) == set(IAM_TABLE)


def method(iam: Any, operation: str) -> Any:
    names = {name.replace("_", ""): name for name, _ in inspect.getmembers(iam, callable)}
    return getattr(iam, names[operation.lower()])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_needs_a_policy(nobody: Person, operation: str) -> None:
    """Refused the same way whether or not the resource exists."""
    arguments, resource = OPERATIONS[operation]
    where = resource if resource == "*" else f"arn:aws:iam::{ACCOUNT}:{resource}"
    assert error_with_status(403, method(nobody.iam, operation), **arguments) == {
        "Code": "AccessDenied",
        "Message": f"User: {nobody.arn} is not authorized to perform: iam:{operation} on resource: {where} "
        f"because no identity-based policy allows the iam:{operation} action",
    }


def test_resources_are_honoured_down_to_their_paths(identities: Identities) -> None:
    staff = f"arn:aws:iam::{ACCOUNT}:user/staff/*"
    helpdesk = identities.user(allow(do=["iam:CreateUser", "iam:UpdateUser", "iam:GetUser"], on=staff))
    name = new_name("user")
    helpdesk.iam.create_user(UserName=name, Path="/staff/")
    assert error_with_status(403, helpdesk.iam.create_user, UserName=new_name("user"))["Code"] == "AccessDenied"
    # A new name alone stays under the old path, and a new path must be allowed too.
    helpdesk.iam.update_user(UserName=name, NewUserName=f"{name}-new")
    assert helpdesk.iam.get_user(UserName=f"{name}-new")["User"]["Path"] == "/staff/"
    refusal = error_with_status(403, helpdesk.iam.update_user, UserName=f"{name}-new", NewPath="/admins/")
    assert f"iam:UpdateUser on resource: arn:aws:iam::{ACCOUNT}:user/admins/{name}-new" in refusal["Message"]
    tags = iam_tags({"a": "b"})
    refusal = error_with_status(403, helpdesk.iam.create_user, UserName=new_name("user"), Path="/staff/", Tags=tags)
    assert "iam:TagUser" in refusal["Message"]


def test_changing_the_path_of_a_group_needs_permission_on_the_new_path(identities: Identities, iam: IAMClient) -> None:
    teams = f"arn:aws:iam::{ACCOUNT}:group/teams/*"
    lead, name = identities.user(allow(do="iam:UpdateGroup", on=teams)), new_name("group")
    iam.create_group(GroupName=name, Path="/teams/")
    lead.iam.update_group(GroupName=name, NewGroupName=f"{name}-new")
    refusal = error_with_status(403, lead.iam.update_group, GroupName=f"{name}-new", NewPath="/admins/")
    assert refusal["Code"] == "AccessDenied"


def test_tags_decide_who_may_touch_a_user(identities: Identities) -> None:
    mine = {"StringEquals": {"aws:ResourceTag/team": "red"}}
    lead = identities.user(allow(do="iam:CreateAccessKey", when=mine))
    red, blue = (identities.user(tags={"team": team}) for team in ("red", "blue"))
    lead.iam.create_access_key(UserName=red.name)
    assert error_with_status(403, lead.iam.create_access_key, UserName=blue.name)["Code"] == "AccessDenied"


PROTECTED = {"StringEquals": {"aws:ResourceTag/protected": "yes"}}
NEW = {"CreateUser", "CreateRole", "CreatePolicy", "CreateInstanceProfile", "CreateOpenIDConnectProvider"}
TAGGED = ("user", "role", "policy", "instance-profile", "oidc-provider")


@pytest.fixture(scope="module")
def tagged(iam: IAMClient) -> dict[str, tuple[str, str]]:
    """Return the name and the ARN of a new entity with the tag, by its kind."""
    name, tags = new_name("tagged"), iam_tags({"protected": "yes"})
    trust, issuer = document(trusts(f"arn:aws:iam::{ACCOUNT}:root")), f"{name}.example"
    provider = iam.create_open_id_connect_provider(Url=f"https://{issuer}", Tags=tags)["OpenIDConnectProviderArn"]
    return {
        "user": (name, iam.create_user(UserName=name, Tags=tags)["User"]["Arn"]),
        "role": (name, iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, Tags=tags)["Role"]["Arn"]),
        "policy": (name, iam.create_policy(PolicyName=name, PolicyDocument=POLICY, Tags=tags)["Policy"]["Arn"]),
        "instance-profile": (
            name,
            iam.create_instance_profile(InstanceProfileName=name, Tags=tags)["InstanceProfile"]["Arn"],
        ),
        "oidc-provider": (issuer, provider),
    }


@pytest.fixture(scope="module")
def warned(identities: Identities) -> Person:
    """Return a user who may do everything but to what has the tag."""
    return identities.user(allow(do="iam:*"), deny(do="iam:*", when=PROTECTED))


@pytest.mark.parametrize(
    "operation",
    [name for name, (_, on) in OPERATIONS.items() if on.partition("/")[0] in TAGGED and name not in NEW],
)
def test_a_tag_protects_from_every_operation(
    warned: Person, tagged: dict[str, tuple[str, str]], operation: str
) -> None:
    arguments, resource = OPERATIONS[operation]
    name, arn = tagged[resource.partition("/")[0]]
    placeholder = f"arn:aws:iam::{ACCOUNT}:{resource}"
    named = {key: {"x": name, placeholder: arn}.get(str(value), value) for key, value in arguments.items()}
    assert named != arguments
    refusal = error_with_status(403, method(warned.iam, operation), **named)
    assert refusal["Message"].endswith("with an explicit deny in an identity-based policy")


def test_a_tag_protects_a_caller_that_does_not_name_itself(identities: Identities) -> None:
    user = identities.user(allow(do="iam:*"), deny(do="iam:*", when=PROTECTED), tags={"protected": "yes"})
    for call in (user.iam.get_user, user.iam.list_access_keys, user.iam.create_access_key, user.iam.list_mfa_devices):
        refusal = error_with_status(403, call)
        assert refusal["Message"].endswith("with an explicit deny in an identity-based policy")
    allowed = identities.user(allow(do="iam:GetUser", when=PROTECTED), tags={"protected": "yes"})
    assert allowed.iam.get_user()["User"]["Arn"] == allowed.arn


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("put_user_policy", {"PolicyName": "own", "PolicyDocument": POLICY}),
        ("attach_user_policy", {"PolicyArn": ADMINISTRATOR}),
        ("add_user_to_group", {"GroupName": "admins"}),
        ("delete_user_permissions_boundary", {}),
        ("put_user_permissions_boundary", {"PermissionsBoundary": ADMINISTRATOR}),
    ],
)
def test_a_user_does_not_escalate(
    identities: Identities, iam: IAMClient, operation: str, arguments: dict[str, Any]
) -> None:
    """Permission to read IAM and to make users is not enough to become an administrator."""
    if operation == "add_user_to_group" and "admins" not in json.dumps(iam.list_groups()["Groups"], default=str):
        iam.create_group(GroupName="admins")
    user = identities.user(allow(do=["iam:Get*", "iam:List*", "iam:CreateUser", "kms:ListKeys"]))
    refusal = error_with_status(403, getattr(user.iam, operation), UserName=user.name, **arguments)
    assert refusal["Code"] == "AccessDenied"
    assert error_with_status(403, user.iam.create_access_key, UserName=user.name)["Code"] == "AccessDenied"


def test_delegation_within_a_boundary(identities: Identities, iam: IAMClient) -> None:
    """IAM User Guide, "Delegating responsibility to others using permissions boundaries"."""
    boundary = identities.policy(allow(do="kms:*"))
    bound = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    actions = ["CreateUser", "PutUserPermissionsBoundary", "AttachUserPolicy", "PutUserPolicy", "DetachUserPolicy"]
    admin = identities.user(
        allow(do=[f"iam:{action}" for action in actions], when=bound),
        deny(do="iam:DeleteUserPermissionsBoundary"),
    )
    name = new_name("user")
    assert error_with_status(403, admin.iam.create_user, UserName=name)["Code"] == "AccessDenied"
    admin.iam.create_user(UserName=name, PermissionsBoundary=boundary)
    admin.iam.attach_user_policy(UserName=name, PolicyArn=ADMINISTRATOR)
    admin.iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=POLICY)
    admin.iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=boundary)
    free = identities.user()
    for user in (name, free.name):
        other = {"UserName": user, "PermissionsBoundary": ADMINISTRATOR}
        assert error_with_status(403, admin.iam.put_user_permissions_boundary, **other)["Code"] == "AccessDenied"
    for call, more in (
        (admin.iam.attach_user_policy, {"PolicyArn": ADMINISTRATOR}),
        (admin.iam.put_user_policy, {"PolicyName": "p", "PolicyDocument": POLICY}),
    ):
        assert error_with_status(403, call, UserName=free.name, **more)["Code"] == "AccessDenied"
    refusal = error_with_status(403, admin.iam.delete_user_permissions_boundary, UserName=name)
    assert refusal["Message"].endswith("with an explicit deny in an identity-based policy")
    assert iam.get_user(UserName=name)["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary


def test_which_policies_may_be_attached(identities: Identities) -> None:
    harmless = identities.policy(allow(do="kms:ListKeys"))
    admin = identities.user(allow(do="iam:AttachUserPolicy", when={"ArnEquals": {"iam:PolicyARN": harmless}}))
    user = identities.user()
    admin.iam.attach_user_policy(UserName=user.name, PolicyArn=harmless)
    refusal = error_with_status(403, admin.iam.attach_user_policy, UserName=user.name, PolicyArn=ADMINISTRATOR)
    assert refusal["Code"] == "AccessDenied"


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_a_boundary_is_no_condition_of_what_it_does_not_limit(
    identities: Identities, iam: IAMClient, effect: str
) -> None:
    """Who administers users within a boundary could else make an access key of a user, and act as that user."""
    boundary, user = identities.policy(allow(do="kms:*")), identities.user()
    key = {"iam:PermissionsBoundary": boundary}
    where = [allow(do="iam:*", when={"StringEquals": key})]
    elsewhere = [allow(do="iam:*"), deny(do="iam:*", when={"StringNotEquals": key})]
    admin = identities.user(*(where if effect == "Allow" else elsewhere))
    iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=boundary)
    admin.iam.put_user_policy(UserName=user.name, PolicyName="p", PolicyDocument=POLICY)
    for call in (admin.iam.create_access_key, admin.iam.get_user, admin.iam.list_user_policies, admin.iam.delete_user):
        assert error_with_status(403, call, UserName=user.name)["Code"] == "AccessDenied"


def test_who_may_attach_a_policy_may_not_rewrite_it(identities: Identities) -> None:
    harmless, user = identities.policy(allow(do="kms:ListKeys")), identities.user()
    admin = identities.user(allow(do="iam:*", when={"ArnEquals": {"iam:PolicyARN": harmless}}))
    admin.iam.attach_user_policy(UserName=user.name, PolicyArn=harmless)
    admin.iam.detach_user_policy(UserName=user.name, PolicyArn=harmless)
    for call, more in (
        (admin.iam.create_policy_version, {"PolicyDocument": POLICY, "SetAsDefault": True}),
        (admin.iam.set_default_policy_version, {"VersionId": "v1"}),
        (admin.iam.get_policy, {}),
        (admin.iam.delete_policy, {}),
    ):
        assert error_with_status(403, call, PolicyArn=harmless, **more)["Code"] == "AccessDenied"
