"""Instance profiles, with the calls that Terraform and scripts make for them."""

import re
from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient

from accounts import Account, last_record
from client_errors import error_with_status
from identities import ACCOUNT, Identities, iam_tags, new_name
from local_server import RunningServer
from policies import allow


def arn_of(name: str, path: str = "/") -> str:
    return f"arn:aws:iam::{ACCOUNT}:instance-profile{path}{name}"


def new_profile(iam: IAMClient, **more: Any) -> str:
    name = new_name("profile")
    iam.create_instance_profile(InstanceProfileName=name, **more)
    return name


def roles_in(iam: IAMClient, profile: str) -> list[str]:
    roles = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    return [role["RoleName"] for role in roles]


def test_the_calls_of_terraform(iam: IAMClient, identities: Identities) -> None:
    """In the order in which the resource aws_iam_instance_profile makes them, from its creation to its end."""
    name, role, other = new_name("profile"), identities.role(), identities.role(path="/app/")
    tags = iam_tags({"Name": "web", "team": "red"})
    made = iam.create_instance_profile(InstanceProfileName=name, Path="/web/", Tags=tags)["InstanceProfile"]
    assert made["Arn"] == arn_of(name, "/web/")
    assert re.fullmatch(r"AIPA[A-Z2-7]{17}", made["InstanceProfileId"])
    assert made["Roles"] == []
    assert made["Tags"] == tags
    assert iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"] == made
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role["RoleName"])
    read = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    assert {key: value for key, value in read.items() if key != "Roles"} == {
        key: value for key, value in made.items() if key != "Roles"
    }
    assert [(each["RoleName"], each["RoleId"], each["Arn"]) for each in read["Roles"]] == [
        (role["RoleName"], role["RoleId"], role["Arn"])
    ]
    assert read["Roles"][0]["AssumeRolePolicyDocument"] == role["AssumeRolePolicyDocument"]
    iam.get_role(RoleName=role["RoleName"])
    # Another role, and other tags.
    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role["RoleName"])
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=other["RoleName"])
    iam.untag_instance_profile(InstanceProfileName=name, TagKeys=["team"])
    iam.tag_instance_profile(InstanceProfileName=name, Tags=iam_tags({"Name": "app"}))
    assert iam.list_instance_profile_tags(InstanceProfileName=name)["Tags"] == iam_tags({"Name": "app"})
    assert roles_in(iam, name) == [other["RoleName"]]
    # The end.
    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=other["RoleName"])
    iam.delete_instance_profile(InstanceProfileName=name)
    missing = {"Code": "NoSuchEntity", "Message": f"Instance Profile {name} cannot be found."}
    assert error_with_status(404, iam.get_instance_profile, InstanceProfileName=name) == missing
    assert error_with_status(404, iam.delete_instance_profile, InstanceProfileName=name) == missing


def test_names_are_unique_without_regard_to_case(iam: IAMClient) -> None:
    name = new_profile(iam)
    for again in (name, name.upper()):
        assert error_with_status(409, iam.create_instance_profile, InstanceProfileName=again) == {
            "Code": "EntityAlreadyExists",
            "Message": f"Instance Profile {again} already exists.",
        }
    assert iam.get_instance_profile(InstanceProfileName=name.upper())["InstanceProfile"]["Arn"] == arn_of(name)
    # A role may have the name of a profile.
    assert error_with_status(404, iam.get_role, RoleName=name)["Code"] == "NoSuchEntity"


def test_a_profile_has_one_role(iam: IAMClient, identities: Identities) -> None:
    profile, role, other = new_profile(iam), identities.role()["RoleName"], identities.role()["RoleName"]
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    for again in (role, other):
        refusal = error_with_status(409, iam.add_role_to_instance_profile, InstanceProfileName=profile, RoleName=again)
        assert refusal == {
            "Code": "LimitExceeded",
            "Message": "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1",
        }
    assert roles_in(iam, profile) == [role]


def test_roles_that_are_not_there(iam: IAMClient, identities: Identities) -> None:
    profile, role = new_profile(iam), identities.role()["RoleName"]
    for call in (iam.add_role_to_instance_profile, iam.remove_role_from_instance_profile):
        assert error_with_status(404, call, InstanceProfileName=profile, RoleName="nothing") == {
            "Code": "NoSuchEntity",
            "Message": "The role with name nothing cannot be found.",
        }
        assert error_with_status(404, call, InstanceProfileName="no-profile", RoleName=role) == {
            "Code": "NoSuchEntity",
            "Message": "Instance Profile no-profile cannot be found.",
        }
    refusal = error_with_status(404, iam.remove_role_from_instance_profile, InstanceProfileName=profile, RoleName=role)
    assert refusal["Code"] == "NoSuchEntity"


def test_what_is_in_use_is_not_deleted(iam: IAMClient, identities: Identities) -> None:
    profile, role = new_profile(iam), identities.role()["RoleName"]
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    conflict = {
        "Code": "DeleteConflict",
        "Message": "Cannot delete entity, must remove roles from instance profile first.",
    }
    assert error_with_status(409, iam.delete_instance_profile, InstanceProfileName=profile) == conflict
    assert error_with_status(409, iam.delete_role, RoleName=role) == conflict
    iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role)
    iam.delete_role(RoleName=role)
    iam.delete_instance_profile(InstanceProfileName=profile)


