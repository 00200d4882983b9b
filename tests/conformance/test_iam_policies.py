"""Inline and managed policies: valid documents, their form in responses, and their quotas."""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from mypy_boto3_iam.client import IAMClient

from client_errors import error_of, error_with_status
from clients import client_with, credentials_of
from identities import ACCOUNT, Identities, iam_tags, new_name
from local_server import RunningServer
from policies import allow, document

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
KINDS = ("user", "group", "role")


def holder(identities: Identities, kind: str) -> dict[str, str]:
    """Return the argument that names a new user, group or role."""
    match kind:
        case "user":
            return {"UserName": identities.user().name}
        case "group":
            return {"GroupName": identities.group()}
        case _:
            return {"RoleName": identities.role()["RoleName"]}


def method(iam: IAMClient, kind: str, name: str) -> Callable[..., Any]:
    """Return a client's method; ``?`` stands for user, group or role."""
    found: Callable[..., Any] = getattr(iam, name.replace("?", kind))
    return found


def sized(size: int) -> str:
    """Return a document of exactly this many characters."""
    empty = document(allow(on="arn:aws:kms:*:*:HERE"))
    packed = "".join(empty.split())
    return empty.replace("HERE", "x" * (size - len(packed) + len("HERE")))


@pytest.mark.parametrize("kind", KINDS)
def test_inline_policies(iam: IAMClient, identities: Identities, kind: str) -> None:
    who, call = holder(identities, kind), partial(method, iam, kind)
    text = document(allow(do="kms:Encrypt", on="*", when={"StringEquals": {"aws:username": "\u00e9 & <b> %41"}}))
    for name in ("b", "a", "c"):
        call("put_?_policy")(**who, PolicyName=name, PolicyDocument=text)
    call("put_?_policy")(**who, PolicyName="b", PolicyDocument=document(allow(do="kms:Decrypt")))
    got = call("get_?_policy")(**who, PolicyName="a")
    assert got["PolicyDocument"] == json.loads(text)
    assert {name: got[name] for name in who} == who
    assert call("get_?_policy")(**who, PolicyName="b")["PolicyDocument"]["Statement"][0]["Action"] == "kms:Decrypt"
    pages = list(call("get_paginator")(f"list_{kind}_policies").paginate(**who, PaginationConfig={"PageSize": 2}))
    assert [page["PolicyNames"] for page in pages] == [["a", "b"], ["c"]]
    call("delete_?_policy")(**who, PolicyName="a")
    for verb in ("get_?_policy", "delete_?_policy"):
        assert error_with_status(404, call(verb), **who, PolicyName="a") == {
            "Code": "NoSuchEntity",
            "Message": f"The {kind} policy with name a cannot be found.",
        }


@pytest.mark.parametrize(("kind", "limit"), [("user", 2048), ("group", 5120), ("role", 10240)])
def test_inline_policies_have_room_together(iam: IAMClient, identities: Identities, kind: str, limit: int) -> None:
    who, put = holder(identities, kind), getattr(iam, f"put_{kind}_policy")
    half = limit // 2
    put(**who, PolicyName="one", PolicyDocument=sized(half) + " " * 500)
    put(**who, PolicyName="two", PolicyDocument=sized(limit - half))
    put(**who, PolicyName="two", PolicyDocument=sized(limit - half))
    assert error_with_status(409, put, **who, PolicyName="two", PolicyDocument=sized(limit - half + 1)) == {
        "Code": "LimitExceeded",
        "Message": f"Maximum policy size of {limit} bytes exceeded for {kind} {next(iter(who.values()))}",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Syntax errors in policy."),
        ("{}", "Syntax errors in policy."),
        ('{"Version":"2012-10-17","Statement":[]}', "Syntax errors in policy."),
        (document(allow(), version="2013-01-01"), "The policy must contain a valid version string."),
        (document(allow("*")), "Policy document should not specify a principal."),
        (
            document(allow(do="Encrypt")),
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        ('{"Statement":{"Effect":"Allow","Resource":"*"}}', "Policy statement must contain actions."),
        ('{"Statement":{"Effect":"Allow","Action":"*"}}', "Policy statement must contain resources."),
        (document(allow(when={"StringSame": {"aws:a": "b"}})), "Invalid Condition type : StringSame."),
    ],
)
def test_documents_that_are_no_policies(iam: IAMClient, identities: Identities, text: str, message: str) -> None:
    refusal = {"Code": "MalformedPolicyDocument", "Message": message}
    user, arn = identities.user().name, identities.policy(allow())
    assert error_of(iam.put_user_policy, UserName=user, PolicyName="p", PolicyDocument=text) == refusal
    assert error_of(iam.create_policy, PolicyName=new_name("policy"), PolicyDocument=text) == refusal
    assert error_of(iam.create_policy_version, PolicyArn=arn, PolicyDocument=text) == refusal


