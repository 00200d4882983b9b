"""``strongroom keys`` beside a running server, as an auditor uses it."""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from accounts import data_of, strongroom, succeed
from clients import client_of, client_with, credentials_of
from identities import Identities
from local_server import RunningServer, running_server
from policies import allow

ACCOUNT = "000000000000"


class Scene:
    """A server with a key that is used by a user, one that waits for its deletion, and one in another Region."""

    def __init__(self, server: RunningServer) -> None:
        self.data = data_of(server)
        kms = client_of(server)
        self.user = Identities(server, client_with(server, "iam", credentials_of(server))).user(allow(do="kms:*"))
        self.used = kms.create_key(Description="=cmd")["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/payroll", TargetKeyId=self.used)
        kms.enable_key_rotation(KeyId=self.used, RotationPeriodInDays=180)
        kms.create_grant(KeyId=self.used, GranteePrincipal=self.user.arn, Operations=["Decrypt"])
        kms.encrypt(KeyId=self.used, Plaintext=b"x")
        # What a caller chooses must not be taken for the id of a record.
        confusing = {"eventID": "00000000-0000-0000-0000-000000000000"}
        self.user.kms.encrypt(KeyId=self.used, Plaintext=b"x", EncryptionContext=confusing)
        self.doomed = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        kms.schedule_key_deletion(KeyId=self.doomed, PendingWindowInDays=7)
        elsewhere = client_with(server, "kms", credentials_of(server), region="eu-west-1")
        self.elsewhere = elsewhere.create_key()["KeyMetadata"]["KeyId"]

    def keys(self, *options: str) -> dict[str, dict[str, Any]]:
        """Return the keys that are listed, by their ids."""
        lines = succeed(self.data, "keys", "--json", *options).splitlines()
        return {each["key_id"]: each for each in map(json.loads, lines)}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("listed")
    with running_server(folder / "data", folder / "log", "--region", "us-east-1", "--region", "eu-west-1") as server:
        yield Scene(server)


def test_what_is_told_of_a_key(scene: Scene) -> None:
    found = scene.keys()
    assert set(found) == {scene.used, scene.doomed, scene.elsewhere}
    used = found[scene.used]
    for name, value in {
        "arn": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{scene.used}",
        "state": "Enabled",
        "aliases": ["alias/payroll"],
        "spec": "SYMMETRIC_DEFAULT",
        "usage": "ENCRYPT_DECRYPT",
        "origin": "AWS_KMS",
        "manager": "CUSTOMER",
        "rotation_days": 180,
        "deletion": None,
        "grants": 1,
        "reach": {"everyone": False, "everyone_if": False, "accounts": [ACCOUNT], "principals": []},
    }.items():
        assert used[name] == value
    assert used["next_rotation"] > used["created"]
    assert {**used["last_use"], "at": "", "event_id": ""} == {
        "at": "",
        "event_id": "",
        "operation": "Encrypt",
        "by": scene.user.arn,
    }
    event = succeed(scene.data, "audit", "search", "--json", "--event-id", used["last_use"]["event_id"])
    assert json.loads(event)["userIdentity"]["arn"] == scene.user.arn
    assert found[scene.doomed]["deletion"] > found[scene.doomed]["created"]
    assert found[scene.doomed]["last_use"] is None


def test_keys_are_selected(scene: Scene) -> None:
    assert set(scene.keys("--region", "eu-west-1")) == {scene.elsewhere}
    assert set(scene.keys("--state", "pendingdeletion")) == {scene.doomed}
    assert set(scene.keys("--state", "Enabled", "--state", "PendingDeletion", "--region", "us-east-1")) == {
        scene.used,
        scene.doomed,
    }
    assert scene.keys("--account", "111122223333") == {}


def test_a_table_and_csv(scene: Scene) -> None:
    head, *rows = succeed(scene.data, "keys").splitlines()
    names = re.split(r"  +", head)
    assert [names[0].split()[0], names[-1]] == ["KEY", "BY"]
    assert len(rows) == 3
    row = next(each for each in rows if each.startswith(scene.used))
    for cell in ("alias/payroll", "Enabled", "account root; 1 grant", "180 d, ", "SYMMETRIC_DEFAULT", scene.user.arn):
        assert f" {cell}" in row
    assert f"{scene.doomed} -" in next(each for each in rows if "PendingDeletion 2" in each)
    read = list(csv.DictReader(io.StringIO(succeed(scene.data, "keys", "--csv"))))
    assert {each["key_id"] for each in read} == {scene.used, scene.doomed, scene.elsewhere}
    described = next(each for each in read if each["key_id"] == scene.used)
    # A spreadsheet would run it.
    assert described["description"] == "'=cmd"
    assert described["last_used_by"] == scene.user.arn


def test_who_may_do_something_is_decided(scene: Scene) -> None:
    root = f"arn:aws:iam::{ACCOUNT}:root"
    found = scene.keys("--who-can", "Decrypt", "--region", "us-east-1")
    assert {tuple(each["may"]) for each in found.values()} == {(root, scene.user.arn)}
    assert scene.keys("--region", "eu-west-1")[scene.elsewhere]["may"] is None


def test_one_form_at_a_time(scene: Scene) -> None:
    assert "give --json or --csv, not both" in strongroom(scene.data, "keys", "--json", "--csv").stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--state", "Gone"), "`Gone` is not one of Enabled, Disabled, PendingDeletion, "),
        (("--account", "12"), "`12` is no account id, which has 12 digits"),
        (("--region", "eu-west1"), "`eu-west1` is not a Region such as us-east-1"),
        (("--who-can", "kms:Dance"), "there is no action kms:Dance"),
    ],
)
def test_an_option_that_can_find_nothing_is_a_mistake(scene: Scene, options: tuple[str, ...], says: str) -> None:
    done = strongroom(scene.data, "keys", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
