"""Commands that change something leave audit records, signed before the change is made, also beside a server."""

import getpass
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from accounts import data_of, strongroom, succeed
from audits import all_audit_files, command_files, command_records
from clients import client_of, client_with, credentials_of
from issuers import ISSUER, Issuer
from local_server import RunningServer, running_server
from strongroom.clock import SystemClock

ACCOUNT = "131313131313"
SERVICE = "backup.amazonaws.com"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "data", tmp_path / "log") as running:
        yield running
        assert running.stop() == 0
        assert "The log is whole." in succeed(tmp_path / "data", "audit", "verify")


def test_each_change_has_a_record_with_the_user_who_made_it(server: RunningServer) -> None:
    data = data_of(server)
    assert command_records(data) == []
    succeed(data, "account", "create", ACCOUNT)
    key = credentials_of(server, ACCOUNT).access_key
    succeed(data, "service", "create", SERVICE)
    service_key = credentials_of(server, SERVICE).access_key
    succeed(data, "account", "root-key", ACCOUNT)
    succeed(data, "service", "delete", SERVICE)
    for reading in (("account", "list"), ("service", "list"), ("audit", "writers"), ("audit", "verify")):
        succeed(data, *reading)
    records = command_records(data)
    assert [(record["eventName"], record["serviceEventDetails"]) for record in records] == [
        ("CreateAccount", {"accountId": ACCOUNT, "accessKeyId": key}),
        ("CreateService", {"serviceName": SERVICE, "accessKeyIds": [service_key]}),
        (
            "CreateRootAccessKey",
            {
                "accountId": ACCOUNT,
                "accessKeyId": credentials_of(server, ACCOUNT).access_key,
                "deactivatedAccessKeyIds": [],
            },
        ),
        ("DeleteService", {"serviceName": SERVICE, "accessKeyIds": [service_key]}),
    ]
    for record in records:
        assert record["eventType"] == "AwsServiceEvent"
        assert record["eventSource"] == "iam.amazonaws.com"
        assert record["userIdentity"]["type"] == "OperatingSystemUser"
        assert record["userIdentity"]["principalId"] == str(os.getuid())
        assert record["userIdentity"]["userName"] == getpass.getuser()
        assert "errorCode" not in record
    assert records[0]["recipientAccountId"] == ACCOUNT
    assert records[0]["userAgent"] == "strongroom account create"
    # Each is signed at once: the last line of each file is a checkpoint.
    for path in command_files(data):
        assert path.read_bytes().splitlines()[-1].startswith(b'{"checkpoint":')
    found = succeed(data, "audit", "search", "--json", "--principal", getpass.getuser())
    assert [json.loads(line)["eventName"] for line in found.splitlines()] == [each["eventName"] for each in records]
    client_of(server).list_keys()
    node = (data / "node-id").read_text().splitlines()[-1]
    assert f"node {node}: w0 (not stopped), cli (stopped); " in succeed(data, "audit", "verify")
    (row,) = [line for line in succeed(data, "audit", "writers").splitlines() if "cli" in line]
    assert row.split()[:2] == [node, f"{node}cli"]
    assert row.endswith(" yes")
    assert not any(
        credentials_of(server, ACCOUNT).secret_key.encode() in path.read_bytes() for path in all_audit_files(data)
    )


def test_the_user_behind_sudo_is_named(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    login = Path("/proc/self/loginuid")
    if login.exists() and login.read_text() != "4294967295":
        pytest.skip("the kernel knows who logged in, which counts more than what sudo says")
    monkeypatch.setenv("SUDO_USER", "alice")
    succeed(data_of(server), "service", "create", SERVICE)
    (record,) = command_records(data_of(server))
    assert record["userIdentity"]["sessionContext"] == {"sourceIdentity": "alice"}


def test_the_keys_of_a_provider(server: RunningServer, tmp_path: Path) -> None:
    jwks = tmp_path / "jwks"
    Issuer(jwks, SystemClock().now()).publish()
    refused = strongroom(data_of(server), "identity-provider", "keys", "set", ISSUER, str(jwks))
    assert "has no OpenID Connect provider" in refused.stderr
    assert command_records(data_of(server)) == []
    iam = client_with(server, "iam", credentials_of(server))
    iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["app"])
    succeed(data_of(server), "identity-provider", "keys", "set", ISSUER, str(jwks))
    (record,) = command_records(data_of(server))
    assert record["eventName"] == "SetOpenIDConnectProviderKeys"
    assert record["serviceEventDetails"]["url"] == ISSUER
    assert record["recipientAccountId"] == "000000000000"