def test_lists(server: RunningServer) -> None:
    account = Account(server, "333322221111")
    iam = account.iam
    trust = '{"Statement":{"Effect":"Allow","Principal":{"AWS":"333322221111"},"Action":"sts:AssumeRole"}}'
    iam.create_role(RoleName="web", AssumeRolePolicyDocument=trust)
    for number in range(5):
        path = "/web/" if number % 2 else "/"
        iam.create_instance_profile(InstanceProfileName=f"p{number}", Path=path, Tags=iam_tags({"a": "b"}))
    for name in ("p3", "p1"):
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName="web")

    def names(operation: Any, **request: Any) -> list[str]:
        paginator: Any = iam.get_paginator(operation)
        pages = paginator.paginate(**request, PaginationConfig={"PageSize": 2})
        profiles = [profile for page in pages for profile in page["InstanceProfiles"]]
        assert all("Tags" not in profile for profile in profiles)
        return [profile["InstanceProfileName"] for profile in profiles]

    assert names("list_instance_profiles") == ["p0", "p1", "p2", "p3", "p4"]
    assert names("list_instance_profiles", PathPrefix="/web/") == ["p1", "p3"]
    assert names("list_instance_profiles_for_role", RoleName="web") == ["p1", "p3"]
    assert error_with_status(404, iam.list_instance_profiles_for_role, RoleName="x")["Code"] == "NoSuchEntity"
    page = iam.list_instance_profiles_for_role(RoleName="web", MaxItems=1)
    assert page["IsTruncated"]
    details = iam.get_account_authorization_details(Filter=["Role"])["RoleDetailList"]
    (role,) = (each for each in details if each["RoleName"] == "web")
    assert [each["InstanceProfileName"] for each in role["InstanceProfileList"]] == ["p1", "p3"]
    summary: Any = iam.get_account_summary()["SummaryMap"]
    assert (summary["InstanceProfiles"], summary["Roles"]) == (5, 1)


def test_passing_a_role_needs_permission(identities: Identities, iam: IAMClient) -> None:
    profile, role = new_profile(iam), identities.role()
    request = {"InstanceProfileName": profile, "RoleName": role["RoleName"]}
    add = allow(do="iam:AddRoleToInstanceProfile")
    refusal = error_with_status(403, identities.user(add).iam.add_role_to_instance_profile, **request)
    assert f"is not authorized to perform: iam:PassRole on resource: {role['Arn']}" in refusal["Message"]
    instances = f"arn:aws:ec2:*:{ACCOUNT}:instance/*"
    for service, where, passes in (
        ("lambda.amazonaws.com", instances, False),
        ("ec2.amazonaws.com", "arn:aws:ec2:us-east-1:*:instance/i-1", False),
        ("ec2.amazonaws.com", instances, True),
    ):
        to = {"StringEquals": {"iam:PassedToService": service}, "ArnLike": {"iam:AssociatedResourceArn": where}}
        user = identities.user(add, allow(do="iam:PassRole", on=role["Arn"], when=to))
        if passes:
            user.iam.add_role_to_instance_profile(**request)
        else:
            assert error_with_status(403, user.iam.add_role_to_instance_profile, **request)["Code"] == "AccessDenied"


def test_tags_need_permission_of_their_own_and_decide(identities: Identities, iam: IAMClient) -> None:
    maker = identities.user(allow(do="iam:CreateInstanceProfile"))
    tags = iam_tags({"team": "red"})
    refusal = error_with_status(
        403, maker.iam.create_instance_profile, InstanceProfileName=new_name("profile"), Tags=tags
    )
    assert "iam:TagInstanceProfile" in refusal["Message"]
    red, blue = new_profile(iam, Tags=tags), new_profile(iam)
    lead = identities.user(
        allow(do="iam:DeleteInstanceProfile", when={"StringEquals": {"aws:ResourceTag/team": "red"}})
    )
    lead.iam.delete_instance_profile(InstanceProfileName=red)
    assert error_with_status(403, lead.iam.delete_instance_profile, InstanceProfileName=blue)["Code"] == "AccessDenied"


@pytest.mark.parametrize(
    "request_",
    [{"InstanceProfileName": ""}, {"InstanceProfileName": "a b"}, {"InstanceProfileName": "p", "Path": "web"}, {}],
)
def test_requests_that_are_not_valid(iam: IAMClient, request_: dict[str, str]) -> None:
    assert error_with_status(400, iam.create_instance_profile, **request_)["Code"] == "ValidationError"


def test_the_audit_record(server: RunningServer, iam: IAMClient, identities: Identities) -> None:
    profile, role = new_profile(iam), identities.role()["RoleName"]
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    record = last_record(server)
    assert record["eventName"] == "AddRoleToInstanceProfile"
    assert record["requestParameters"] == {"instanceProfileName": profile, "roleName": role}
