"""Roles, and the account as a whole."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient

from client_errors import error_of, error_with_status
from clients import client_with, credentials_of
from identities import ACCOUNT, ACCOUNT_ROOT, Identities, iam_tags, new_name, trusts
from local_server import RunningServer, running_server
from policies import allow, document

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
TRUST = document(trusts(ACCOUNT_ROOT))


def test_a_new_role_is_shown_as_aws_shows_one(iam: IAMClient) -> None:
    made: Any = iam.create_role(
        RoleName="Worker",
        Path="/jobs/",
        AssumeRolePolicyDocument=TRUST,
        Description="works",
        MaxSessionDuration=7200,
        PermissionsBoundary=READ_ONLY,
        Tags=iam_tags({"team": "red"}),
    )["Role"]
    got: Any = iam.get_role(RoleName="WORKER")["Role"]
    assert got == made
    assert re.fullmatch("AROA[A-Z2-7]{17}", got.pop("RoleId"))
    assert got.pop("CreateDate").utcoffset() is not None
    assert got.pop("PermissionsBoundary")["PermissionsBoundaryArn"] == READ_ONLY
    assert got == {
        "RoleName": "Worker",
        "Path": "/jobs/",
        "Arn": f"arn:aws:iam::{ACCOUNT}:role/jobs/Worker",
        "AssumeRolePolicyDocument": json.loads(TRUST),
        "Description": "works",
        "MaxSessionDuration": 7200,
        "Tags": iam_tags({"team": "red"}),
        "RoleLastUsed": {},
    }
    assert error_with_status(409, iam.create_role, RoleName="worker", AssumeRolePolicyDocument=TRUST) == {
        "Code": "EntityAlreadyExists",
        "Message": "Role with name worker already exists.",
    }


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"RoleName": "a b"}, "ValidationError"),
        ({"RoleName": "a" * 65}, "ValidationError"),
        ({"Path": "jobs"}, "ValidationError"),
        ({"MaxSessionDuration": 3599}, "ValidationError"),
        ({"MaxSessionDuration": 43201}, "ValidationError"),
        ({"AssumeRolePolicyDocument": "{"}, "MalformedPolicyDocument"),
        ({"AssumeRolePolicyDocument": document(allow(do="sts:AssumeRole", on=None))}, "MalformedPolicyDocument"),
        ({"AssumeRolePolicyDocument": document(allow(ACCOUNT_ROOT, do="sts:AssumeRole"))}, "MalformedPolicyDocument"),
        ({"AssumeRolePolicyDocument": document(trusts("*", "nonsense"))}, "MalformedPolicyDocument"),
    ],
)
def test_roles_that_cannot_be_made(iam: IAMClient, arguments: dict[str, Any], code: str) -> None:
    role: dict[str, Any] = {"RoleName": "never-made", "AssumeRolePolicyDocument": TRUST}
    assert error_of(iam.create_role, **(role | arguments))["Code"] == code
    assert error_with_status(404, iam.get_role, RoleName="never-made")["Code"] == "NoSuchEntity"


def test_trust_policies_have_room_for_2048_characters_and_name_existing_principals(
    iam: IAMClient, identities: Identities
) -> None:
    role = identities.role()["RoleName"]
    nobody = f"arn:aws:iam::{ACCOUNT}:user/nobody"
    refusal = {"Code": "MalformedPolicyDocument", "Message": f'Invalid principal in policy: "AWS":"{nobody}"'}
    text = document(trusts(ACCOUNT_ROOT, nobody))
    update = iam.update_assume_role_policy
    assert error_of(update, RoleName=role, PolicyDocument=text) == refusal
    assert error_of(iam.create_role, RoleName=new_name("role"), AssumeRolePolicyDocument=text) == refusal
    statement = trusts(ACCOUNT_ROOT) | {"Sid": "x" * 2048}
    assert error_with_status(409, update, RoleName=role, PolicyDocument=document(statement)) == {
        "Code": "LimitExceeded",
        "Message": "Cannot exceed quota for ACLSizePerRole: 2048",
    }
    open_to_all = document(trusts("*"))
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=open_to_all)
    assert iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"] == json.loads(open_to_all)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("get_role", {}),
        ("update_role", {}),
        ("update_role_description", {"Description": "x"}),
        ("update_assume_role_policy", {"PolicyDocument": TRUST}),
        ("delete_role", {}),
        ("tag_role", {"Tags": iam_tags({"a": "b"})}),
        ("untag_role", {"TagKeys": ["a"]}),
        ("list_role_tags", {}),
        ("put_role_permissions_boundary", {"PermissionsBoundary": READ_ONLY}),
        ("delete_role_permissions_boundary", {}),
        ("list_instance_profiles_for_role", {}),
        ("put_role_policy", {"PolicyName": "p", "PolicyDocument": document(allow())}),
        ("get_role_policy", {"PolicyName": "p"}),
        ("delete_role_policy", {"PolicyName": "p"}),
        ("list_role_policies", {}),
        ("attach_role_policy", {"PolicyArn": READ_ONLY}),
        ("detach_role_policy", {"PolicyArn": READ_ONLY}),
        ("list_attached_role_policies", {}),
    ],
)
def test_a_role_that_is_not_there(iam: IAMClient, operation: str, arguments: dict[str, Any]) -> None:
    assert error_with_status(404, getattr(iam, operation), RoleName="nothing", **arguments) == {
        "Code": "NoSuchEntity",
        "Message": "The role with name nothing cannot be found.",
    }


def test_a_role_changes(iam: IAMClient, identities: Identities) -> None:
    role = identities.role()["RoleName"]
    iam.update_role(RoleName=role, Description="one", MaxSessionDuration=3601)
    iam.update_role(RoleName=role, MaxSessionDuration=3602)
    assert iam.update_role_description(RoleName=role, Description="two")["Role"]["Description"] == "two"
    iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=READ_ONLY)
    iam.tag_role(RoleName=role, Tags=iam_tags({"a": "1", "b": "2", "c": "3"}))
    iam.untag_role(RoleName=role, TagKeys=["B"])
    got = iam.get_role(RoleName=role)["Role"]
    assert (got["Description"], got["MaxSessionDuration"]) == ("two", 3602)
    assert got["PermissionsBoundary"]["PermissionsBoundaryArn"] == READ_ONLY
    pages = list(iam.get_paginator("list_role_tags").paginate(RoleName=role, PaginationConfig={"PageSize": 1}))
    assert [page["Tags"] for page in pages] == [iam_tags({"a": "1"}), iam_tags({"c": "3"})]
    iam.delete_role_permissions_boundary(RoleName=role)
    iam.update_role(RoleName=role, Description="")
    assert not {"PermissionsBoundary", "Description"} & iam.get_role(RoleName=role)["Role"].keys()
    assert iam.list_instance_profiles_for_role(RoleName=role)["InstanceProfiles"] == []


def test_lists_come_in_pages_and_by_path(iam: IAMClient, identities: Identities) -> None:
    names = [identities.role(path="/listed/")["RoleName"] for _ in range(3)]
    iam.tag_role(RoleName=names[0], Tags=iam_tags({"a": "b"}))
    pages: list[Any] = list(
        iam.get_paginator("list_roles").paginate(PathPrefix="/listed/", PaginationConfig={"PageSize": 2})
    )
    assert [[role["RoleName"] for role in page["Roles"]] for page in pages] == [names[:2], names[2:]]
    # Lists show less than GetRole does.
    assert not {"Tags", "PermissionsBoundary", "RoleLastUsed"} & pages[0]["Roles"][0].keys()
    assert pages[0]["Roles"][0]["AssumeRolePolicyDocument"] == json.loads(TRUST)


def test_a_role_is_not_deleted_while_something_is_attached(iam: IAMClient, identities: Identities) -> None:
    role = identities.role()["RoleName"]
    iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=document(allow()))
    iam.attach_role_policy(RoleName=role, PolicyArn=READ_ONLY)
    ways: list[tuple[str, Callable[[], object]]] = [
        ("must delete policies first", lambda: iam.delete_role_policy(RoleName=role, PolicyName="own")),
        ("must detach all policies first", lambda: iam.detach_role_policy(RoleName=role, PolicyArn=READ_ONLY)),
    ]
    for what, undo in ways:
        assert error_with_status(409, iam.delete_role, RoleName=role) == {
            "Code": "DeleteConflict",
            "Message": f"Cannot delete entity, {what}.",
        }
        undo()
    iam.delete_role(RoleName=role)
    assert error_with_status(404, iam.get_role, RoleName=role)["Code"] == "NoSuchEntity"


@pytest.fixture(scope="module")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IAMClient]:
    """Yield a client of a server of its own, whose account has one identity of each kind."""
    folder = tmp_path_factory.mktemp("populated")
    with running_server(folder / "data", folder / "log") as server:
        yield populate(server)
        assert server.stop() == 0


def populate(server: RunningServer) -> IAMClient:
    iam = client_with(server, "iam", credentials_of(server))
    policy = iam.create_policy(PolicyName="keys", PolicyDocument=document(allow()))["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=document(allow(do="kms:Encrypt")), SetAsDefault=True)
    iam.create_group(GroupName="crew", Path="/ship/")
    iam.put_group_policy(GroupName="crew", PolicyName="own", PolicyDocument=document(allow()))
    iam.attach_group_policy(GroupName="crew", PolicyArn=READ_ONLY)
    iam.create_user(UserName="alice", Tags=iam_tags({"a": "b"}), PermissionsBoundary=policy)
    iam.put_user_policy(UserName="alice", PolicyName="own", PolicyDocument=document(allow()))
    iam.add_user_to_group(UserName="alice", GroupName="crew")
    trust = document(trusts(iam.get_user(UserName="alice")["User"]["Arn"]))
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument=trust, Tags=iam_tags({"c": "d"}))
    iam.attach_role_policy(RoleName="worker", PolicyArn=policy)
    iam.put_role_policy(RoleName="worker", PolicyName="own", PolicyDocument=document(allow()))
    iam.update_user(UserName="alice", NewUserName="alicia")
    return iam


def test_the_details_are_what_was_made(populated: IAMClient) -> None:
    details: Any = populated.get_account_authorization_details()
    (user,), (group,), (role,) = (details[f"{kind}DetailList"] for kind in ("User", "Group", "Role"))
    policies = {policy["PolicyName"]: policy for policy in details["Policies"]}
    own = [{"PolicyName": "own", "PolicyDocument": json.loads(document(allow()))}]
    keys, read_only = policies.pop("keys"), policies.pop("ReadOnlyAccess")
    attached = {
        policy["PolicyName"]: [{"PolicyName": policy["PolicyName"], "PolicyArn": policy["Arn"]}]
        for policy in (keys, read_only)
    }
    assert policies == {}
    shown = populated.get_user(UserName="alicia")["User"]
    assert user == shown | {"UserPolicyList": own, "GroupList": ["crew"], "AttachedManagedPolicies": []}
    shown_group = populated.get_group(GroupName="crew")["Group"]
    assert group == shown_group | {
        "GroupPolicyList": own,
        "AttachedManagedPolicies": attached["ReadOnlyAccess"],
    }
    shown_role: Any = populated.get_role(RoleName="worker")["Role"]
    assert shown_role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"] == [user["Arn"]]
    del shown_role["MaxSessionDuration"]
    assert role == shown_role | {
        "InstanceProfileList": [],
        "RolePolicyList": own,
        "AttachedManagedPolicies": attached["keys"],
    }
    versions = [populated.get_policy_version(PolicyArn=keys["Arn"], VersionId=each) for each in ("v1", "v2")]
    keys["PolicyVersionList"].sort(key=lambda version: version["VersionId"])
    assert keys == populated.get_policy(PolicyArn=keys["Arn"])["Policy"] | {
        "PolicyVersionList": [version["PolicyVersion"] for version in versions]
    }


def test_the_details_come_in_pages_and_by_kind(populated: IAMClient) -> None:
    names = {
        "User": "UserDetailList",
        "Group": "GroupDetailList",
        "Role": "RoleDetailList",
        "LocalManagedPolicy": "Policies",
        "AWSManagedPolicy": "Policies",
    }
    method: Any = populated.get_account_authorization_details
    paginator = populated.get_paginator("get_account_authorization_details")
    pages: list[Any] = list(paginator.paginate(PaginationConfig={"PageSize": 1}))
    lists = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
    assert [sum(len(page[name]) for name in lists) for page in pages] == [1] * 5
    for kind, name in names.items():
        answer = method(Filter=[kind])
        assert [len(answer[each]) for each in lists] == [int(each == name) for each in lists]
    assert error_of(method, Filter=["Nonsense"])["Code"] == "ValidationError"


def test_the_summary_counts(populated: IAMClient) -> None:
    summary: Any = populated.get_account_summary()["SummaryMap"]
    assert {name: summary[name] for name in ("Users", "Groups", "Roles", "Policies")} == {
        "Users": 1,
        "Groups": 1,
        "Roles": 1,
        "Policies": 1,
    }
    assert summary["AccessKeysPerUserQuota"] == 2
    assert (summary["InstanceProfiles"], summary["Providers"]) == (0, 0)