def test_a_new_policy_is_shown_as_aws_shows_one(iam: IAMClient) -> None:
    made: Any = iam.create_policy(
        PolicyName="Keys",
        Path="/sec/ops/",
        PolicyDocument=document(allow()),
        Description="about keys",
        Tags=iam_tags({"team": "red"}),
    )["Policy"]
    got: Any = iam.get_policy(PolicyArn=made["Arn"])["Policy"]
    assert got == made
    assert re.fullmatch("ANPA[A-Z2-7]{17}", got.pop("PolicyId"))
    assert got.pop("CreateDate") == got.pop("UpdateDate")
    assert got == {
        "PolicyName": "Keys",
        "Path": "/sec/ops/",
        "Arn": f"arn:aws:iam::{ACCOUNT}:policy/sec/ops/Keys",
        "DefaultVersionId": "v1",
        "AttachmentCount": 0,
        "PermissionsBoundaryUsageCount": 0,
        "IsAttachable": True,
        "Description": "about keys",
        "Tags": iam_tags({"team": "red"}),
    }
    assert error_with_status(409, iam.create_policy, PolicyName="kEYS", PolicyDocument=document(allow())) == {
        "Code": "EntityAlreadyExists",
        "Message": "A policy called kEYS already exists. Duplicate names are not allowed.",
    }
    for wrong in ({"PolicyName": "a b"}, {"PolicyName": "a", "Path": "sec"}, {"PolicyName": "a" * 129}):
        refusal = error_of(iam.create_policy, PolicyDocument=document(allow()), **wrong)
        assert refusal["Code"] == "ValidationError"
    listed: Any = iam.list_policies(Scope="Local", PathPrefix="/sec/")["Policies"]
    assert [each["Arn"] for each in listed] == [made["Arn"]]
    assert not {"Description", "Tags"} & listed[0].keys()


def test_a_managed_policy_has_room_for_6144_characters(iam: IAMClient) -> None:
    iam.create_policy(PolicyName=new_name("policy"), PolicyDocument=sized(6144))
    assert error_with_status(409, iam.create_policy, PolicyName=new_name("policy"), PolicyDocument=sized(6145)) == {
        "Code": "LimitExceeded",
        "Message": "Cannot exceed quota for PolicySize: 6144",
    }


def test_versions(iam: IAMClient, identities: Identities) -> None:
    arn = identities.policy(allow(do="kms:Version1"))
    for number in range(2, 6):
        made: Any = iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=document(allow(do=f"kms:Version{number}")), SetAsDefault=number == 3
        )["PolicyVersion"]
        assert (made["VersionId"], made["IsDefaultVersion"]) == (f"v{number}", number == 3)
    assert error_with_status(409, iam.create_policy_version, PolicyArn=arn, PolicyDocument=document(allow())) == {
        "Code": "LimitExceeded",
        "Message": "A managed policy can have up to 5 versions. Before you create a new version, "
        "you must delete an existing version.",
    }
    pages = list(iam.get_paginator("list_policy_versions").paginate(PolicyArn=arn, PaginationConfig={"PageSize": 2}))
    listed: list[Any] = [version for page in pages for version in page["Versions"]]
    assert [version["VersionId"] for version in listed] == ["v5", "v4", "v3", "v2", "v1"]
    assert not any("Document" in version for version in listed)
    got: Any = iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]
    assert got["Document"]["Statement"][0]["Action"] == "kms:Version2"
    assert error_with_status(409, iam.delete_policy_version, PolicyArn=arn, VersionId="v3") == {
        "Code": "DeleteConflict",
        "Message": "Cannot delete the default version of a policy.",
    }
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v5")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v5"
    for number in (1, 2, 3, 4):
        assert error_with_status(409, iam.delete_policy, PolicyArn=arn)["Code"] == "DeleteConflict"
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number}")
    assert error_with_status(404, iam.get_policy_version, PolicyArn=arn, VersionId="v1") == {
        "Code": "NoSuchEntity",
        "Message": f"Policy {arn} version v1 does not exist or is not attachable.",
    }
    assert (
        error_with_status(404, iam.set_default_policy_version, PolicyArn=arn, VersionId="v9")["Code"] == "NoSuchEntity"
    )
    assert error_of(iam.get_policy_version, PolicyArn=arn, VersionId="5")["Code"] == "ValidationError"
    # Version numbers are never reused.
    made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(allow()))["PolicyVersion"]
    assert made["VersionId"] == "v6"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v6")
    iam.delete_policy(PolicyArn=arn)
    assert error_with_status(404, iam.get_policy, PolicyArn=arn) == {
        "Code": "NoSuchEntity",
        "Message": f"Policy {arn} was not found.",
    }


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("get_policy", {}),
        ("delete_policy", {}),
        ("create_policy_version", {"PolicyDocument": document(allow())}),
        ("get_policy_version", {"VersionId": "v1"}),
        ("list_policy_versions", {}),
        ("set_default_policy_version", {"VersionId": "v1"}),
        ("delete_policy_version", {"VersionId": "v1"}),
        ("tag_policy", {"Tags": []}),
        ("untag_policy", {"TagKeys": []}),
        ("list_policy_tags", {}),
        ("list_entities_for_policy", {}),
    ],
)
def test_a_policy_that_is_not_there(iam: IAMClient, operation: str, arguments: dict[str, Any]) -> None:
    iam_call = getattr(iam, operation)
    for arn in (f"arn:aws:iam::{ACCOUNT}:policy/missing", "arn:aws:iam::999999999999:policy/missing"):
        assert error_with_status(404, iam_call, PolicyArn=arn, **arguments)["Code"] == "NoSuchEntity"


