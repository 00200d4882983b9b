"""Rows of the database are changed behind the back of a server, while it runs and while it is stopped.

Each changed record is refused with an error that says so and that no client retries; all others are as good as before.
"""

import json
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import Account, data_of, strongroom
from audits import audit_records
from clients import client_of, client_with, credentials_of
from identities import Identities, Person
from local_server import RunningServer, running_server
from policies import allow
from row_changes import change, refused
from scrapes import scrape_until

WORKERS = 2
OPTIONS = ("--metrics-listen", "127.0.0.1:0", "--workers", f"{WORKERS}")
CALLER = "arn:aws:iam::000000000000:root"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("quarantine")
    with running_server(folder / "data", folder / "log", *OPTIONS) as server:
        yield server
        assert server.stop() == 0
    log = (folder / "log").read_text()
    assert "Traceback" not in log
    for line in filter(lambda each: "is not used" in each, log.splitlines()):
        # Once for each worker that has met it.
        assert log.count(line.partition("] ")[2] or line) <= WORKERS, line


@pytest.fixture
def kms(server: RunningServer) -> KMSClient:
    return client_of(server)


def new_key(kms: KMSClient, **more: Any) -> str:
    return kms.create_key(**more)["KeyMetadata"]["KeyId"]


def encrypt(kms: KMSClient, key_id: str) -> bytes:
    return kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]


def ready(server: RunningServer) -> str:
    with urllib.request.urlopen(f"{server.endpoint}/readyz") as answer:  # noqa: S310 - loopback, over HTTP
        assert answer.status == 200
        return str(answer.read().decode())


WRONG_KEYS = {
    "a policy": ("policy", json.dumps({"Statement": []})),
    "a state": ("state", "Enabled"),
    "an impossible state": ("state", "Open"),
    "text that is no UTF-8": ("description", b"\xff"),
    "a value of another type": ("replica_regions", 7.5),
    "a later deletion": ("deletion_at", 4e9),
    "no code": ("row_mac", None),
}


