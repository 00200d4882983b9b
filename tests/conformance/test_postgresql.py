"""``strongroom serve`` over a PostgreSQL database, as an operator sets it up, breaks it, and repairs it."""

import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import boto3
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from mypy_boto3_kms.client import KMSClient

from clients import credentials_of
from nodes import Node, copy_root_key, initialize, strongroom_on
from postgresql import OWNER, READER, SERVER, Cluster
from server_processes import wait_until

LEASE = "2"
PATIENT = Config(retries={"total_max_attempts": 1}, read_timeout=60)


@pytest.fixture
def empty(postgresql: Cluster) -> Iterator[str]:
    """Return the name of a database without tables."""
    name = "operated"
    postgresql.run(f"CREATE DATABASE {name} OWNER {OWNER}")
    yield name
    postgresql.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgresql: Cluster) -> Iterator[str]:
    """Return the name of a database with tables and no rows."""
    with postgresql.scratch() as name:
        yield name


def settings_of(store: str, **more: str) -> dict[str, str]:
    return {"STRONGROOM_STORE": store, "STRONGROOM_LEASE": LEASE, "STRONGROOM_WORKERS": "1", **more}


def node_of(folder: Path, first: Path, environment: Mapping[str, str]) -> Node:
    return Node(folder, first, environment)


@contextmanager
def two_nodes(postgresql: Cluster, database: str, folder: Path) -> Iterator[tuple[Node, Node]]:
    """Serve a new deployment on two nodes with one root key."""
    environment = settings_of(postgresql.address(database, SERVER))
    first, second = (node_of(folder / name, folder / "a", environment) for name in ("a", "b"))
    initialize(first)
    copy_root_key(first.data, second.data)
    with closing(first), closing(second):
        first.start()
        second.start()
        yield first, second


def failed_start(node: Node) -> str:
    """Start a node that must end by itself; return its last line."""
    done = node.command("serve", "--listen", "127.0.0.1:0")
    assert done.returncode == 1, done.stdout
    return done.stderr.rstrip("\n").rpartition("\n")[2]


def kms_of(node: Node) -> KMSClient:
    key = credentials_of(node.server)
    return boto3.client(
        "kms",
        endpoint_url=node.server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        config=PATIENT,
    )


def test_two_nodes_from_an_empty_database_on(postgresql: Cluster, empty: str, tmp_path: Path) -> None:
    environment = settings_of(postgresql.address(empty, SERVER))
    first = node_of(tmp_path / "a", tmp_path / "a", environment)
    second = node_of(tmp_path / "b", tmp_path / "a", environment)
    name = f"the database `127.0.0.1:{postgresql.port}/{empty}`"
    told = first.command("init")
    assert told.stderr == (
        f"Error: {name}: it has no tables of Strongroom; make them, as the owner of the database, with: strongroom "
        "database migrate\n"
    )
    owner = postgresql.address(empty, OWNER)
    refused = strongroom_on({}, "database", "migrate", "--store", owner, "--serve", "nobody-else")
    assert "there is no role `nobody-else`; make it first" in refused.stderr
    for said in (f"Made the tables of schema 00[0-9]+ in {name}", f"{name} has schema 00[0-9]+ already"):
        done = strongroom_on({}, "database", "migrate", "--store", owner, "--serve", SERVER, "--read", READER)
        assert done.returncode == 0, done.stderr
        assert re.match(said, done.stdout)
        assert f"Role {SERVER} may read and write all tables.\nRole {READER} may read all tables.\n" in done.stdout

    # No start makes keys: of two, each could make its own.
    assert f"{name} has no keys yet; make them once, on one node, with: strongroom init" in failed_start(first)
    assert sorted(each.name for each in first.data.iterdir()) == ["serving"]
    initialize(first)
    assert "it was initialized before" in first.command("init").stderr
    assert "it was initialized before" in second.command("init").stderr
    assert f"`{second.data / 'root.key'}` is missing: copy the file, with mode 0600" in failed_start(second)
    assert not (second.data / "node-id").exists()
    shutil.copy(first.data / "root.key", second.data)
    with closing(first), closing(second):
        first.start()
        second.start()
        one, other = kms_of(first), kms_of(second)
        key_id = one.create_key()["KeyMetadata"]["KeyId"]
        sealed = other.encrypt(KeyId=key_id, Plaintext=b"shared")["CiphertextBlob"]
        assert one.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"shared"
        other.disable_key(KeyId=key_id)
        with pytest.raises(one.exceptions.DisabledException):
            one.decrypt(CiphertextBlob=sealed)
        one.enable_key(KeyId=key_id)

        # Commands on either node are commands on all.
        assert second.command("account", "create", "111122223333").returncode == 0
        assert "account 111122223333 exists already" in first.command("account", "create", "111122223333").stderr
        assert "111122223333" in first.command("account", "list").stdout
        for node in (first, second):
            doctor = node.command("doctor").stdout
            assert "CRITICAL" not in doctor
            assert "UNKNOWN" not in doctor
            assert "Traceback" not in node.logs[0].read_text()


