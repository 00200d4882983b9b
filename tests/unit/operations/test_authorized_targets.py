"""Names that stand for something else by the time of the write than when the call was authorized.

Another node makes its change between the two. What the call then does is what it would have done after that change:
it is authorized for the new target, or refused.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_deployment import ORIGIN, performed
from policies import allow, document
from store_simulators import InterposingStore
from strongroom.api.aws_json import AwsJson
from strongroom.errors import AccessDeniedException, TargetChanged
from strongroom.operations.sts.table import STS_TABLE
from strongroom.service.call import Call
from strongroom.service.stages import Completed, Prepared
from write_sessions import TRUST, Session

ACCOUNT = "000000000000"
REGION = "us-east-1"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path / "data", InterposingStore)
    yield session
    session.local.deployment.close()


def meanwhile(session: Session, *calls: tuple[str, dict[str, Any]], times: int = 1) -> None:
    """Have another node make calls between the authorization of the next call and its write."""

    def change() -> None:
        for operation, request in calls:
            assert "__type" not in session.call_elsewhere(operation, **request)

    assert isinstance(session.store, InterposingStore)
    session.store.other_writers = [change] * times


def new_user(session: Session, *statements: dict[str, Any]) -> str:
    """Make a user with a policy; return its access key id."""
    session.call("CreateUser", UserName="caller", Path="/callers/")
    session.call("PutUserPolicy", UserName="caller", PolicyName="own", PolicyDocument=document(*statements))
    access_key_id: str = session.call("CreateAccessKey", UserName="caller")["AccessKey"]["AccessKeyId"]
    return access_key_id


def new_key(session: Session) -> str:
    arn: str = session.call("CreateKey")["KeyMetadata"]["Arn"]
    return arn


def target_of_alias(session: Session, name: str = "alias/a") -> str | None:
    found = session.call("ListAliases")["Aliases"]
    return next((each["TargetKeyId"] for each in found if each["AliasName"] == name), None)


ALIASES = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/*"


@pytest.mark.parametrize("operation", ["UpdateAlias", "DeleteAlias"])
def test_an_alias_is_not_taken_from_a_key_that_its_caller_has_no_right_to(session: Session, operation: str) -> None:
    own, other, foreign = (new_key(session) for _ in range(3))
    do = ["kms:UpdateAlias", "kms:DeleteAlias"]
    caller = new_user(session, {**allow(do=do), "Resource": [own, other, ALIASES]})
    session.call("CreateAlias", AliasName="alias/a", TargetKeyId=own)
    more = {"TargetKeyId": other} if operation == "UpdateAlias" else {}

    meanwhile(session, ("UpdateAlias", {"AliasName": "alias/a", "TargetKeyId": foreign}))
    refused = session.call_by(caller, operation, AliasName="alias/a", **more)
    assert refused["__type"] == "AccessDeniedException"
    assert foreign in refused["message"]
    assert target_of_alias(session) == foreign.rpartition("/")[2]
    record = session.local.records()[-2]
    assert record["errorCode"] == "AccessDenied"
    assert foreign in {each["ARN"] for each in record["resources"]}


@pytest.mark.parametrize("operation", ["UpdateAlias", "DeleteAlias"])
def test_an_alias_that_was_moved_to_another_key_of_the_callers_is_changed(session: Session, operation: str) -> None:
    own, other, third = (new_key(session) for _ in range(3))
    session.call("CreateAlias", AliasName="alias/a", TargetKeyId=own)
    more = {"TargetKeyId": third} if operation == "UpdateAlias" else {}
    meanwhile(session, ("UpdateAlias", {"AliasName": "alias/a", "TargetKeyId": other}))
    assert "__type" not in session.call(operation, AliasName="alias/a", **more)
    assert target_of_alias(session) == (third.rpartition("/")[2] if more else None)
    resources = {each["ARN"] for each in session.local.records()[-2]["resources"]}
    assert other in resources
    assert own not in resources


def test_an_alias_that_keeps_moving_is_given_up(session: Session) -> None:
    keys = [new_key(session) for _ in range(2)]
    session.call("CreateAlias", AliasName="alias/a", TargetKeyId=keys[0])
    assert isinstance(session.store, InterposingStore)
    places = iter([1, 0] * 5)

    def move() -> None:
        session.call_elsewhere("UpdateAlias", AliasName="alias/a", TargetKeyId=keys[next(places)])

    session.store.other_writers = [move] * 4
    assert session.call("DeleteAlias", AliasName="alias/a") == {}
    session.call("CreateAlias", AliasName="alias/a", TargetKeyId=keys[0])
    places = iter([1, 0] * 5)
    session.store.other_writers = [move] * 9
    with pytest.raises(AssertionError, match="DependencyTimeoutException"):
        session.call("DeleteAlias", AliasName="alias/a")
    assert len(session.store.other_writers) == 4
    session.store.other_writers = []
    assert target_of_alias(session) is not None


def test_a_role_that_was_made_anew_is_not_assumed_by_those_whom_the_former_one_trusted(session: Session) -> None:
    """It has the same ARN, but trusts others. The cache is made current between the decision and the session."""
    user = new_user(session, allow(do="sts:AssumeRole"))
    arn = f"arn:aws:iam::{ACCOUNT}:role/job"
    session.call("CreateRole", RoleName="job", AssumeRolePolicyDocument=TRUST)
    pipeline = session.local.deployment.service.pipeline
    credential = pipeline.credential(user, may_wait=True)
    assert credential is not None
    body = json.dumps({"RoleArn": arn, "RoleSessionName": "job"}).encode()
    call = Call(STS_TABLE["AssumeRole"], credential, REGION, AwsJson(), body, ORIGIN, session.clock.now())
    prepared = pipeline._prepare(call, may_wait=True)
    assert isinstance(prepared, Prepared)
    assert isinstance(pipeline._run(prepared), Completed)

    session.call("DeleteRole", RoleName="job")
    nobody = TRUST.replace(f'"AWS": "{ACCOUNT}"', '"Service": "backup.amazonaws.com"')
    session.call("CreateRole", RoleName="job", AssumeRolePolicyDocument=nobody)
    pipeline.credential(user, may_wait=True)
    ended = pipeline._run(prepared)
    assert type(ended.result) is TargetChanged  # type: ignore[union-attr]
    refused = performed(pipeline, call)
    assert isinstance(refused, AccessDeniedException)


POLICY = document(allow())
USER_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("DeleteUser", {}),
    ("UpdateUser", {"NewUserName": "renamed"}),
    ("TagUser", {"Tags": [{"Key": "a", "Value": "b"}]}),
    ("PutUserPolicy", {"PolicyName": "p", "PolicyDocument": POLICY}),
    ("AttachUserPolicy", {"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
    ("CreateAccessKey", {}),
]


@pytest.mark.parametrize(("operation", "more"), USER_CALLS, ids=[name for name, _ in USER_CALLS])
def test_a_user_who_took_over_a_name_is_not_changed(session: Session, operation: str, more: dict[str, Any]) -> None:
    """The caller may change the users in one path. Another user gets the name of one of them."""
    caller = new_user(session, {**allow(do="iam:*"), "Resource": f"arn:aws:iam::{ACCOUNT}:user/dev/*"})
    session.call("CreateUser", UserName="alice", Path="/dev/")
    meanwhile(
        session,
        ("UpdateUser", {"UserName": "alice", "NewUserName": "former"}),
        ("CreateUser", {"UserName": "alice", "Path": "/admin/"}),
    )
    refused = session.call_by(caller, operation, UserName="alice", **more)
    assert refused["__type"] == "AccessDeniedException"
    user = session.call("GetUser", UserName="alice")["User"]
    assert (user["Path"], user.get("Tags")) == ("/admin/", None)
    assert not session.call("ListUserPolicies", UserName="alice")["PolicyNames"]
    assert not session.call("ListAttachedUserPolicies", UserName="alice")["AttachedPolicies"]
    assert not session.call("ListAccessKeys", UserName="alice")["AccessKeyMetadata"]


def test_groups_and_roles_that_took_over_a_name_are_not_changed(session: Session) -> None:
    own = [f"arn:aws:iam::{ACCOUNT}:{kind}/dev/*" for kind in ("group", "role")]
    caller = new_user(session, {**allow(do="iam:*"), "Resource": own})
    role = {"RoleName": "job", "AssumeRolePolicyDocument": TRUST}
    for operation, request in (("AddUserToGroup", {"UserName": "caller"}), ("DeleteGroup", {}), ("UpdateGroup", {})):
        session.call("CreateGroup", GroupName="team", Path="/dev/")
        taken_over = (("DeleteGroup", {"GroupName": "team"}), ("CreateGroup", {"GroupName": "team", "Path": "/admin/"}))
        meanwhile(session, *taken_over)
        refused = session.call_by(caller, operation, GroupName="team", **request)
        assert refused["__type"] == "AccessDeniedException"
        found = session.call("GetGroup", GroupName="team")
        assert (found["Group"]["Path"], found["Users"]) == ("/admin/", [])
        session.call("DeleteGroup", GroupName="team")
    for operation, request in (("DeleteRole", {}), ("UpdateAssumeRolePolicy", {"PolicyDocument": TRUST})):
        session.call("CreateRole", Path="/dev/", **role)
        meanwhile(session, ("DeleteRole", {"RoleName": "job"}), ("CreateRole", {"Path": "/admin/", **role}))
        assert session.call_by(caller, operation, RoleName="job", **request)["__type"] == "AccessDeniedException"
        assert session.call("GetRole", RoleName="job")["Role"]["Path"] == "/admin/"
        session.call("DeleteRole", RoleName="job")
