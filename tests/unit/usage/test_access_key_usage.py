"""The last use of an access key, and of a service by a principal: written once a minute, only for valid signatures."""

from pathlib import Path
from typing import Any

from botocore.credentials import Credentials

from direct_client import Answer, DirectClient
from local_deployment import LocalDeployment
from policies import allow, document
from strongroom.clock import ManualClock
from strongroom.iam.entities import Entity, Role, User
from strongroom.store.records import AccessKeyRecord, PrincipalUse
from strongroom.usage.access_key_usage import AccessKeyUsage

ACCOUNT = "000000000000"


def record(direct: DirectClient) -> AccessKeyRecord:
    """Run the keeper, and return the stored record of the root's access key."""
    direct.local.deployment.keeper.run()
    with direct.local.deployment.backends.store.read() as reader:
        found = reader.access_key(str(direct.profile().access_key))
    assert found is not None
    return found


def used(direct: DirectClient, kind: type[Entity], name: str) -> list[tuple[str, float, str]]:
    """Run the keeper, and return the stored uses by a user or role: service, time, Region."""
    direct.local.deployment.keeper.run()
    with direct.local.deployment.backends.store.read() as reader:
        entity = reader.entity(kind, ACCOUNT, name)
        assert entity is not None
        uses = reader.principal_uses((entity.unique_id,))
    return sorted((use.service, use.used_at, use.region) for use in uses)


def credentials(made: Answer) -> Credentials:
    names = ["AccessKeyId", "SecretAccessKey"] + ["SessionToken"] * ("<SessionToken>" in made.text)
    return Credentials(*(made.field(name) for name in names))


def new_user(direct: DirectClient, name: str = "alice") -> Credentials:
    root = direct.profile()
    direct.query(root, "iam", "CreateUser", UserName=name).field("Arn")
    policy: Any = {"UserName": name, "PolicyName": "own", "PolicyDocument": document(allow(do=["iam:*", "sts:*"]))}
    assert direct.query(root, "iam", "PutUserPolicy", **policy).status == 200
    return credentials(direct.query(root, "iam", "CreateAccessKey", UserName=name))


def test_the_last_use_is_written_once_a_minute(direct: DirectClient) -> None:
    root, clock = direct.profile(), direct.local.clock
    assert record(direct).last_used_at is None
    began = clock.now()
    direct.kms(root, "ListKeys")
    assert (record(direct).last_used_at, record(direct).last_used_service) == (began, "kms")
    clock.advance(59)
    direct.kms(root, "ListKeys")
    assert record(direct).last_used_at == began
    # The last use is written even if there is none after it.
    clock.advance(1)
    assert record(direct).last_used_at == began + 59
    direct.query(root, "sts", "GetCallerIdentity")
    assert record(direct).last_used_at == began + 60
    assert (record(direct).last_used_service, record(direct).last_used_region) == ("sts", "us-east-1")


def test_uses_are_written_also_after_the_clock_was_set_back(direct: DirectClient) -> None:
    root, clock = direct.profile(), direct.local.clock
    direct.kms(root, "ListKeys")
    clock.advance(3600)
    direct.local.deployment.keeper.run()
    clock.step(-3570)
    direct.kms(root, "ListKeys")
    assert record(direct).last_used_at == clock.now()


def test_the_last_use_is_written_when_the_server_stops(tmp_path: Path, clock: ManualClock) -> None:
    began = clock.now()
    for at in range(2):
        direct = DirectClient(LocalDeployment(tmp_path / "data", clock))
        if at == 0:
            direct.kms(direct.profile(), "ListKeys")
            direct.local.deployment.keeper.run()
            clock.advance(10)
            direct.kms(direct.profile(), "ListKeys")
        else:
            assert record(direct).last_used_at == began + 10
        direct.local.deployment.close()


def test_a_refused_call_is_a_use_and_a_forged_signature_is_not(direct: DirectClient) -> None:
    root = direct.profile()
    direct.kms(Credentials(root.access_key, "not the secret"), "ListKeys")
    assert record(direct).last_used_at is None
    direct.kms(root, "DescribeKey", KeyId="nothing")
    assert record(direct).last_used_at == direct.local.clock.now()


