"""Two concurrent writers that only the database coordinates: one of them gets AWS's refusal, never a fault."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from custom_stores import CLUSTER, PROXY
from policies import allow, document
from store_simulators import RacingStore
from strongroom.assembly.data_folder import DataFolderError
from strongroom.keys.arns import KeyLocator
from strongroom.store.records import AccessKeyRecord, AccountRecord
from write_sessions import TRUST, Session
from xks_stub import XksStub

ACCOUNT = "000000000000"
REGION = "us-east-1"
POLICY = document(allow())
Race = Callable[..., dict[str, Any]]


@pytest.fixture
def session(tmp_path: Path, xks_stub: XksStub) -> Iterator[Session]:
    folder = tmp_path / "data"
    settings: dict[str, Any] = {"customer_keys": 3, "xks_proxies": xks_stub.hosts}
    session = Session(folder, lambda store: RacingStore(store, folder / "strongroom.db"), **settings)
    yield session
    session.local.deployment.close()


def before_the_next_change(session: Session, other_writer: Callable[[], object]) -> None:
    assert isinstance(session.store, RacingStore)
    session.store.other_writer = other_writer


@pytest.fixture
def race(session: Session) -> Race:
    """Return a function that makes a call, and the same or another one at a second node in the midst of it."""

    def run(operation: str, elsewhere: dict[str, Any] | None = None, **request: Any) -> dict[str, Any]:
        other = {"operation": operation, **request} if elsewhere is None else elsewhere
        answers: list[dict[str, Any]] = []
        before_the_next_change(session, lambda: answers.append(session.call_elsewhere(**other)))
        answer = session.call(operation, **request)
        assert len(answers) == 1, "there was no race"
        assert "__type" not in answers[0], answers[0]
        return answer

    return run


def new_key(session: Session) -> str:
    key_id: str = session.call("CreateKey")["KeyMetadata"]["KeyId"]
    return key_id


def aliases_of(session: Session, key_id: str) -> list[str]:
    with session.plain.read() as reader:
        return [each.locator.name for each in reader.aliases(ACCOUNT, REGION, key_id, "", 99)]


def test_the_last_place_of_the_quota_of_keys_is_given_once(session: Session, race: Race) -> None:
    for _ in range(2):
        new_key(session)
    assert race("CreateKey")["__type"] == "LimitExceededException"
    with session.plain.read() as reader:
        assert reader.customer_keys(ACCOUNT, REGION) == len(reader.keys(ACCOUNT, REGION, "", 9)) == 3


def test_the_first_two_keys_of_an_account_are_both_counted(session: Session, race: Race) -> None:
    assert "KeyMetadata" in race("CreateKey")
    with session.plain.read() as reader:
        assert reader.customer_keys(ACCOUNT, REGION) == 2


def test_an_alias_name_is_given_once(session: Session, race: Race) -> None:
    one, two = new_key(session), new_key(session)
    elsewhere = {"operation": "CreateAlias", "AliasName": "alias/a", "TargetKeyId": two}
    refused = race("CreateAlias", elsewhere, AliasName="alias/a", TargetKeyId=one)
    assert refused["__type"] == "AlreadyExistsException"
    assert (aliases_of(session, one), aliases_of(session, two)) == ([], ["alias/a"])


@pytest.mark.parametrize("moves", [False, True])
def test_the_last_place_for_an_alias_is_given_once(session: Session, race: Race, moves: bool) -> None:  # noqa: FBT001
    one, two = new_key(session), new_key(session)
    for number in range(49):
        session.call("CreateAlias", AliasName=f"alias/{number:02}", TargetKeyId=one)
    session.call("CreateAlias", AliasName="alias/two", TargetKeyId=two)
    elsewhere = {"operation": "CreateAlias", "AliasName": "alias/last", "TargetKeyId": one}
    name, operation = ("alias/two", "UpdateAlias") if moves else ("alias/other", "CreateAlias")
    assert race(operation, elsewhere, AliasName=name, TargetKeyId=one)["__type"] == "LimitExceededException"
    assert len(aliases_of(session, one)) == 50


def test_an_alias_that_is_moved_twice_leaves_its_first_key_once(session: Session, race: Race) -> None:
    keys = [new_key(session) for _ in range(3)]
    session.call("CreateAlias", AliasName="alias/a", TargetKeyId=keys[0])
    elsewhere = {"operation": "UpdateAlias", "AliasName": "alias/a", "TargetKeyId": keys[1]}
    start = session.plain.changes(0).last
    assert race("UpdateAlias", elsewhere, AliasName="alias/a", TargetKeyId=keys[2]) == {}
    # The second move is from where the first one has left the alias, and says so to all caches.
    changed = [each.name for each in session.plain.changes(start).entries if each.name in keys]
    assert changed == [keys[0], keys[1], keys[1], keys[2]]


def test_an_alias_that_is_removed_meanwhile_is_not_moved(session: Session, race: Race) -> None:
    one, two = new_key(session), new_key(session)
    session.call("CreateAlias", AliasName="alias/a", TargetKeyId=one)
    elsewhere = {"operation": "DeleteAlias", "AliasName": "alias/a"}
    assert race("UpdateAlias", elsewhere, AliasName="alias/a", TargetKeyId=two)["__type"] == "NotFoundException"
    session.call("CreateAlias", AliasName="alias/a", TargetKeyId=one)
    assert race("DeleteAlias", AliasName="alias/a")["__type"] == "NotFoundException"


@pytest.mark.parametrize(
    ("operation", "field", "more"),
    [
        ("CreateUser", "UserName", {}),
        ("CreateGroup", "GroupName", {}),
        ("CreateRole", "RoleName", {"AssumeRolePolicyDocument": TRUST}),
        ("CreatePolicy", "PolicyName", {"PolicyDocument": POLICY}),
    ],
)
def test_the_name_of_an_identity_is_given_once(race: Race, operation: str, field: str, more: dict[str, Any]) -> None:
    elsewhere = {"operation": operation, field: "NAME", **more}
    assert race(operation, elsewhere, **{field: "name"}, **more)["__type"] == "EntityAlreadyExists"


@pytest.mark.parametrize("kind", ["User", "Group"])
def test_a_name_that_another_identity_got_meanwhile_is_not_given_by_a_rename(
    session: Session, race: Race, kind: str
) -> None:
    session.call(f"Create{kind}", **{f"{kind}Name": "old"})
    elsewhere = {"operation": f"Create{kind}", f"{kind}Name": "new"}
    refused = race(f"Update{kind}", elsewhere, **{f"{kind}Name": "old", f"New{kind}Name": "new"})
    assert refused["__type"] == "EntityAlreadyExists"


def test_a_user_who_is_deleted_meanwhile_does_not_come_back(session: Session, race: Race) -> None:
    session.call("CreateUser", UserName="alice")
    elsewhere = {"operation": "DeleteUser", "UserName": "alice"}
    refused = race("TagUser", elsewhere, UserName="alice", Tags=[{"Key": "a", "Value": "b"}])
    assert refused["__type"] == "NoSuchEntity"
    session.call("CreateUser", UserName="alice")
    assert race("DeleteUser", UserName="alice")["__type"] == "NoSuchEntity"


def test_the_second_access_key_of_a_user_is_given_once(session: Session, race: Race) -> None:
    session.call("CreateUser", UserName="alice")
    first = session.call("CreateAccessKey", UserName="alice")["AccessKey"]["AccessKeyId"]
    assert race("CreateAccessKey", UserName="alice")["__type"] == "LimitExceededException"
    assert race("DeleteAccessKey", UserName="alice", AccessKeyId=first)["__type"] == "NoSuchEntity"


def test_a_subject_has_one_job_and_an_account_one_report(session: Session, race: Race) -> None:
    arn = session.call("CreateUser", UserName="alice")["User"]["Arn"]
    job = race("GenerateServiceLastAccessedDetails", Arn=arn)["JobId"]
    assert session.call("GenerateServiceLastAccessedDetails", Arn=arn)["JobId"] == job
    assert "__type" not in race("GenerateCredentialReport")
    session.clock.advance(1)
    report = session.call("GetCredentialReport")
    session.call("GenerateCredentialReport")
    assert session.call("GetCredentialReport") == report


def test_a_grant_name_makes_one_grant(session: Session, race: Race) -> None:
    key_id = new_key(session)
    asked = {"KeyId": key_id, "GranteePrincipal": ACCOUNT, "Operations": ["Encrypt"], "Name": "n"}
    found = race("CreateGrant", **asked)
    with session.plain.read() as reader:
        (grant,) = reader.grants_named(KeyLocator(ACCOUNT, REGION, key_id), "n")
    assert grant.grant_id == found["GrantId"]


def test_the_last_place_for_a_grant_is_given_once(
    session: Session, race: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom.operations.kms.grants.MAX_GRANTS", 1)
    key_id = new_key(session)
    asked = {"KeyId": key_id, "GranteePrincipal": ACCOUNT, "Operations": ["Encrypt"]}
    assert race("CreateGrant", **asked)["__type"] == "LimitExceededException"
    grant_id = session.call("ListGrants", KeyId=key_id)["Grants"][0]["GrantId"]
    assert race("RevokeGrant", KeyId=key_id, GrantId=grant_id)["__type"] == "NotFoundException"


def test_the_name_of_a_custom_key_store_is_given_once(session: Session, race: Race) -> None:
    elsewhere = {"operation": "CreateCustomKeyStore", "CustomKeyStoreName": "one", **PROXY}
    refused = race("CreateCustomKeyStore", elsewhere, CustomKeyStoreName="one", **CLUSTER)
    assert refused["__type"] == "CustomKeyStoreNameInUseException"
    other = session.call("CreateCustomKeyStore", CustomKeyStoreName="two", **CLUSTER)
    elsewhere = {
        "operation": "CreateCustomKeyStore",
        "CustomKeyStoreName": "new",
        **PROXY,
        "XksProxyUriPath": "/2/kms/xks/v1",
    }
    refused = race("UpdateCustomKeyStore", elsewhere, **other, NewCustomKeyStoreName="new")
    assert refused["__type"] == "CustomKeyStoreNameInUseException"


def test_an_account_is_made_once(session: Session) -> None:
    account = "111122223333"
    before_the_next_change(
        session, lambda: session.plain.write(lambda transaction: transaction.add_account(AccountRecord(account, 1.0)))
    )
    with pytest.raises(DataFolderError, match=f"account {account} exists"):
        session.registrar.create_account(account, REGION, "other")


def test_a_service_gets_one_access_key(session: Session) -> None:
    name = "s3.amazonaws.com"
    record = AccessKeyRecord("AKIAOTHER", "", name, b"wrapped", active=True, created_at=1.0)
    before_the_next_change(session, lambda: session.plain.write(lambda transaction: transaction.add_access_key(record)))
    with pytest.raises(DataFolderError, match="has an access key"):
        session.registrar.create_service(name)
