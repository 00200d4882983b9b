"""Policies and groups lose their rows while users and sessions depend on them: a Deny in them must not be lost.

What is missing is refused and named; every other caller goes on, and the user does so once the row is put back.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from botocore.credentials import Credentials

from accounts import data_of, strongroom
from clients import client_of, client_with, credentials_of
from identities import Identities, Person
from local_server import RunningServer, running_server
from policies import allow, deny, document
from row_changes import change, refused


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("missing")
    with running_server(folder / "data", folder / "log") as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture
def identities(server: RunningServer) -> Identities:
    return Identities(server, client_with(server, "iam", credentials_of(server)))


@pytest.fixture
def key_id(server: RunningServer) -> str:
    return client_of(server).create_key()["KeyMetadata"]["KeyId"]


NO_ENCRYPT = deny(do="kms:Encrypt")


def _attached_policy(identities: Identities, user: Person) -> str:
    arn = identities.policy(NO_ENCRYPT)
    identities.iam.attach_user_policy(UserName=user.name, PolicyArn=arn)
    return arn


def _policy_of_a_group(identities: Identities, user: Person) -> str:
    arn, group = identities.policy(NO_ENCRYPT), identities.group()
    identities.iam.attach_group_policy(GroupName=group, PolicyArn=arn)
    identities.iam.add_user_to_group(GroupName=group, UserName=user.name)
    return arn


def _group(identities: Identities, user: Person) -> str:
    group = identities.group(NO_ENCRYPT)
    identities.iam.add_user_to_group(GroupName=group, UserName=user.name)
    return group


def _boundary(identities: Identities, user: Person) -> str:
    arn = identities.policy(allow(do="kms:DescribeKey"))
    identities.iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=arn)
    return arn


WAYS = (_attached_policy, _policy_of_a_group, _group, _boundary)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_deny_is_not_lost_with_its_row(
    server: RunningServer, identities: Identities, key_id: str, way: Callable[[Identities, Person], str]
) -> None:
    user, other = identities.user(allow()), identities.user(allow())
    name = way(identities, user).rpartition("/")[2]
    user.kms.describe_key(KeyId=key_id)
    denied = refused(user.kms.encrypt, code="AccessDeniedException", KeyId=key_id, Plaintext=b"x")
    assert "missing" not in denied
    data = data_of(server)
    row = _row(data, name)
    change(data, "DELETE FROM identity WHERE name_key = ?", name, log=("identity", name))
    for call, more in ((user.kms.encrypt, {"Plaintext": b"x"}), (user.kms.describe_key, {})):
        message = refused(call, code="AccessDeniedException", KeyId=key_id, **more)
        assert f"The stored record of {row[1]} {name} of account 000000000000 is missing" in message
    other.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    assert f"{name} of account 000000000000: its record is missing" in strongroom(data, "doctor").stdout
    # Put back as it was, it is good again.
    places = ", ".join("?" * len(row))
    change(data, f"INSERT INTO identity VALUES ({places})", *row, log=("identity", name))  # noqa: S608 - question marks
    user.kms.describe_key(KeyId=key_id)
    refused(user.kms.encrypt, code="AccessDeniedException", KeyId=key_id, Plaintext=b"x")


def test_a_session_is_allowed_nothing_without_its_policy(
    server: RunningServer, identities: Identities, key_id: str
) -> None:
    user = identities.user(allow(do="sts:*"))
    role, policy = identities.role(user.arn), identities.policy(NO_ENCRYPT)
    identities.iam.put_role_policy(RoleName=role["RoleName"], PolicyName="all", PolicyDocument=document(allow()))
    session = user.sts.assume_role(
        RoleArn=role["Arn"], RoleSessionName="limited", Policy=document(allow()), PolicyArns=[{"arn": policy}]
    )["Credentials"]
    credentials = Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    kms = client_with(server, "kms", credentials)
    kms.describe_key(KeyId=key_id)
    refused(kms.encrypt, code="AccessDeniedException", KeyId=key_id, Plaintext=b"x")
    identities.iam.delete_policy(PolicyArn=policy)
    for call, more in ((kms.encrypt, {"Plaintext": b"x"}), (kms.describe_key, {})):
        refused(call, code="AccessDeniedException", KeyId=key_id, **more)


def _row(data: Path, name: str) -> tuple[object, ...]:
    with closing(sqlite3.connect(data / "strongroom.db")) as connection:
        (row,) = connection.execute("SELECT * FROM identity WHERE name_key = ?", (name,))
        return tuple(row)
