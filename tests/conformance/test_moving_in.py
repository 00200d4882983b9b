"""``strongroom import aws`` and ``migrate-ciphertexts``, as processes, from one account of a server to another."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from accounts import Account, data_of, strongroom
from local_server import RunningServer

OLD, NEW = "777700001111", "777700002222"


@pytest.fixture(scope="module")
def old(server: RunningServer) -> Account:
    return Account(server, OLD)


@pytest.fixture(scope="module")
def new(server: RunningServer) -> Account:
    return Account(server, NEW)


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom`` in the environment of a shell that is pointed at the server."""
    command = [sys.executable, "-m", "strongroom", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


def test_keys_move_from_one_account_to_another(
    server: RunningServer, old: Account, new: Account, tmp_path: Path
) -> None:
    key = old.kms.create_key(Description="orders")["KeyMetadata"]
    old.kms.create_alias(AliasName="alias/orders", TargetKeyId=key["KeyId"])
    export, report = tmp_path / "export.json", tmp_path / "report.json"
    exported = run(server.environment, "import", "aws", "--profile", OLD, "--export", str(export))
    assert (exported.returncode, exported.stderr) == (0, "")
    assert exported.stdout.startswith(f"Wrote 1 keys of account {OLD} in us-east-1")
    rest = ("--from", str(export), "--account", NEW, "--report", str(report))
    assert "Keys: 1 imported." in strongroom(data_of(server), "import", "aws", *rest).stdout
    assert "Keys: 1 present." in strongroom(data_of(server), "import", "aws", *rest).stdout
    moved = new.kms.describe_key(KeyId="alias/orders")["KeyMetadata"]
    assert moved["Arn"] == key["Arn"].replace(OLD, NEW)
    assert f"arn:aws:iam::{NEW}:root" in new.kms.get_key_policy(KeyId=moved["KeyId"])["Policy"]
    assert json.loads(report.read_text())["complete"] is True


def test_ciphertexts_move_from_one_account_to_another(
    server: RunningServer, old: Account, new: Account, tmp_path: Path
) -> None:
    source = old.kms.create_key()["KeyMetadata"]["KeyId"]
    target = new.kms.create_key()["KeyMetadata"]["KeyId"]
    context = {"app": "demo"}
    blob = old.kms.encrypt(KeyId=source, Plaintext=b"a secret", EncryptionContext=context)["CiphertextBlob"]
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "secrets" / "blob"
    file.write_bytes(blob)
    database = tmp_path / "application.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE secret (id INTEGER PRIMARY KEY, content BLOB)")
        connection.execute("INSERT INTO secret VALUES (1, ?)", (blob,))
    sides = ("--from-profile", OLD, "--to-profile", NEW, "--to-key", target, "--context", "app=demo")
    column = ("--database", f"sqlite:///{database}", "--table", "secret", "--column", "content", "--key-column", "id")
    for number, place in enumerate(((str(tmp_path / "secrets"),), column)):
        # The first one is among the files that are migrated.
        journal = ("--journal", str(tmp_path / "secrets" / f"journal{number}"))
        done = run(server.environment, "migrate-ciphertexts", *place, *sides, *journal)
        assert (done.returncode, done.stdout, done.stderr) == (0, "1 re-encrypted.\n", "")
        again = run(server.environment, "migrate-ciphertexts", *place, *sides, *journal)
        assert (again.returncode, again.stdout) == (0, "0 re-encrypted, 1 before.\n")
    with closing(sqlite3.connect(database)) as connection:
        ((content,),) = connection.execute("SELECT content FROM secret").fetchall()
    for moved in (file.read_bytes(), content):
        answer = new.kms.decrypt(CiphertextBlob=moved, EncryptionContext=context)
        assert (answer["Plaintext"], answer["KeyId"].rpartition("/")[2]) == (b"a secret", target)


def test_plaintext_does_not_leave_the_machine_unencrypted(server: RunningServer) -> None:
    sides = ("--to-key", "x", "--to-endpoint-url", "http://192.0.2.1")
    done = run(server.environment, "migrate-ciphertexts", __file__, "--dry-run", *sides)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: `http://192.0.2.1` would carry plaintext unencrypted over the network; give an https URL\n"
    )
