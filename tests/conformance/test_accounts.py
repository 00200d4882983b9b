"""Several accounts in one deployment: made beside the server, isolated from each other unless policies share keys."""

import configparser
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import Account, data_of, strongroom, succeed
from client_errors import error_code_of, error_of, error_with_status
from clients import client_of, client_with, credentials_of
from identities import ACCOUNT, ACCOUNT_ROOT, Identities
from local_server import RunningServer, running_server
from policies import allow, document
from strongroom.crypto.domain_keys import IAM_SCOPE

HIDDEN = (
    "on this resource because the resource does not exist in this Region, no resource-based policies allow access, "
    "or a resource-based policy explicitly denies access"
)


def arn_of(key_id: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:kms:us-east-1:{account}:key/{key_id}"


# --- how they are made


def test_an_account_is_there_as_soon_as_the_command_has_ended(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = succeed(data_of(server), "account", "create", "111122223333")
    path = data_of(server) / "credentials"
    assert printed == f"Account 111122223333 exists; its root access key is profile 111122223333 in\n{path}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name, value in server.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    session = boto3.Session(profile_name="111122223333")
    assert session.client("sts").get_caller_identity()["Arn"] == "arn:aws:iam::111122223333:root"
    made = session.client("kms").create_key()["KeyMetadata"]
    assert made["AWSAccountId"] == "111122223333"
    assert boto3.Session(profile_name="default").client("sts").get_caller_identity()["Account"] == ACCOUNT


def test_accounts_that_cannot_be_made(server: RunningServer, away: Account) -> None:
    before = (data_of(server) / "credentials").read_text()
    for account in (ACCOUNT, away.account):
        again = strongroom(data_of(server), "account", "create", account)
        assert (again.returncode, again.stderr) == (1, f"Error: account {account} exists already\n")
    for name in ("1234", "12345678901a", "1234567890123", "123456789012\n", "\u0661" * 12):
        refused = strongroom(data_of(server), "account", "create", name)
        assert (refused.returncode, "is no account id, which has 12 digits" in refused.stderr) == (2, True)
    assert (data_of(server) / "credentials").read_text() == before


def test_an_account_made_while_the_server_is_down(tmp_path: Path) -> None:
    none = strongroom(tmp_path / "data", "account", "create", "111122223333")
    assert none.returncode == 1
    assert "is not a data folder; start a server once to make it" in none.stderr
    assert not (tmp_path / "data").exists()
    with running_server(tmp_path / "data", tmp_path / "log", "--region", "eu-west-1") as server:
        assert server.stop() == 0
    # The command does not know the server's Regions, and must not make a key for its own default.
    succeed(tmp_path / "data", "account", "create", "111122223333")
    with closing(sqlite3.connect(tmp_path / "data" / "strongroom.db")) as database:
        assert sorted(database.execute("SELECT scope FROM domain_key")) == [("eu-west-1",), (IAM_SCOPE,)]
    with running_server(tmp_path / "data", tmp_path / "log", "--region", "eu-west-1") as server:
        sts = client_with(server, "sts", credentials_of(server, "111122223333"), "eu-west-1")
        assert sts.get_caller_identity()["Account"] == "111122223333"
        assert server.stop() == 0


def test_the_profile_of_an_interrupted_attempt_is_used_for_an_account(tmp_path: Path) -> None:
    """The credentials come first: killed before the account is there, the next attempt goes on with them."""
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        path = tmp_path / "data" / "credentials"
        left = (
            "\n[111122223333]\naws_access_key_id = AKIALEFTOVERLEFTOVER\naws_secret_access_key = left-by-the-attempt\n"
        )
        path.write_text(path.read_text() + left)
        succeed(tmp_path / "data", "account", "create", "111122223333")
        succeed(tmp_path / "data", "account", "create", "444455556666")
        assert left in path.read_text()
        assert configparser.RawConfigParser().read(path) == [str(path)]
        for account in ("default", "111122223333", "444455556666"):
            client_with(server, "sts", credentials_of(server, account)).get_caller_identity()
        assert server.stop() == 0


def test_the_profile_of_an_interrupted_deletion_is_replaced_for_a_service(tmp_path: Path) -> None:
    """Its access key was revoked, so a service of the same name must get another."""
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        path = tmp_path / "data" / "credentials"
        name, revoked = "backup.amazonaws.com", "AKIALEFTOVERLEFTOVER"
        left = f"\n[{name}]\naws_access_key_id = {revoked}\naws_secret_access_key = left-by-the-attempt\n"
        path.write_text(path.read_text() + left)
        succeed(tmp_path / "data", "service", "create", name)
        assert revoked not in path.read_text()
        client_with(server, "sts", credentials_of(server, name)).get_caller_identity()
        assert server.stop() == 0


def test_two_commands_at_once_do_not_undo_each_other(server: RunningServer) -> None:
    accounts = [f"77770000000{number}" for number in range(4)]
    asked = [*(("account", account) for account in accounts), ("account", accounts[0])]
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda each: strongroom(data_of(server), each[0], "create", each[1]), asked))
    assert sorted(each.returncode for each in done) == [0, 0, 0, 0, 1]
    assert [each.stderr for each in done if each.returncode] == [f"Error: account {accounts[0]} exists already\n"]
    for account in accounts:
        assert client_with(server, "sts", credentials_of(server, account)).get_caller_identity()["Account"] == account