def test_using_a_session_is_no_use_of_the_access_key_that_created_it(direct: DirectClient) -> None:
    began = direct.local.clock.now()
    session = credentials(direct.query(direct.profile(), "sts", "GetSessionToken"))
    assert record(direct).last_used_at == began
    direct.local.clock.advance(600)
    assert direct.kms(session, "ListKeys").status == 200
    assert record(direct).last_used_at == began


def test_each_service_a_user_has_used_is_noted_apart(direct: DirectClient) -> None:
    alice, began = new_user(direct), direct.local.clock.now()
    assert used(direct, User, "alice") == []
    direct.query(alice, "sts", "GetCallerIdentity")
    assert used(direct, User, "alice") == [("sts", began, "us-east-1")]
    direct.local.clock.advance(30)
    # She may not, but she tried; and it is not too soon for a service that she has not used.
    assert direct.kms(alice, "ListKeys").status == 400
    direct.query(alice, "sts", "GetCallerIdentity")
    assert used(direct, User, "alice") == [("kms", began + 30, "us-east-1"), ("sts", began, "us-east-1")]
    direct.local.clock.advance(30)
    assert used(direct, User, "alice")[1] == ("sts", began + 30, "us-east-1")


def test_a_session_and_both_keys_of_a_user_are_one_user(direct: DirectClient) -> None:
    first, began = new_user(direct), direct.local.clock.now()
    second = credentials(direct.query(direct.profile(), "iam", "CreateAccessKey", UserName="alice"))
    session = credentials(direct.query(first, "sts", "GetSessionToken"))
    for at, each in enumerate((session, second, first)):
        direct.kms(each, "ListKeys")
        assert ("kms", began + 100 * at, "us-east-1") in used(direct, User, "alice")
        direct.local.clock.advance(100)


def test_the_sessions_of_a_role_are_one_role(direct: DirectClient) -> None:
    alice, began = new_user(direct), direct.local.clock.now()
    trust = document({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"})
    role = direct.query(direct.profile(), "iam", "CreateRole", RoleName="worker", AssumeRolePolicyDocument=trust)
    arn = role.field("Arn")
    for name in ("one", "two"):
        session = direct.query(alice, "sts", "AssumeRole", RoleArn=arn, RoleSessionName=name)
        # To assume a role is a use by the user, not by the role.
        assert used(direct, Role, "worker") == ([] if name == "one" else [("kms", began, "us-east-1")])
        direct.kms(credentials(session), "ListKeys")
        assert len(used(direct, Role, "worker")) == 1
        assert len(direct.local.deployment.keeper._usage._written) > 0
    direct.local.clock.advance(100)
    assert used(direct, User, "alice") == [("sts", began, "us-east-1")]


def test_a_note_survives_a_write_that_fails(direct: DirectClient) -> None:
    class Failing:
        def write(self, *_: object) -> None:
            raise OSError("no space")

    root, usage = direct.profile(), direct.local.deployment.keeper._usage
    direct.kms(root, "ListKeys")
    store, usage._store = usage._store, Failing()  # type: ignore[assignment]  # only writes
    direct.local.deployment.keeper.run()
    usage._store = store
    assert record(direct).last_used_at == direct.local.clock.now()


def test_what_was_written_long_ago_is_forgotten(direct: DirectClient) -> None:
    usage = AccessKeyUsage(direct.local.deployment.backends.store)

    class Used:
        used_as = unique_id = "AROAGONE"

    for at in range(10):
        usage.note(Used(), 100.0 * at, "us-east-1", "kms")
        usage.write(100.0 * at)
        assert len(usage._written) == 1
        assert usage._latest["kms"] == {}
    # No such role exists, so nothing is stored.
    with direct.local.deployment.backends.store.read() as reader:
        uses: list[PrincipalUse] = reader.principal_uses(("AROAGONE",))
    assert uses == []