def test_seals_are_those_of_all_nodes(postgresql: Cluster, database: str, tmp_path: Path) -> None:
    with two_nodes(postgresql, database, tmp_path) as (first, second):
        other = kms_of(second)
        key_id = kms_of(first).create_key()["KeyMetadata"]["KeyId"]
        sealed = other.encrypt(KeyId=key_id, Plaintext=b"shared")["CiphertextBlob"]
        passphrase = tmp_path / "passphrase"
        passphrase.write_text("correct horse battery staple\n")
        added = second.command("seal", "add", "recovery", "passphrase", "--new-passphrase-file", str(passphrase))
        assert added.returncode == 0, added.stderr
        assert "recovery:" in first.command("seal", "status").stdout
        assert (
            "there is a seal 'recovery' already"
            in first.command("seal", "add", "recovery", "passphrase", "--new-passphrase-file", str(passphrase)).stderr
        )
        given = {**first.environment, "STRONGROOM_SEAL_PASSPHRASE_FILE": str(passphrase)}
        rotated = strongroom_on(given, "seal", "rotate", "--data", str(first.data))
        assert rotated.returncode == 0, rotated.stderr
        assert "Every other node needs it, with mode 0600" in rotated.stdout
        assert rotated.stdout.splitlines()[-1] == str(first.data / "root-2.key")
        # The other node goes on with what it has opened.
        assert other.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"shared"
        assert second.stop() == 0
        assert "root-2.key" in failed_start(second)
        shutil.copy(first.data / "root-2.key", second.data)
        second.start()
        assert kms_of(second).decrypt(CiphertextBlob=sealed)["Plaintext"] == b"shared"
        assert not (second.data / "root.key").exists()