def test_what_is_refused_leaves_no_record(server: RunningServer) -> None:
    for arguments in (("account", "create", "000000000000"), ("service", "delete", SERVICE)):
        assert strongroom(data_of(server), *arguments).returncode == 1
    assert command_records(data_of(server)) == []


def test_a_change_that_fails_after_all_has_a_second_record(server: RunningServer) -> None:
    data = data_of(server)
    (data / "credentials.new").mkdir()
    done = strongroom(data, "service", "create", SERVICE)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    made, failed = command_records(data)
    assert "errorCode" not in made
    assert failed["errorCode"] == "CommandFailed"
    assert "credentials.new" in failed["errorMessage"]
    assert failed["serviceEventDetails"] == made["serviceEventDetails"]
    assert succeed(data, "service", "list") == ""
    (data / "credentials.new").rmdir()


@pytest.mark.skipif(os.getuid() == 0, reason="root can write everywhere")
def test_without_a_record_nothing_is_changed(tmp_path: Path) -> None:
    _made(tmp_path)
    (tmp_path / "data" / "audit").chmod(0o500)
    try:
        _refused_for_want_of_a_record(tmp_path / "data")
    finally:
        (tmp_path / "data" / "audit").chmod(0o700)


def test_without_a_folder_for_records_nothing_is_changed(tmp_path: Path) -> None:
    _made(tmp_path)
    shutil.rmtree(tmp_path / "data" / "audit")
    (tmp_path / "data" / "audit").write_text("")
    _refused_for_want_of_a_record(tmp_path / "data")


def _made(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        assert server.stop() == 0


def _refused_for_want_of_a_record(data: Path) -> None:
    credentials = (data / "credentials").read_text()
    for arguments in (
        ("account", "create", ACCOUNT),
        ("service", "create", SERVICE),
        ("account", "root-key", "0" * 12),
    ):
        done = strongroom(data, *arguments)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert f"nothing was changed, because its audit record cannot be written to `{data / 'audit'}`" in line
    assert (data / "credentials").read_text() == credentials
    with closing(sqlite3.connect(data / "strongroom.db")) as database:
        assert list(database.execute("SELECT count(*) FROM access_key")) == [(1,)]


def test_the_first_start_is_no_command_and_a_start_ends_what_a_killed_command_left(tmp_path: Path) -> None:
    _made(tmp_path)
    data = tmp_path / "data"
    assert command_files(data) == []
    succeed(data, "service", "create", SERVICE)
    # As if the command had been killed right after its record: no checkpoint, not stopped.
    (path,) = command_files(data)
    lines = path.read_bytes().splitlines(keepends=True)
    assert [line[:14] for line in lines][-1] == b'{"checkpoint":'
    path.write_bytes(b"".join(lines[:-1]))
    (end,) = (data / "audit").glob("*cli.end")
    end.unlink()  # It says that there was a checkpoint.
    with closing(sqlite3.connect(data / "strongroom.db")) as database:
        database.execute(
            "UPDATE audit_checkpoint SET statement = '', signature = '', stopped = 0 WHERE writer LIKE '%cli'"
        )
        database.commit()
    with running_server(data, tmp_path / "log2") as server:
        assert "after the last signed checkpoint when a server started" in succeed(data, "audit", "verify")
        assert command_files(data)[-1].read_bytes().splitlines()[-1].startswith(b'{"checkpoint":')
        assert server.stop() == 0
