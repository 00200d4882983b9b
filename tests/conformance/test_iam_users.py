"""Users: making, showing, listing, tagging, limiting, renaming and deleting them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.credentials import Credentials
from mypy_boto3_iam.client import IAMClient

from client_errors import error_of, error_with_status
from clients import client_with
from identities import ACCOUNT, ACCOUNT_ROOT, Identities, iam_tags, new_name
from local_server import RunningServer
from policies import allow, document


def test_a_new_user_is_shown_as_aws_shows_one(iam: IAMClient) -> None:
    made: Any = iam.create_user(UserName="Alice.Example", Path="/staff/", Tags=[{"Key": "team", "Value": "red"}])[
        "User"
    ]
    assert iam.get_user(UserName="alice.example")["User"] == made
    assert re.fullmatch("AIDA[A-Z2-7]{17}", made.pop("UserId"))
    assert made.pop("CreateDate").utcoffset() is not None
    assert made == {
        "UserName": "Alice.Example",
        "Path": "/staff/",
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/staff/Alice.Example",
        "Tags": [{"Key": "team", "Value": "red"}],
    }


def test_a_name_is_taken_whatever_its_case(iam: IAMClient) -> None:
    iam.create_user(UserName="Taken")
    assert error_with_status(409, iam.create_user, UserName="tAKEN", Path="/elsewhere/") == {
        "Code": "EntityAlreadyExists",
        "Message": "User with name tAKEN already exists.",
    }
    iam.create_user(UserName="other")
    assert (
        error_with_status(409, iam.update_user, UserName="other", NewUserName="TAKEN")["Code"] == "EntityAlreadyExists"
    )
    iam.update_user(UserName="Taken", NewUserName="taken")
    assert iam.get_user(UserName="Taken")["User"]["UserName"] == "taken"


@pytest.mark.parametrize(
    ("arguments", "clause"),
    [
        ({"UserName": "a b"}, r"Value 'a b' at 'userName' failed to satisfy constraint: Member must satisfy regular"),
        ({"UserName": "h\u00e9l\u00e8ne"}, "at 'userName' failed to satisfy constraint"),
        ({"UserName": ""}, "Member must have length greater than or equal to 1"),
        ({"UserName": "a" * 65}, "Member must have length less than or equal to 64"),
        ({"UserName": "a", "Path": "staff"}, "at 'path' failed to satisfy constraint"),
        ({"UserName": "a", "Path": "/staff"}, "at 'path' failed to satisfy constraint"),
        ({"UserName": "a", "Path": "/" + "a" * 511 + "/"}, "Member must have length less than or equal to 512"),
        ({"UserName": "a", "Tags": [{"Key": "", "Value": ""}]}, "at 'tags.1.member.key' failed to satisfy constraint"),
        ({"UserName": "a", "Tags": [{"Key": "aws:a", "Value": ""}]}, "aws:"),
        ({}, "Value null at 'userName' failed to satisfy constraint: Member must not be null"),
    ],
)
def test_users_that_cannot_be_made(iam: IAMClient, arguments: dict[str, Any], clause: str) -> None:
    refusal = error_of(iam.create_user, **arguments)
    assert refusal["Code"] == "ValidationError"
    assert clause in refusal["Message"]


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("get_user", {}),
        ("update_user", {"NewUserName": "other"}),
        ("delete_user", {}),
        ("tag_user", {"Tags": [{"Key": "a", "Value": "b"}]}),
        ("untag_user", {"TagKeys": ["a"]}),
        ("list_user_tags", {}),
        ("put_user_permissions_boundary", {"PermissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        ("delete_user_permissions_boundary", {}),
        ("create_access_key", {}),
        ("list_access_keys", {}),
        ("update_access_key", {"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA", "Status": "Active"}),
        ("delete_access_key", {"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA"}),
        ("list_groups_for_user", {}),
        ("put_user_policy", {"PolicyName": "p", "PolicyDocument": document(allow())}),
        ("get_user_policy", {"PolicyName": "p"}),
        ("delete_user_policy", {"PolicyName": "p"}),
        ("list_user_policies", {}),
        ("attach_user_policy", {"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        ("detach_user_policy", {"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        ("list_attached_user_policies", {}),
    ],
)
def test_a_user_that_is_not_there(iam: IAMClient, operation: str, arguments: dict[str, Any]) -> None:
    assert error_with_status(404, getattr(iam, operation), UserName="absent", **arguments) == {
        "Code": "NoSuchEntity",
        "Message": "The user with name absent cannot be found.",
    }


def test_lists_come_in_pages_and_by_path(iam: IAMClient) -> None:
    names = [f"Paged-{letter}" for letter in "aBcDe"]
    for name in reversed(names):
        iam.create_user(UserName=name, Path="/pages/one/", Tags=[{"Key": "a", "Value": "b"}])
    iam.create_user(UserName="Paged-z", Path="/pages/two/")
    iam.create_user(UserName="Paged-y", Path="/PAGES/one/")
    paginator = iam.get_paginator("list_users")
    pages = list(paginator.paginate(PathPrefix="/pages/one/", PaginationConfig={"PageSize": 2}))
    assert [[user["UserName"] for user in page["Users"]] for page in pages] == [names[:2], names[2:4], names[4:]]
    assert [page["IsTruncated"] for page in pages] == [True, True, False]
    everyone = iam.list_users(PathPrefix="/pages/")["Users"]
    assert [user["UserName"] for user in everyone] == [*names, "Paged-z"]
    # Lists show less than GetUser does.
    assert "Tags" not in everyone[0]
    assert "Paged-y" in {user["UserName"] for page in paginator.paginate() for user in page["Users"]}
    marker = pages[0]["Marker"]
    assert error_of(iam.list_users, PathPrefix="/pages/", Marker=marker)["Code"] == "ValidationError"
    assert error_of(iam.list_users, MaxItems=1001)["Code"] == "ValidationError"
    assert error_of(iam.list_users, MaxItems=0)["Code"] == "ValidationError"


def test_pages_go_on_under_the_longest_paths(iam: IAMClient) -> None:
    path = "/" + "p" * 510 + "/"
    names = ["n" * 63 + str(number) for number in range(3)]
    for name in names:
        iam.create_user(UserName=name, Path=path)
    pages = iam.get_paginator("list_users").paginate(PathPrefix=path, PaginationConfig={"PageSize": 1})
    assert [user["UserName"] for page in pages for user in page["Users"]] == names


def test_tags_are_put_changed_and_taken_away(iam: IAMClient, identities: Identities) -> None:
    name = identities.user(tags={"Team": "red"}).name
    iam.tag_user(UserName=name, Tags=iam_tags({"team": "blue", "cost": ""}))
    assert iam.list_user_tags(UserName=name)["Tags"] == iam_tags({"cost": "", "team": "blue"})
    iam.untag_user(UserName=name, TagKeys=["TEAM", "never there"])
    assert iam.get_user(UserName=name)["User"]["Tags"] == iam_tags({"cost": ""})
    iam.tag_user(UserName=name, Tags=iam_tags({f"t{number:02}": "x" for number in range(49)}))
    pages = list(iam.get_paginator("list_user_tags").paginate(UserName=name, PaginationConfig={"PageSize": 20}))
    assert [len(page["Tags"]) for page in pages] == [20, 20, 10]
    assert error_with_status(409, iam.tag_user, UserName=name, Tags=iam_tags({"more": ""}))["Code"] == "LimitExceeded"
    assert error_of(iam.tag_user, UserName=name, Tags=iam_tags({"a": "", "A": ""})) == {
        "Code": "InvalidInput",
        "Message": "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
    }
    for key in ("AWS:a", "a&b", "a\tb"):
        assert error_of(iam.tag_user, UserName=name, Tags=iam_tags({key: ""}))["Code"] == "ValidationError"


def test_a_boundary_is_shown_and_taken_away(iam: IAMClient, identities: Identities) -> None:
    arn = identities.policy(allow())
    name = new_name("user")
    made = iam.create_user(UserName=name, PermissionsBoundary=arn)["User"]
    shown = {"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": arn}
    assert made["PermissionsBoundary"] == shown
    iam.delete_user_permissions_boundary(UserName=name)
    assert "PermissionsBoundary" not in iam.get_user(UserName=name)["User"]
    iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary="arn:aws:iam::aws:policy/ReadOnlyAccess")
    boundary = iam.get_user(UserName=name)["User"]["PermissionsBoundary"]
    assert boundary["PermissionsBoundaryArn"] == "arn:aws:iam::aws:policy/ReadOnlyAccess"
    missing = f"arn:aws:iam::{ACCOUNT}:policy/missing"
    for call in (iam.put_user_permissions_boundary, iam.create_user):
        user = name if call == iam.put_user_permissions_boundary else new_name("user")
        refusal = error_with_status(404, call, UserName=user, PermissionsBoundary=missing)
        assert refusal["Code"] == "NoSuchEntity"


def test_a_user_is_not_deleted_while_something_is_attached(iam: IAMClient, identities: Identities) -> None:
    user, group, policy = identities.user(allow()), identities.group(), identities.policy(allow())
    iam.add_user_to_group(UserName=user.name, GroupName=group)
    iam.attach_user_policy(UserName=user.name, PolicyArn=policy)
    ways: list[tuple[str, Callable[[], object]]] = [
        (
            "must delete access keys first",
            lambda: iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id),
        ),
        ("must delete policies first", lambda: iam.delete_user_policy(UserName=user.name, PolicyName="own")),
        ("must detach all policies first", lambda: iam.detach_user_policy(UserName=user.name, PolicyArn=policy)),
        ("must remove users from group first", lambda: iam.remove_user_from_group(UserName=user.name, GroupName=group)),
    ]
    for what, undo in ways:
        assert error_with_status(409, iam.delete_user, UserName=user.name) == {
            "Code": "DeleteConflict",
            "Message": f"Cannot delete entity, {what}.",
        }
        undo()
    iam.delete_user(UserName=user.name)
    assert error_with_status(404, iam.get_user, UserName=user.name)["Code"] == "NoSuchEntity"


def test_without_a_name_the_caller_is_meant(iam: IAMClient, identities: Identities) -> None:
    root: Any = iam.get_user()["User"]
    assert (root["Arn"], root["UserId"], "UserName" in root) == (ACCOUNT_ROOT, ACCOUNT, False)
    user = identities.user(allow(do="iam:GetUser"))
    assert user.iam.get_user()["User"]["UserId"] == user.user_id


def test_a_session_of_a_role_has_to_name_whom_it_means(
    server: RunningServer, iam: IAMClient, identities: Identities
) -> None:
    role = identities.role("*")
    policy = document(allow(do="iam:*"))
    iam.put_role_policy(RoleName=role["RoleName"], PolicyName="own", PolicyDocument=policy)
    user = identities.user(allow(do="sts:AssumeRole"))
    key = user.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
    session = client_with(server, "iam", Credentials(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"]))
    for call in (session.get_user, session.create_access_key, session.list_access_keys):
        assert error_of(call) == {
            "Code": "ValidationError",
            "Message": "Must specify userName when calling with non-User credentials",
        }
    assert session.get_user(UserName=user.name)["User"]["UserId"] == user.user_id


def test_a_new_name_and_path_keep_the_user(iam: IAMClient, identities: Identities) -> None:
    user = identities.user(allow(do="iam:GetUser"), tags={"a": "b"})
    iam.update_user(UserName=user.name, NewUserName=f"{user.name}-new", NewPath="/moved/")
    found = user.iam.get_user()["User"]
    assert found["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/moved/{user.name}-new"
    assert (found["UserId"], found["Tags"]) == (user.user_id, iam_tags({"a": "b"}))
    assert error_with_status(404, iam.get_user, UserName=user.name)["Code"] == "NoSuchEntity"