def test_aws_policies_can_be_read_and_not_changed(iam: IAMClient) -> None:
    assert iam.get_policy(PolicyArn=READ_ONLY)["Policy"]["PolicyName"] == "ReadOnlyAccess"
    version: Any = iam.get_policy_version(PolicyArn=READ_ONLY, VersionId="v1")["PolicyVersion"]
    assert version["Document"]["Statement"][0]["Effect"] == "Allow"
    assert [each["VersionId"] for each in iam.list_policy_versions(PolicyArn=READ_ONLY)["Versions"]] == ["v1"]
    assert iam.list_policy_tags(PolicyArn=READ_ONLY)["Tags"] == []
    for call, arguments in (
        (iam.delete_policy, {}),
        (iam.create_policy_version, {"PolicyDocument": document(allow())}),
        (iam.set_default_policy_version, {"VersionId": "v1"}),
        (iam.delete_policy_version, {"VersionId": "v1"}),
        (iam.tag_policy, {"Tags": iam_tags({"a": "b"})}),
    ):
        assert error_with_status(403, call, PolicyArn=READ_ONLY, **arguments)["Code"] == "AccessDenied"


def test_lists_of_policies_by_scope_use_and_page(iam: IAMClient, identities: Identities) -> None:
    arns = [identities.policy(allow(), path="/listed/") for _ in range(3)]
    user = identities.user().name
    iam.attach_user_policy(UserName=user, PolicyArn=arns[0])
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=arns[1])

    def listed(**which: Any) -> set[str]:
        pages = iam.get_paginator("list_policies").paginate(**which, PaginationConfig={"PageSize": 2})
        return {policy["Arn"] for page in pages for policy in page["Policies"]}

    assert listed(PathPrefix="/listed/") == set(arns)
    assert listed(Scope="AWS") >= {READ_ONLY, "arn:aws:iam::aws:policy/AdministratorAccess"}
    assert not listed(Scope="AWS") & listed(Scope="Local")
    assert listed(Scope="AWS") | listed(Scope="Local") == listed() == listed(Scope="All")
    assert listed(PathPrefix="/listed/", OnlyAttached=True) == set(arns[:2])
    assert listed(PathPrefix="/listed/", PolicyUsageFilter="PermissionsPolicy") == {arns[0]}
    assert listed(PathPrefix="/listed/", PolicyUsageFilter="PermissionsBoundary") == {arns[1]}
    counts = [iam.get_policy(PolicyArn=arn)["Policy"] for arn in arns]
    assert [(each["AttachmentCount"], each["PermissionsBoundaryUsageCount"]) for each in counts] == [
        (1, 0),
        (0, 1),
        (0, 0),
    ]
    for arn in arns[:2]:
        assert error_with_status(409, iam.delete_policy, PolicyArn=arn) == {
            "Code": "DeleteConflict",
            "Message": "Cannot delete a policy attached to entities.",
        }


