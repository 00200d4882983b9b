"""Groups and their members."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient

from client_errors import error_of, error_with_status
from identities import ACCOUNT, Identities, new_name
from policies import allow


def test_a_new_group_is_shown_as_aws_shows_one(iam: IAMClient) -> None:
    made: Any = iam.create_group(GroupName="Crew", Path="/ship/")["Group"]
    answer: Any = iam.get_group(GroupName="crew")
    assert (answer["Group"], answer["Users"], answer["IsTruncated"]) == (made, [], False)
    assert re.fullmatch("AGPA[A-Z2-7]{17}", made.pop("GroupId"))
    assert made.pop("CreateDate").utcoffset() is not None
    assert made == {"GroupName": "Crew", "Path": "/ship/", "Arn": f"arn:aws:iam::{ACCOUNT}:group/ship/Crew"}
    assert error_with_status(409, iam.create_group, GroupName="CREW") == {
        "Code": "EntityAlreadyExists",
        "Message": "Group with name CREW already exists.",
    }
    assert error_of(iam.create_group, GroupName="a/b")["Code"] == "ValidationError"
    assert error_of(iam.create_group, GroupName="a", Path="ship")["Code"] == "ValidationError"


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("get_group", {}),
        ("update_group", {"NewGroupName": "something"}),
        ("delete_group", {}),
        ("get_group_policy", {"PolicyName": "p"}),
        ("delete_group_policy", {"PolicyName": "p"}),
        ("list_group_policies", {}),
        ("attach_group_policy", {"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        ("detach_group_policy", {"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
        ("list_attached_group_policies", {}),
    ],
)
def test_a_group_that_is_not_there(iam: IAMClient, operation: str, arguments: dict[str, str]) -> None:
    assert error_with_status(404, getattr(iam, operation), GroupName="nothing", **arguments) == {
        "Code": "NoSuchEntity",
        "Message": "The group with name nothing cannot be found.",
    }


def test_members_come_in_pages_and_leave(iam: IAMClient, identities: Identities) -> None:
    group = identities.group()
    users = [identities.user().name for _ in range(3)]
    for name in users:
        iam.add_user_to_group(GroupName=group, UserName=name)
    iam.add_user_to_group(GroupName=group, UserName=users[0])
    pages = list(iam.get_paginator("get_group").paginate(GroupName=group, PaginationConfig={"PageSize": 2}))
    assert [[user["UserName"] for user in page["Users"]] for page in pages] == [users[:2], users[2:]]
    iam.remove_user_from_group(GroupName=group, UserName=users[1])
    iam.remove_user_from_group(GroupName=group, UserName=users[1])
    assert [user["UserName"] for user in iam.get_group(GroupName=group)["Users"]] == [users[0], users[2]]
    for call in (iam.add_user_to_group, iam.remove_user_from_group):
        for names in ({"GroupName": group, "UserName": "nobody"}, {"GroupName": "nothing", "UserName": users[0]}):
            assert error_with_status(404, call, **names)["Code"] == "NoSuchEntity"


def test_a_user_is_in_ten_groups_at_most(iam: IAMClient, identities: Identities) -> None:
    user = identities.user().name
    groups = [identities.group() for _ in range(11)]
    for group in groups[:10]:
        iam.add_user_to_group(GroupName=group, UserName=user)
    assert error_with_status(409, iam.add_user_to_group, GroupName=groups[10], UserName=user) == {
        "Code": "LimitExceeded",
        "Message": "Cannot exceed quota for GroupsPerUser: 10",
    }
    paginator = iam.get_paginator("list_groups_for_user")
    pages = list(paginator.paginate(UserName=user, PaginationConfig={"PageSize": 4}))
    assert [len(page["Groups"]) for page in pages] == [4, 4, 2]
    assert [group["GroupName"] for page in pages for group in page["Groups"]] == groups[:10]


def test_lists_come_in_pages_and_by_path(iam: IAMClient) -> None:
    names = [new_name("listed") for _ in range(3)]
    for name in names:
        iam.create_group(GroupName=name, Path="/groups/")
    pages = iam.get_paginator("list_groups").paginate(PathPrefix="/groups/", PaginationConfig={"PageSize": 1})
    assert [[group["GroupName"] for group in page["Groups"]] for page in pages] == [[name] for name in names]
    assert iam.list_groups(PathPrefix="/GROUPS/")["Groups"] == []


def test_a_new_name_keeps_members_and_policies(iam: IAMClient, identities: Identities) -> None:
    group, user = identities.group(allow(do="kms:ListKeys")), identities.user()
    iam.add_user_to_group(GroupName=group, UserName=user.name)
    user.kms.list_keys()
    iam.update_group(GroupName=group, NewGroupName=f"{group}-new", NewPath="/moved/")
    user.kms.list_keys()
    found = iam.get_group(GroupName=f"{group}-NEW")
    assert found["Group"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:group/moved/{group}-new"
    assert [each["UserName"] for each in found["Users"]] == [user.name]
    iam.update_group(GroupName=f"{group}-new", NewGroupName=f"{group}-NEW")
    assert [each["GroupName"] for each in iam.list_groups_for_user(UserName=user.name)["Groups"]] == [f"{group}-NEW"]
    user.kms.list_keys()
    other = identities.group()
    assert error_with_status(409, iam.update_group, GroupName=other, NewGroupName=f"{group}-New")["Code"] == (
        "EntityAlreadyExists"
    )
    assert error_with_status(404, iam.get_group, GroupName=group)["Code"] == "NoSuchEntity"


def test_a_group_is_not_deleted_while_something_is_attached(iam: IAMClient, identities: Identities) -> None:
    group, user, policy = identities.group(allow()), identities.user(), identities.policy(allow())
    iam.add_user_to_group(GroupName=group, UserName=user.name)
    iam.attach_group_policy(GroupName=group, PolicyArn=policy)
    ways: list[tuple[str, Callable[[], object]]] = [
        ("must remove users from group first", lambda: iam.remove_user_from_group(GroupName=group, UserName=user.name)),
        ("must delete policies first", lambda: iam.delete_group_policy(GroupName=group, PolicyName="own")),
        ("must detach all policies first", lambda: iam.detach_group_policy(GroupName=group, PolicyArn=policy)),
    ]
    for what, undo in ways:
        assert error_with_status(409, iam.delete_group, GroupName=group) == {
            "Code": "DeleteConflict",
            "Message": f"Cannot delete entity, {what}.",
        }
        undo()
    iam.delete_group(GroupName=group)
    assert error_with_status(404, iam.get_group, GroupName=group)["Code"] == "NoSuchEntity"


@pytest.mark.parametrize("path", ["/x:user/y/", "/arn:aws:iam::000000000000:user/"])
def test_a_group_whose_path_looks_like_a_users_arn_has_members(
    iam: IAMClient, identities: Identities, path: str
) -> None:
    name, user = new_name("group"), identities.user().name
    iam.create_group(GroupName=name, Path=path)
    iam.add_user_to_group(GroupName=name, UserName=user)
    assert [each["UserName"] for each in iam.get_group(GroupName=name)["Users"]] == [user]
    iam.remove_user_from_group(GroupName=name, UserName=user)
    assert iam.get_group(GroupName=name)["Users"] == []