@pytest.mark.parametrize(("column", "value"), WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_a_changed_key_is_refused_and_others_go_on(
    server: RunningServer, kms: KMSClient, column: str, value: object
) -> None:
    key_id, other = new_key(kms), new_key(kms)
    kms.disable_key(KeyId=key_id)
    data = data_of(server)
    to = "CAST(? AS TEXT)" if column == "description" else "?"
    statement = f"UPDATE kms_key SET {column} = {to} WHERE key_id = ?"  # noqa: S608 - a column of the schema
    change(data, statement, value, key_id, log=("key", key_id))
    for call in (kms.describe_key, kms.enable_key, kms.get_key_policy, kms.schedule_key_deletion):
        assert key_id in refused(call, KeyId=key_id)
    message = refused(kms.encrypt, KeyId=key_id, Plaintext=b"x")
    assert "failed authentication" in message
    records = [each for each in audit_records(data) if each.get("errorMessage") == message]
    assert records[-1]["additionalEventData"]["quarantined"].endswith(key_id)
    assert kms.decrypt(CiphertextBlob=encrypt(kms, other))["Plaintext"] == b"x"
    listed = [each["KeyId"] for page in kms.get_paginator("list_keys").paginate() for each in page["Keys"]]
    assert {key_id, other} <= {*listed}
    assert kms.list_aliases()
    assert "records of the database" in ready(server).lower()
    scrape_until(server, lambda found: found.sum("strongroom_quarantined_records") > 0)


def test_another_account_does_not_learn_of_it(server: RunningServer, kms: KMSClient) -> None:
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    other = Account(server, "777788889999")
    never = arn.replace(arn[-12:], "000000000000")
    change(data_of(server), "UPDATE kms_key SET description = 'x' WHERE key_id = ?", arn[-36:], log=("key", arn[-36:]))
    messages = [refused(other.kms.describe_key, code="AccessDeniedException", KeyId=each) for each in (arn, never)]
    assert messages[0] == messages[1].replace(never, arn)


def test_a_command_says_so_in_one_line(server: RunningServer, user: Person) -> None:
    statement = "UPDATE identity SET path = '/x/' WHERE unique_id = ?"
    change(data_of(server), statement, user.user_id, log=("identity", user.user_id))
    done = strongroom(data_of(server), "explain", "--principal", user.arn, "--action", "kms:ListKeys")
    assert done.returncode == 2
    assert f"Error: The stored record of user {user.name}" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_is_good_again_when_it_is_restored(server: RunningServer, kms: KMSClient) -> None:
    key_id, data = new_key(kms, Description="good"), data_of(server)
    set_description = "UPDATE kms_key SET description = ? WHERE key_id = ?"
    change(data, set_description, "bad", key_id, log=("key", key_id))
    refused(kms.describe_key, KeyId=key_id)
    change(data, set_description, "good", key_id, log=("key", key_id))
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Description"] == "good"
    kms.decrypt(CiphertextBlob=encrypt(kms, key_id))


def test_an_alias_that_was_moved_is_refused(server: RunningServer, kms: KMSClient) -> None:
    key_id, other, name = new_key(kms), new_key(kms), "alias/moved"
    kms.create_alias(AliasName=name, TargetKeyId=key_id)
    kms.create_alias(AliasName="alias/still", TargetKeyId=key_id)
    change(data_of(server), "UPDATE alias SET key_id = ? WHERE name = ?", other, name, log=("alias", name))
    assert name in refused(kms.encrypt, KeyId=name, Plaintext=b"x")
    assert name in refused(kms.update_alias, AliasName=name, TargetKeyId=key_id)
    listed = {each["AliasName"] for page in kms.get_paginator("list_aliases").paginate() for each in page["Aliases"]}
    assert "alias/still" in listed
    assert name not in listed
    encrypt(kms, "alias/still")
    encrypt(kms, other)


def test_a_changed_grant_permits_nothing(server: RunningServer, kms: KMSClient) -> None:
    iam = client_with(server, "iam", credentials_of(server))
    user = Identities(server, iam).user()
    key_id = new_key(kms)
    grant = kms.create_grant(KeyId=key_id, GranteePrincipal=user.arn, Operations=["DescribeKey"])
    user.kms.describe_key(KeyId=key_id)
    widen = "UPDATE key_grant SET document = CAST(replace(document, 'DescribeKey', 'Encrypt') AS BLOB) WHERE key_id = ?"
    change(data_of(server), widen, key_id, log=("grant", f"{key_id}/{grant['GrantId']}"))
    for call, arguments in ((user.kms.encrypt, {"Plaintext": b"x"}), (user.kms.describe_key, {})):
        refused(call, code="AccessDeniedException", KeyId=key_id, **arguments)
    assert kms.list_grants(KeyId=key_id)["Grants"] == []
    encrypt(kms, key_id)


@pytest.fixture
def user(server: RunningServer) -> Person:
    iam = client_with(server, "iam", credentials_of(server))
    return Identities(server, iam).user(allow())


def test_a_changed_user_is_refused(server: RunningServer, kms: KMSClient, user: Person) -> None:
    key_id = new_key(kms)
    encrypt(user.kms, key_id)
    widen = "UPDATE identity SET document = CAST(replace(document, 'kms:*', '*') AS BLOB) WHERE unique_id = ?"
    change(data_of(server), widen, user.user_id, log=("identity", user.user_id))
    assert user.name in refused(user.kms.encrypt, code="AccessDeniedException", KeyId=key_id, Plaintext=b"x")
    iam = client_with(server, "iam", credentials_of(server))
    assert user.name in refused(iam.get_user, code="AccessDenied", UserName=user.name)
    assert user.name not in {each["UserName"] for each in iam.list_users()["Users"]}
    encrypt(kms, key_id)


@pytest.mark.parametrize("column", ["active", "principal", "wrapped_secret"])
def test_a_changed_access_key_is_refused(server: RunningServer, kms: KMSClient, user: Person, column: str) -> None:
    key_id, access_key_id = new_key(kms), user.access_key_id
    encrypt(user.kms, key_id)
    value = {"active": 0, "principal": CALLER, "wrapped_secret": b"\x01" * 60}[column]
    statement = f"UPDATE access_key SET {column} = ? WHERE access_key_id = ?"  # noqa: S608 - a column of the schema
    change(data_of(server), statement, value, access_key_id, log=("access-key", access_key_id))
    message = refused(user.kms.encrypt, code="AccessDeniedException", KeyId=key_id, Plaintext=b"x")
    assert access_key_id in message
    encrypt(kms, key_id)


def test_lost_material_is_named_and_other_material_still_decrypts(server: RunningServer, kms: KMSClient) -> None:
    key_id, data = new_key(kms), data_of(server)
    first = encrypt(kms, key_id)
    kms.rotate_key_on_demand(KeyId=key_id)
    second = encrypt(kms, key_id)
    (oldest,) = _materials(data, key_id, 0)
    change(data, "DELETE FROM key_material WHERE material_id = ?", oldest, log=("key", key_id))
    assert kms.decrypt(CiphertextBlob=second)["Plaintext"] == b"x"
    message = refused(kms.decrypt, CiphertextBlob=first, KeyId=key_id)
    assert oldest in message
    assert "damaged or missing" in message
    assert oldest in refused(kms.decrypt, CiphertextBlob=first)
    # What is written again must not be less than what was there.
    assert oldest in refused(kms.disable_key, KeyId=key_id)


def test_one_bit_of_the_current_material_is_enough(server: RunningServer, kms: KMSClient) -> None:
    key_id, data = new_key(kms), data_of(server)
    first = encrypt(kms, key_id)
    kms.rotate_key_on_demand(KeyId=key_id)
    second = encrypt(kms, key_id)
    (current,) = _materials(data, key_id, 1)
    flip = "UPDATE key_material SET token = CAST(substr(token, 1, 30) || x'00' || substr(token, 32) AS BLOB) "
    change(data, f"{flip} WHERE material_id = ?", current, log=("key", key_id))
    assert current in refused(kms.encrypt, KeyId=key_id, Plaintext=b"x")
    assert current in refused(kms.decrypt, CiphertextBlob=second)
    assert kms.decrypt(CiphertextBlob=first)["Plaintext"] == b"x"
    for call, request in (
        (kms.encrypt, {"KeyId": key_id, "Plaintext": b"x"}),
        (kms.re_encrypt, {"CiphertextBlob": first, "DestinationKeyId": key_id}),
        (kms.generate_data_key, {"KeyId": key_id, "KeySpec": "AES_256"}),
        (kms.generate_data_key_without_plaintext, {"KeyId": key_id, "KeySpec": "AES_256"}),
        (kms.generate_data_key_pair, {"KeyId": key_id, "KeyPairSpec": "ECC_NIST_P256"}),
    ):
        assert current in refused(call, **request, DryRun=True)


def test_what_was_changed_while_the_server_was_stopped(tmp_path: Path) -> None:
    data, log_file, config = tmp_path / "data", tmp_path / "log", tmp_path / "strongroom.toml"
    config.write_text("keeper-interval = 0.1\n")
    options = (*OPTIONS, "--config", str(config))
    with running_server(data, log_file, *options) as server:
        kms = client_of(server)
        key_id, other = new_key(kms), new_key(kms)
        kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
        assert server.stop() == 0
    change(data, "UPDATE kms_key SET deletion_at = 1 WHERE key_id = ?", key_id)
    change(data, "UPDATE account SET alias = 'other'")
    with running_server(data, log_file, *options) as server:
        kms = client_of(server)
        encrypt(kms, other)
        # The keeper wants to delete it now, and must not.
        scrape_until(server, lambda found: found.sum("strongroom_keeper_rounds_total") > 4)
        assert key_id in refused(kms.describe_key, KeyId=key_id)
        assert server.stop() == 0
    log = log_file.read_text()
    assert "Traceback" not in log
    assert 1 <= log.count(f"{key_id} is not used: its stored record failed authentication") <= WORKERS
    assert "account 000000000000 is not used" in log


def _materials(data: Path, key_id: str, ordinal: int) -> list[str]:
    with closing(sqlite3.connect(data / "strongroom.db")) as connection:
        query = "SELECT material_id FROM key_material WHERE key_id = ? AND ordinal = ?"
        return [each for (each,) in connection.execute(query, (key_id, ordinal))]