@pytest.mark.parametrize("kind", KINDS)
def test_attachments(iam: IAMClient, identities: Identities, kind: str) -> None:
    who, call = holder(identities, kind), partial(method, iam, kind)
    arns = [identities.policy(allow(), path="/attached/") for _ in range(10)]
    for arn in [*arns[1:], READ_ONLY, READ_ONLY]:
        call("attach_?_policy")(**who, PolicyArn=arn)
    assert error_with_status(409, call("attach_?_policy"), **who, PolicyArn=arns[0]) == {
        "Code": "LimitExceeded",
        "Message": f"Cannot exceed quota for PoliciesPer{kind.capitalize()}: 10",
    }
    paginator = call("get_paginator")(f"list_attached_{kind}_policies")
    pages = list(paginator.paginate(**who, PathPrefix="/attached/", PaginationConfig={"PageSize": 4}))
    assert [len(page["AttachedPolicies"]) for page in pages] == [4, 4, 1]
    found = call("list_attached_?_policies")(**who)["AttachedPolicies"]
    assert sorted(policy["PolicyArn"] for policy in found) == sorted([*arns[1:], READ_ONLY])
    assert {"PolicyName": "ReadOnlyAccess", "PolicyArn": READ_ONLY} in found
    call("detach_?_policy")(**who, PolicyArn=READ_ONLY)
    assert error_with_status(404, call("detach_?_policy"), **who, PolicyArn=READ_ONLY) == {
        "Code": "NoSuchEntity",
        "Message": f"Policy {READ_ONLY} was not found.",
    }
    missing = f"arn:aws:iam::{ACCOUNT}:policy/missing"
    assert error_with_status(404, call("attach_?_policy"), **who, PolicyArn=missing) == {
        "Code": "NoSuchEntity",
        "Message": f"Policy {missing} does not exist or is not attachable.",
    }


def test_who_has_a_policy(iam: IAMClient, identities: Identities) -> None:
    arn = identities.policy(allow())
    user, group, role = identities.user(), identities.group(), identities.role(path="/deep/")["RoleName"]
    limited = identities.user()
    iam.attach_user_policy(UserName=user.name, PolicyArn=arn)
    iam.attach_group_policy(GroupName=group, PolicyArn=arn)
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    iam.put_user_permissions_boundary(UserName=limited.name, PermissionsBoundary=arn)

    def having(**which: Any) -> set[str]:
        paginator = iam.get_paginator("list_entities_for_policy")
        pages = list(paginator.paginate(PolicyArn=arn, **which, PaginationConfig={"PageSize": 1}))
        names = [each["UserName"] for page in pages for each in page["PolicyUsers"]]
        names += [each["GroupName"] for page in pages for each in page["PolicyGroups"]]
        return {*names, *(each["RoleName"] for page in pages for each in page["PolicyRoles"])}

    assert having() == {user.name, group, role, limited.name}
    assert having(EntityFilter="User") == {user.name, limited.name}
    assert having(EntityFilter="Group") == {group}
    assert having(EntityFilter="Role") == having(PathPrefix="/deep/") == {role}
    assert having(PolicyUsageFilter="PermissionsBoundary") == {limited.name}
    assert having(PolicyUsageFilter="PermissionsPolicy") == {user.name, group, role}
    (shown,) = iam.list_entities_for_policy(PolicyArn=arn, PolicyUsageFilter="PermissionsBoundary")["PolicyUsers"]
    assert shown == {"UserName": limited.name, "UserId": limited.user_id}


def test_policies_have_tags(iam: IAMClient, identities: Identities) -> None:
    arn = identities.policy(allow())
    iam.tag_policy(PolicyArn=arn, Tags=iam_tags({"Team": "red", "cost": "1", "x": ""}))
    iam.tag_policy(PolicyArn=arn, Tags=iam_tags({"team": "blue"}))
    iam.untag_policy(PolicyArn=arn, TagKeys=["COST"])
    pages = list(iam.get_paginator("list_policy_tags").paginate(PolicyArn=arn, PaginationConfig={"PageSize": 1}))
    assert [page["Tags"] for page in pages] == [iam_tags({"team": "blue"}), iam_tags({"x": ""})]


def test_documents_are_percent_encoded_on_the_wire(server: RunningServer, identities: Identities) -> None:
    """RFC 3986, as the API Reference says: boto3 decodes it, other clients have to."""
    iam = client_with(server, "iam", credentials_of(server))
    bodies: list[bytes] = []
    iam.meta.events.register("before-parse.iam", lambda response_dict, **_: bodies.append(response_dict["body"]))
    user = identities.user(allow(do="kms:*", on="arn:aws:kms:*:*:key/%2A")).name
    got: Any = iam.get_user_policy(UserName=user, PolicyName="own")
    assert got["PolicyDocument"]["Statement"][0]["Resource"] == "arn:aws:kms:*:*:key/%2A"
    assert b"%22Resource%22%3A%20%22arn%3Aaws%3Akms%3A%2A%3A%2A%3Akey%2F%252A%22" in bodies[0]