# --- what they see of each other


@pytest.fixture(scope="module")
def secret(server: RunningServer) -> Iterator[str]:
    """Return the ARN of a key with an alias, which its account keeps to itself."""
    kms = client_of(server)
    made = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/to-ourselves", TargetKeyId=made["KeyId"])
    yield made["Arn"]
    kms.delete_alias(AliasName="alias/to-ourselves")


@pytest.mark.parametrize("who", ["the root", "a user"])
def test_keys_of_another_account_are_hidden(away: Account, secret: str, who: str) -> None:
    user = away.identities.user(allow(do="*"))
    client, caller = (away.kms, away.root) if who == "the root" else (user.kms, user.arn)
    nothing = arn_of("12345678-1234-1234-1234-123456789012")
    for key in (secret, nothing, f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/to-ourselves"):
        assert error_of(client.encrypt, KeyId=key, Plaintext=b"x") == {
            "Code": "AccessDeniedException",
            "Message": f"User: {caller} is not authorized to perform: kms:Encrypt {HIDDEN}",
        }
    for key in (secret, nothing):
        calls: Any = (client.describe_key, client.get_key_policy, client.list_grants, client.disable_key)
        assert {error_code_of(call, KeyId=key) for call in calls} == {"AccessDeniedException"}
    bare = secret.rpartition("/")[2]
    own = arn_of(bare, away.account)
    assert error_of(client.describe_key, KeyId=bare) == {
        "Code": "NotFoundException",
        "Message": f"Key '{own}' does not exist",
    }
    assert error_code_of(client.describe_key, KeyId="alias/to-ourselves") == "NotFoundException"
    listed = client.list_keys(Limit=1000)
    assert bare not in {key["KeyId"] for key in listed["Keys"]}
    assert "alias/to-ourselves" not in {alias["AliasName"] for alias in client.list_aliases(Limit=100)["Aliases"]}


def test_a_ciphertext_of_another_account_does_not_open(server: RunningServer, away: Account, secret: str) -> None:
    blob = client_of(server).encrypt(KeyId=secret, Plaintext=b"x")["CiphertextBlob"]
    refusal = error_of(away.kms.decrypt, CiphertextBlob=blob)
    assert refusal["Code"] == "AccessDeniedException"
    assert refusal["Message"].startswith(f"User: {away.root} is not authorized to perform: kms:Decrypt on the resource")
    assert "associated with this ciphertext because the resource does not exist in this Region" in refusal["Message"]


def test_aliases_of_two_accounts_are_two(kms: KMSClient, away: Account) -> None:
    ours, theirs = (client.create_key()["KeyMetadata"]["KeyId"] for client in (kms, away.kms))
    for client, key_id in ((kms, ours), (away.kms, theirs)):
        client.create_alias(AliasName="alias/same-name", TargetKeyId=key_id)
    for client, key_id in ((kms, ours), (away.kms, theirs)):
        assert client.describe_key(KeyId="alias/same-name")["KeyMetadata"]["KeyId"] == key_id


def test_users_and_roles_of_another_account_are_not_there(identities: Identities, away: Account) -> None:
    user, role = identities.user(), identities.role()
    assert error_with_status(404, away.iam.get_user, UserName=user.name)["Code"] == "NoSuchEntity"
    assert error_with_status(404, away.iam.get_role, RoleName=role["RoleName"])["Code"] == "NoSuchEntity"
    assert error_with_status(404, away.iam.delete_user, UserName=user.name)["Code"] == "NoSuchEntity"
    assert user.name not in {each["UserName"] for each in away.iam.list_users()["Users"]}
    assert role["RoleName"] not in {each["RoleName"] for each in away.iam.list_roles()["Roles"]}
    # So a name can be had once in each.
    assert away.iam.create_user(UserName=user.name)["User"]["Arn"] == f"arn:aws:iam::{away.account}:user/{user.name}"
    policy = identities.policy(allow())
    assert error_with_status(404, away.iam.get_policy, PolicyArn=policy)["Code"] == "NoSuchEntity"
    refusal = error_with_status(404, away.iam.attach_user_policy, UserName=user.name, PolicyArn=policy)
    assert refusal["Code"] == "NoSuchEntity"


# --- what they share


def test_both_accounts_must_agree_to_share_a_key(kms: KMSClient, away: Account) -> None:
    shared = kms.create_key(Policy=document(allow(ACCOUNT_ROOT), allow(away.root, do=["kms:Encrypt", "kms:Decrypt"])))
    key = shared["KeyMetadata"]["Arn"]
    allowed = away.identities.user(allow(do="kms:*", on=key))
    silent = away.identities.user()
    elsewhere = away.identities.user(allow(do="kms:*", on=arn_of("*", away.account)))
    blob = allowed.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert allowed.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert away.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    for user in (silent, elsewhere):
        assert error_of(user.kms.encrypt, KeyId=key, Plaintext=b"x")["Message"] == (
            f"User: {user.arn} is not authorized to perform: kms:Encrypt on resource: {key} "
            "because no identity-based policy allows the kms:Encrypt action"
        )
    assert error_of(allowed.kms.describe_key, KeyId=key)["Message"].endswith(HIDDEN)


def test_a_key_policy_shares_with_one_user_or_role_only(kms: KMSClient, away: Account) -> None:
    friend = away.identities.user(allow(do="kms:*"))
    other = away.identities.user(allow(do="kms:*"))
    shared = kms.create_key(Policy=document(allow(ACCOUNT_ROOT), allow(friend.arn, do="kms:Encrypt")))
    key = shared["KeyMetadata"]["Arn"]
    friend.kms.encrypt(KeyId=key, Plaintext=b"x")
    assert error_of(other.kms.encrypt, KeyId=key, Plaintext=b"x")["Message"].endswith(HIDDEN)
    away.iam.delete_user_policy(UserName=friend.name, PolicyName="own")
    assert error_code_of(friend.kms.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"


def test_what_never_crosses_accounts_does_not_whatever_policies_say(kms: KMSClient, away: Account) -> None:
    manager = away.identities.user(allow())
    key = kms.create_key(Policy=document(allow(ACCOUNT_ROOT), allow(away.root)))["KeyMetadata"]["Arn"]
    crossing: Any = (manager.kms.describe_key, manager.kms.get_key_rotation_status, manager.kms.list_grants)
    for call in crossing:
        call(KeyId=key)
    staying: Any = (manager.kms.disable_key, manager.kms.schedule_key_deletion, manager.kms.get_key_policy)
    for call in staying:
        assert error_of(call, KeyId=key)["Message"].endswith(HIDDEN)
    assert error_code_of(manager.kms.create_alias, AliasName="alias/theirs", TargetKeyId=key) == "AccessDeniedException"


def test_principals_of_accounts_that_are_not_there(kms: KMSClient) -> None:
    for absent in ("arn:aws:iam::999988887777:root", "999988887777", "arn:aws:iam::444455556666:user/nobody"):
        refusal = error_of(kms.create_key, Policy=document(allow(ACCOUNT_ROOT), allow(absent)))
        assert refusal == {
            "Code": "MalformedPolicyDocumentException",
            "Message": "Policy contains a statement with one or more invalid principals.",
        }
