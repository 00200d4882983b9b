"""Writes of operations: each can be run again, and changes nothing outside the scopes that it declares."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from custom_stores import CLUSTER, PROXY
from keys_builder import make_key
from policies import allow, document
from store_simulators import RerunningStore, ScopeCheckingStore, WrappedStore
from strongroom.store.scopes import AccountScope, KeyScope
from strongroom.store.sqlite.store import SqlStore
from write_sessions import TRUST, Session, Wrap
from xks_stub import XksStub

ACCOUNT = "000000000000"
POLICY = document(allow())


def identities(session: Session) -> None:
    call = session.call
    policy = call("CreatePolicy", PolicyName="Keys", PolicyDocument=POLICY)["Policy"]["Arn"]
    for name in ("alice", "bob", "ALICE"):
        call("CreateUser", UserName=name, PermissionsBoundary=policy, Tags=[{"Key": "team", "Value": name}])
    for name in ("crew", "Crew", "staff"):
        call("CreateGroup", GroupName=name)
    call("CreateRole", RoleName="worker", AssumeRolePolicyDocument=TRUST)
    call("CreateRole", RoleName="Worker", AssumeRolePolicyDocument=TRUST)
    call("CreatePolicy", PolicyName="keys", PolicyDocument=POLICY)
    call("CreatePolicyVersion", PolicyArn=policy, PolicyDocument=POLICY, SetAsDefault=True)
    call("DeletePolicyVersion", PolicyArn=policy, VersionId="v1")
    call("AttachUserPolicy", UserName="alice", PolicyArn=policy)
    call("AttachRolePolicy", RoleName="worker", PolicyArn=policy)
    call("PutUserPolicy", UserName="bob", PolicyName="own", PolicyDocument=POLICY)
    call("AddUserToGroup", UserName="alice", GroupName="crew")
    call("TagRole", RoleName="worker", Tags=[{"Key": "a", "Value": "b"}])
    call("UpdateRole", RoleName="worker", Description="works")
    call("UpdateUser", UserName="bob", NewUserName="alice")
    call("UpdateUser", UserName="bob", NewUserName="robert", NewPath="/staff/")
    call("UpdateGroup", GroupName="crew", NewGroupName="staff")
    call("UpdateGroup", GroupName="crew", NewGroupName="sailors")
    call("DeletePolicy", PolicyArn=policy)
    call("DeleteGroup", GroupName="sailors")
    call("DeleteUser", UserName="alice")
    call("DeleteUserPolicy", UserName="robert", PolicyName="own")
    call("DeleteUserPermissionsBoundary", UserName="robert")
    call("DeleteUser", UserName="robert")
    call("DeleteGroup", GroupName="staff")
    call("DetachRolePolicy", RoleName="worker", PolicyArn=policy)
    call("DeleteRole", RoleName="worker")


def access_keys(session: Session) -> None:
    call = session.call
    call("CreateUser", UserName="alice")
    first, second, _ = [call("CreateAccessKey", UserName="alice") for _ in range(3)]
    call("UpdateAccessKey", UserName="alice", AccessKeyId=first["AccessKey"]["AccessKeyId"], Status="Inactive")
    call("DeleteAccessKey", UserName="alice", AccessKeyId=second["AccessKey"]["AccessKeyId"])
    call("DeleteAccessKey", UserName="alice", AccessKeyId=second["AccessKey"]["AccessKeyId"])
    call("CreateAccessKey")


def aliases(session: Session) -> None:
    call = session.call
    one, two = [call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(2)]
    for number in range(51):
        call("CreateAlias", AliasName=f"alias/{number}", TargetKeyId=one)
    call("CreateAlias", AliasName="alias/0", TargetKeyId=two)
    call("CreateAlias", AliasName="alias/two", TargetKeyId=two)
    call("UpdateAlias", AliasName="alias/two", TargetKeyId=one)
    call("UpdateAlias", AliasName="alias/0", TargetKeyId=one)
    call("UpdateAlias", AliasName="alias/0", TargetKeyId=two)
    call("DeleteAlias", AliasName="alias/0")
    call("DeleteAlias", AliasName="alias/0")


def grants(session: Session) -> None:
    call = session.call
    key_id = call("CreateKey")["KeyMetadata"]["KeyId"]
    user = call("CreateUser", UserName="alice")["User"]["Arn"]
    asked = {"KeyId": key_id, "GranteePrincipal": user, "Operations": ["Encrypt", "Decrypt"]}
    for more in ({}, {}, {"Name": "n"}, {"Name": "n"}, {"DryRun": True}):
        call("CreateGrant", **asked, **more)
    grant = call("CreateGrant", **{**asked, "Name": "n", "Operations": ["Encrypt"]})
    call("RevokeGrant", KeyId=key_id, GrantId=grant["GrantId"], DryRun=True)
    call("RevokeGrant", KeyId=key_id, GrantId=grant["GrantId"])
    call("RevokeGrant", KeyId=key_id, GrantId=grant["GrantId"])
    retiring = call("CreateGrant", **asked, RetiringPrincipal=f"arn:aws:iam::{ACCOUNT}:root")
    call("RetireGrant", GrantToken=retiring["GrantToken"])


def custom_key_stores(session: Session) -> None:
    call = session.call
    made = call("CreateCustomKeyStore", CustomKeyStoreName="one", **CLUSTER)
    call("CreateCustomKeyStore", CustomKeyStoreName="one", **PROXY)
    other = call("CreateCustomKeyStore", CustomKeyStoreName="two", **PROXY)
    call("UpdateCustomKeyStore", **made, NewCustomKeyStoreName="two")
    call("UpdateCustomKeyStore", **made, NewCustomKeyStoreName="three", KeyStorePassword="another one")
    call("ConnectCustomKeyStore", **made)
    call("DisconnectCustomKeyStore", **made)
    call("DeleteCustomKeyStore", **other)
    call("DeleteCustomKeyStore", **other)


def keys(session: Session) -> None:
    call = session.call
    key_id = call("CreateKey", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]["KeyId"]
    call("CreateAlias", AliasName="alias/key", TargetKeyId=key_id)
    call("TagResource", KeyId=key_id, Tags=[{"TagKey": "c", "TagValue": "d"}])
    call("UpdateKeyDescription", KeyId=key_id, Description="described")
    call("DisableKey", KeyId=key_id)
    call("DisableKey", KeyId=key_id)
    call("EnableKey", KeyId=key_id)
    call("EnableKeyRotation", KeyId=key_id)
    call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    call("DisableKey", KeyId=key_id)
    call("CancelKeyDeletion", KeyId=key_id)


def accounts_and_services(session: Session) -> None:
    session.registrar.create_account("111122223333", "us-east-1", "other")
    session.registrar.create_service("s3.amazonaws.com")
    session.call("DescribeKey", KeyId="alias/aws/s3")


def reports(session: Session) -> None:
    call = session.call
    user = call("CreateUser", UserName="alice")["User"]["Arn"]
    for each in (user, user, "arn:aws:iam::aws:policy/ReadOnlyAccess", f"arn:aws:iam::{ACCOUNT}:user/bob"):
        call("GenerateServiceLastAccessedDetails", Arn=each)
    call("GenerateCredentialReport")
    session.clock.advance(5 * 3600)
    call("GenerateCredentialReport")
    call("DeleteUser", UserName="alice")


SCENARIOS = [identities, access_keys, aliases, grants, custom_key_stores, keys, accounts_and_services, reports]


@pytest.fixture
def opened(tmp_path: Path, xks_stub: XksStub) -> Iterator[Callable[[Wrap], Session]]:
    sessions: list[Session] = []

    def open_session(wrap: Wrap) -> Session:
        sessions.append(Session(tmp_path / f"{len(sessions)}", wrap, xks_proxies=xks_stub.hosts))
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.local.deployment.close()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_write_that_is_run_twice_does_what_it_does_once(
    opened: Callable[[Wrap], Session], scenario: Callable[[Session], None]
) -> None:
    once = opened(WrappedStore)
    scenario(once)
    twice = opened(RerunningStore)
    scenario(twice)
    assert twice.outcomes == once.outcomes
    assert twice.state() == once.state()
    assert isinstance(twice.store, RerunningStore)
    assert twice.store.reruns > 0


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_write_changes_nothing_outside_its_scopes(
    opened: Callable[[Wrap], Session], scenario: Callable[[Session], None]
) -> None:
    session = opened(ScopeCheckingStore)
    scenario(session)
    assert isinstance(session.store, ScopeCheckingStore)
    assert session.store.checked > 0


def test_a_change_outside_the_scopes_is_noticed(store: SqlStore) -> None:
    checked, key = ScopeCheckingStore(store), make_key(1)
    checked.write(lambda transaction: transaction.add_key(key), AccountScope(key.account))
    other = KeyScope(key.account, make_key(2).key_id)
    with pytest.raises(AssertionError, match="outside"):
        checked.write(lambda transaction: transaction.save_key(key, key), AccountScope(key.account), other)
    checked.write(lambda transaction: transaction.save_key(key, key), KeyScope(key.account, key.key_id))
