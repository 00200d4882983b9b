"""``strongroom audit`` beside a running server, as an operator uses it."""

import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from accounts import data_of, strongroom, succeed
from audits import audit_files, audit_records
from child_processes import killed
from client_errors import error_code_of
from clients import client_of, client_with, credentials_of
from identities import Identities
from local_deployment import LocalDeployment
from local_server import RunningServer, running_server
from policies import allow
from strongroom.clock import ManualClock

ROOT = "arn:aws:iam::000000000000:root"


class Scene:
    """A server with a few calls behind it: two keys, an alias, a user who may not decrypt."""

    def __init__(self, server: RunningServer) -> None:
        self.data = data_of(server)
        kms = client_of(server)
        self.key_id, self.other = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
        kms.create_alias(AliasName="alias/payroll", TargetKeyId=self.key_id)
        self.user = Identities(server, client_with(server, "iam", credentials_of(server))).user(allow(do="kms:Encrypt"))
        self.blob = self.user.kms.encrypt(KeyId=self.key_id, Plaintext=b"x")["CiphertextBlob"]
        self.user.kms.encrypt(KeyId="alias/payroll", Plaintext=b"x")
        self.user.kms.encrypt(KeyId=self.other, Plaintext=b"x")
        assert error_code_of(self.user.kms.decrypt, CiphertextBlob=self.blob) == "AccessDeniedException"
        # No denial: it was allowed, and could not be done.
        kms.disable_key(KeyId=self.other)
        assert error_code_of(kms.encrypt, KeyId=self.other, Plaintext=b"x") == "DisabledException"

    def search(self, *options: str) -> list[str]:
        """Return the names of the events found."""
        found = succeed(self.data, "audit", "search", "--json", *options)
        return [json.loads(line)["eventName"] for line in found.splitlines()]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("audited")
    (folder / "strongroom.toml").write_text("audit-segment-size = 4096\n")
    options = ("--config", str(folder / "strongroom.toml"))
    with running_server(folder / "data", folder / "log", *options) as server:
        yield Scene(server)
        assert server.stop() == 0