def test_of_two_that_initialize_at_once_one_does(postgresql: Cluster, database: str, tmp_path: Path) -> None:
    environment = settings_of(postgresql.address(database, SERVER))
    nodes = [node_of(tmp_path / name, tmp_path / name, environment) for name in ("a", "b", "c")]
    results: dict[str, tuple[int, str]] = {}

    def run(node: Node) -> None:
        done = node.command("init")
        results[node.data.name] = (done.returncode, done.stderr)

    threads = [threading.Thread(target=run, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [node for node in nodes if results[node.data.name][0] == 0]
    assert len(made) == 1, results
    for node in nodes:
        if node is not made[0]:
            assert re.search(
                "were made in the meantime|was initialized before|is missing: copy the file", results[node.data.name][1]
            ), results
            # The root key that it had made opens nothing.
            assert not (node.data / "root.key").exists()
    with closing(made[0]) as node:
        node.start()
        kms_of(node).create_key()


def test_mistakes_of_an_operator_are_named(postgresql: Cluster, database: str, tmp_path: Path) -> None:
    address = postgresql.address(database, SERVER)
    node = node_of(tmp_path / "a", tmp_path / "a", settings_of(address))
    initialize(node)
    port = postgresql.port
    wrong = {
        "postgresql://u@h/d&password=secret": "`store` is not valid: the name of the database has `&`",
        "mysql://u:secret@h/d": "STRONGROOM_STORE is not valid: it must be the address of a PostgreSQL database",
        f"host=127.0.0.1 port=1 dbname={database} user={SERVER} password=secret": "Connection refused",
        f"host=127.0.0.1 port={port} dbname=absent user={SERVER} password=secret": 'database "absent" does not exist',
        f"host=127.0.0.1 port={port} dbname={database} user=absent password=secret": 'role "absent" does not exist',
        f"host=127.0.0.1 port={port} dbname=postgres user={SERVER}": "it has no tables of Strongroom",
    }
    for store, said in wrong.items():
        message = failed_start(node_of(node.data, node.data, settings_of(store)))
        assert said in message
        assert "secret" not in message
    missing = settings_of(address, STRONGROOM_STORE_PASSWORD_FILE=str(tmp_path / "absent"))
    assert f"the file of the password, `{tmp_path / 'absent'}`, cannot be read" in failed_start(
        node_of(node.data, node.data, missing)
    )
    reading = settings_of(postgresql.address(database, READER))
    assert f"the role `{READER}` may not write to" in failed_start(node_of(node.data, node.data, reading))
    with closing(psycopg.connect(postgresql.address(database), autocommit=True)) as connection:
        connection.execute("UPDATE schema_window SET oldest = '9999', newest = '9999'")
    assert "it is for releases from schema 9999 on" in failed_start(node)
    assert "it is for releases from schema 9999 on" in node.command("account", "list").stderr
    with closing(psycopg.connect(postgresql.address(database), autocommit=True)) as connection:
        connection.execute("UPDATE schema_window SET oldest = '0015', newest = '0015'")
    shutil.copy(node.data / "root.key", tmp_path / "kept")
    (node.data / "root.key").write_text((node.data / "root.key").read_text().replace("key", "kez", 1))
    assert "is not a root key file" in failed_start(node)


def test_what_only_reads_needs_no_more_than_the_role_of_readers(
    postgresql: Cluster, database: str, tmp_path: Path
) -> None:
    node = node_of(tmp_path / "a", tmp_path / "a", settings_of(postgresql.address(database, SERVER)))
    initialize(node)
    with closing(node):
        node.start()
        kms_of(node).create_key()
        assert node.stop() == 0
    key = node.command("audit", "public-key").stdout
    (tmp_path / "key.pem").write_text(key)
    node.environment["STRONGROOM_STORE"] = postgresql.address(database, READER)
    verified = node.command("audit", "verify", "--public-key", str(tmp_path / "key.pem"))
    assert "The log is whole." in verified.stdout, verified.stderr
    assert "CreateKey" in node.command("audit", "search", "--event", "CreateKey").stdout
    assert node.command("audit", "writers").returncode == 0
    doctor = node.command("doctor", "--quick").stdout
    assert "OK       records" not in doctor
    assert "OK       schema" in doctor


def test_a_server_lives_through_the_loss_of_its_database(postgresql: Cluster, database: str, tmp_path: Path) -> None:
    node = node_of(tmp_path / "a", tmp_path / "a", settings_of(postgresql.address(database, SERVER)))
    initialize(node)
    with closing(node):
        node.start()
        kms = kms_of(node)
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.encrypt(KeyId=key_id, Plaintext=b"x")
        postgresql.stop("immediate")
        try:
            wait_until(lambda: outcome(kms, key_id) == "DependencyTimeoutException")
            with pytest.raises(ClientError) as met:
                kms.create_key()
            assert met.value.response["Error"]["Code"] == "DependencyTimeoutException"
            other = node_of(tmp_path / "b", tmp_path / "a", node.environment)
            copy_root_key(node.data, other.data)
            assert "cannot be reached" in failed_start(other)
        finally:
            postgresql.start()
        postgresql.until_ready()
        wait_until(lambda: not outcome(kms, key_id))
        kms.create_key()
        assert "Traceback" not in node.logs[0].read_text()


def outcome(kms: KMSClient, key_id: str) -> str:
    """Use a key; return the code of the error, or nothing."""
    try:
        kms.encrypt(KeyId=key_id, Plaintext=b"x")
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_a_failover_with_loss_is_told_and_can_be_accepted(postgresql: Cluster, database: str, tmp_path: Path) -> None:
    with two_nodes(postgresql, database, tmp_path) as (first, second):
        for node in (first, second):
            kms_of(node).create_key()
        assert (first.stop(), second.stop()) == (0, 0)
        # What an asynchronous standby had not received.
        with closing(psycopg.connect(postgresql.address(database), autocommit=True)) as connection:
            connection.execute("DELETE FROM change WHERE sequence > 2")
            connection.execute("UPDATE generation SET number = 2, tag = 'otherway'")
        for node in (first, second):
            told = failed_start(node)
            assert "acknowledged changes are missing" in told
            assert f"strongroom database accept-older --data {node.data}" in told
        accepted = first.command("database", "accept-older")
        assert accepted.returncode == 0, accepted.stderr
        first.start()
        # The decision is for all nodes.
        second.start()
        for node in (first, second):
            kms_of(node).create_key()
        assert (first.stop(), second.stop()) == (0, 0)
        assert "there is nothing to accept" in first.command("database", "accept-older").stderr