def test_the_record_of_a_refused_call_is_bounded_and_found(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        kms = client_of(server)
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        user = Identities(server, client_with(server, "iam", credentials_of(server))).user()
        before = sum(path.stat().st_size for path in audit_files(data_of(server)))
        tags = [{"TagKey": f"{number:04}" + "k" * 100, "TagValue": "v" * 256} for number in range(1000)]
        assert error_code_of(user.kms.tag_resource, KeyId=key_id, Tags=tags) == "AccessDeniedException"
        assert sum(path.stat().st_size for path in audit_files(data_of(server))) - before < 4096
        found = succeed(data_of(server), "audit", "search", "--json", "--denied", "--key", key_id)
        parameters = json.loads(found)["requestParameters"]
        assert parameters["keyId"] == key_id
        assert parameters["tags"]["omitted"] is True
        assert parameters["tags"]["originalSize"] > 380_000
        assert server.stop() == 0
        succeed(data_of(server), "audit", "verify")


def test_search_by_key_under_each_of_its_names(scene: Scene) -> None:
    arn = f"arn:aws:kms:us-east-1:000000000000:key/{scene.key_id}"
    alias = "arn:aws:kms:us-east-1:000000000000:alias/payroll"
    expected = ["CreateKey", "CreateAlias", "Encrypt", "Encrypt", "Decrypt"]
    for name in (arn, "alias/payroll", alias):
        assert scene.search("--key", name) == expected
    assert scene.search("--key", scene.key_id) == expected
    assert scene.search("--key", scene.other) == ["CreateKey", "Encrypt", "DisableKey", "Encrypt"]
    assert scene.search("--key", "alias/none") == []


def test_search_by_principal_and_event(scene: Scene) -> None:
    for name in (scene.user.arn, scene.user.name):
        assert scene.search("--principal", name) == ["Encrypt", "Encrypt", "Encrypt", "Decrypt"]
    assert scene.search("--principal", ROOT, "--event", "createalias") == ["CreateAlias"]
    assert scene.search("--principal", scene.user.arn, "--event", "CreateAlias") == []


def test_denied_is_what_was_refused_for_want_of_permission(scene: Scene) -> None:
    assert scene.search("--denied") == ["Decrypt"]


def test_search_by_time(scene: Scene) -> None:
    everything = scene.search()
    assert everything == [record["eventName"] for record in audit_records(scene.data)]
    assert scene.search("--since", "1h") == scene.search("--since", "2026-01-01") == everything
    assert scene.search("--since", "2999-01-01T00:00:00+02:00") == []
    assert scene.search("--until", "1d") == scene.search("--until", "2026-01-01T00:00:00Z") == []
    wrong = strongroom(scene.data, "audit", "search", "--since", "yesterday")
    assert wrong.returncode == 2
    assert "`yesterday` is neither a time nor a duration such as 15m" in wrong.stderr


def test_a_table_for_people(scene: Scene) -> None:
    head, row = succeed(scene.data, "audit", "search", "--denied").splitlines()
    assert head.split() == ["TIME", "NODE", "WORKER", "EVENT", "RESULT", "PRINCIPAL", "KEY"]
    time, node, worker, *rest = row.split()
    assert node in (scene.data / "node-id").read_text().splitlines()
    assert worker == "w0"
    assert time.endswith("Z")
    arn = f"arn:aws:kms:us-east-1:000000000000:key/{scene.key_id}"
    assert rest == ["Decrypt", "AccessDenied", scene.user.arn, arn]


def test_the_newest_records_and_csv(scene: Scene) -> None:
    everything = scene.search()
    assert scene.search("--limit", "2") == everything[-2:]
    assert scene.search("--limit", str(len(everything) + 1)) == everything
    [refused] = csv.DictReader(io.StringIO(succeed(scene.data, "audit", "search", "--csv", "--denied")))
    assert (refused["event"], refused["result"], refused["region"]) == ("Decrypt", "AccessDenied", "us-east-1")
    assert scene.search("--event-id", refused["event_id"]) == ["Decrypt"]
    for wrong in (
        ("--json", "--csv"),
        ("--follow", "--until", "1h"),
        ("--limit", "0"),
        ("--since", "1h", "--until", "2h"),
    ):
        assert strongroom(scene.data, "audit", "search", *wrong).returncode == 2


def test_the_log_is_followed(scene: Scene) -> None:
    command = [sys.executable, "-m", "strongroom", "audit", "search", "--follow", "--json", "--limit", "1"]
    with (
        subprocess.Popen([*command, "--data", str(scene.data)], stdout=subprocess.PIPE, text=True) as following,
        killed(following),
    ):
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["eventName"] == scene.search()[-1]
        scene.user.kms.encrypt(KeyId=scene.key_id, Plaintext=b"x")
        assert json.loads(following.stdout.readline())["eventName"] == "Encrypt"
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 0


def test_a_terminal_has_one_line_for_each_record(scene: Scene) -> None:
    ours, theirs = os.openpty()
    with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123 - a descriptor
        command = [sys.executable, "-m", "strongroom", "audit", "search", "--denied", "--data", str(scene.data)]
        done = subprocess.run(command, stdout=theirs, check=True, env={**os.environ, "COLUMNS": "90"}, timeout=60)
        os.close(theirs)
        head, row = terminal.read(4096).decode().splitlines()
    assert done.returncode == 0
    assert head.split()[0] == "TIME"
    assert len(row) <= 90
    assert "…" in row


def test_nodes_and_workers_are_shown(scene: Scene) -> None:
    node = (scene.data / "node-id").read_text().splitlines()[-1]
    assert f"node {node}: w0 (not stopped); " in succeed(scene.data, "audit", "verify")
    head, row = succeed(scene.data, "audit", "writers").splitlines()
    assert head.split() == ["NODE", "WRITER", "FIRST", "SEEN", "LAST", "CHECKPOINT", "STOPPED"]
    found, writer, first, last, stopped = row.split()
    assert (found, writer, stopped) == (node, f"{node}w0", "no")
    assert first.endswith("Z")
    # The keeper signs every five seconds.
    assert last == "-" or last >= first


def test_a_log_is_verified_far_from_its_server(scene: Scene, tmp_path: Path) -> None:
    pem = tmp_path / "audit.pem"
    pem.write_text(succeed(scene.data, "audit", "public-key"))
    assert pem.read_text().startswith("-----BEGIN PUBLIC KEY-----\n")
    assert "The log is whole." in succeed(scene.data, "audit", "verify", "--public-key", str(pem))
    away = tmp_path / "away"
    shutil.copytree(scene.data / "audit", away / "audit")
    told = succeed(away, "audit", "verify", "--public-key", str(pem))
    assert "without the database it cannot be judged whether the end of the log is missing" in told
    found = succeed(away, "audit", "search", "--json", "--key", "alias/payroll")
    assert [json.loads(line)["eventName"] for line in found.splitlines()] == ["CreateAlias", "Encrypt"]
    assert {path.name for path in away.iterdir()} == {"audit"}
    (pem.with_name("rsa.pem")).write_text("nothing")
    wrong = strongroom(away, "audit", "verify", "--public-key", str(pem.with_name("rsa.pem")))
    assert "holds no Ed25519 public key" in wrong.stderr
    assert "does not exist" in strongroom(tmp_path, "audit", "verify", "--public-key", str(pem)).stderr


def test_with_the_public_key_the_database_is_only_read(scene: Scene, tmp_path: Path) -> None:
    pem = tmp_path / "audit.pem"
    pem.write_text(succeed(scene.data, "audit", "public-key"))
    away = tmp_path / "away"
    shutil.copytree(scene.data, away)
    # As of the copy, whose last lines may be in the write-ahead log, and without what only servers need.
    for name in ("strongroom.db-writer", "root.key", "credentials", "registering"):
        (away / name).unlink()
    names = {path.name for path in away.iterdir()} | {"strongroom.db-shm", "strongroom.db-wal"}
    told = succeed(away, "audit", "verify", "--public-key", str(pem))
    assert "The log is whole." in told
    assert "without the database" not in told
    search = ("audit", "search", "--key", "alias/payroll")
    assert succeed(away, *search) == succeed(scene.data, *search)
    assert {path.name for path in away.iterdir()} <= names
    with closing(sqlite3.connect(away / "strongroom.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
        database.commit()
    for command in (("verify", "--public-key", str(pem)), ("search", "--key", "alias/payroll")):
        refused = strongroom(away, "audit", *command)
        # Of a verification, 1 would say that something was found.
        assert refused.returncode == (2 if command[0] == "verify" else 1)
        assert "the database has schema 0001, and this release of Strongroom reads schema" in refused.stderr
    (away / "strongroom.db").write_bytes(b"no database")
    refused = strongroom(away, "audit", "verify", "--public-key", str(pem))
    assert "cannot be read" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_what_was_done_is_told_with_file_line_and_sequence(scene: Scene, tmp_path: Path) -> None:
    pem = tmp_path / "audit.pem"
    pem.write_text(succeed(scene.data, "audit", "public-key"))
    shutil.copytree(scene.data / "audit", tmp_path / "audit")
    second = audit_files(tmp_path)[1]
    lines = second.read_bytes().splitlines(keepends=True)
    sequence = json.loads(lines[1])["chain"]["sequence"]
    lines[1] = lines[1].replace(b'"readOnly":', b'"readonly":')
    second.write_bytes(b"".join(lines))
    done = strongroom(tmp_path, "audit", "verify", "--public-key", str(pem))
    assert done.returncode == 1
    assert f"{second.name}:2: sequence {sequence}: ALTERED:" in done.stdout
    assert "The log is not what was written: 1 finding." in done.stdout
    assert done.stderr == ""


def test_verification_beside_a_busy_server(tmp_path: Path) -> None:
    (tmp_path / "strongroom.toml").write_text("audit-segment-size = 65536\nkeeper-interval = 0.1\n")
    data = tmp_path / "data"
    with running_server(data, tmp_path / "log", "--config", str(tmp_path / "strongroom.toml")) as server:
        kms = client_of(server)
        kms.list_keys()
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                kms.list_keys()

        worker = threading.Thread(target=work)
        worker.start()
        try:
            for times in range(100):
                assert "The log is whole." in succeed(data, "audit", "verify")
                if times >= 5 and len(audit_files(data)) > 3:
                    break
        finally:
            stop.set()
            worker.join()
        assert server.stop() == 0
    assert len(audit_files(data)) > 2
    assert "note:" not in succeed(data, "audit", "verify")


@pytest.mark.parametrize("identity", ["0123456789ab", ""])
def test_a_chain_does_not_disappear_behind_another_node_id(tmp_path: Path, identity: str) -> None:
    local = LocalDeployment(tmp_path / "data", ManualClock(1_790_000_000.0))
    local.call("CreateKey")
    local.deployment.close()
    assert "The log is whole." in succeed(local.folder, "audit", "verify")
    shutil.rmtree(local.folder / "audit")
    if identity:
        (local.folder / "node-id").write_text(f"{identity}\n")
    else:
        (local.folder / "node-id").unlink()
    local.reopen()
    local.call("CreateKey")
    local.deployment.close()
    done = strongroom(local.folder, "audit", "verify")
    assert (done.returncode, "FILE MISSING" in done.stdout.replace("_", " ")) == (1, True)
