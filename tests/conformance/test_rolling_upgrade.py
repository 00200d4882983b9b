"""Two releases serve one database while a client goes on: nodes are upgraded one by one over a migration."""

import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import boto3
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from mypy_boto3_kms.client import KMSClient

from clients import credentials_of
from next_release import NEXT_RELEASE, NEXT_SCHEMA, make_next_release
from nodes import Node, Nodes, nodes_of, running_nodes, strongroom_on
from postgresql import OWNER, Cluster
from server_processes import wait_until
from strongroom import __version__
from strongroom.store.postgresql.schema_version import SCHEMA

SETTINGS = {"STRONGROOM_LEASE": "2", "STRONGROOM_WORKERS": "1"}


class Database:
    """The database of the nodes, as its owner sees it."""

    def __init__(self, address: str) -> None:
        self.address = address

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with closing(psycopg.connect(self.address, autocommit=True)) as connection:
            return connection.execute(statement.encode()).fetchall()

    def migrate(self, *options: str, code: Path | None = None) -> tuple[int, str]:
        """Run the command of this release, or of the one whose code is given; return its exit code and words."""
        path = {} if code is None else {"PYTHONPATH": str(code)}
        done = strongroom_on(path, "database", "migrate", "--store", self.address, *options)
        return done.returncode, done.stdout + done.stderr

    @property
    def releases(self) -> set[object]:
        return {row[0] for row in self.rows("SELECT release FROM member")}


class Client:
    """Calls of several kinds, one after the other, each to the next node that is in rotation. None is tried again."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = list(nodes)
        self._clients = {node.port: kms_of(node) for node in nodes}
        # Held during a call: a node that is taken out of rotation has answered all that it was asked.
        self._rotation = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.failures: list[str] = []
        self.rounds = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def until_further(self, rounds: int = 3) -> None:
        """Wait until it has done some rounds more."""
        goal = self.rounds + rounds
        wait_until(lambda: self.rounds >= goal or bool(self.failures))

    def upgrade(self, node: Node, code: Path) -> None:
        """Take a node out of rotation, as a load balancer does, upgrade it, and put it back."""
        with self._rotation:
            self._nodes.remove(node)
        assert node.stop() == 0
        node.environment["PYTHONPATH"] = str(code)
        node.start()
        with self._rotation:
            self._nodes.append(node)

    def _call(self, operation: str, **request: object) -> dict[str, Any]:
        with self._rotation:
            node = self._nodes.pop(0)
            self._nodes.append(node)
            answer: dict[str, Any] = getattr(self._clients[node.port], operation)(**request)
            return answer

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - the test shows it
                self.failures.append(f"{type(error).__name__}: {error}")
                return
            self.rounds += 1

    def _round(self) -> None:
        key_id = self._call("create_key")["KeyMetadata"]["KeyId"]
        alias = f"alias/{key_id}"
        self._call("create_alias", AliasName=alias, TargetKeyId=key_id)
        blob = self._call("encrypt", KeyId=alias, Plaintext=b"secret")["CiphertextBlob"]
        self._call("disable_key", KeyId=key_id)
        for _ in range(2):
            with pytest.raises(ClientError, match="DisabledException"):
                self._call("decrypt", CiphertextBlob=blob)
        self._call("enable_key", KeyId=key_id)
        for _ in range(2):
            assert self._call("decrypt", CiphertextBlob=blob)["Plaintext"] == b"secret"


def kms_of(node: Node) -> KMSClient:
    key = credentials_of(node.server)
    once = Config(retries={"total_max_attempts": 1}, read_timeout=60)
    return boto3.client(
        "kms",
        endpoint_url=f"http://127.0.0.1:{node.port}",
        region_name="us-east-1",
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        config=once,
    )


def test_no_call_fails_while_nodes_are_upgraded_one_by_one(postgresql: Cluster, tmp_path: Path) -> None:
    code = make_next_release(tmp_path / "next")
    with (
        postgresql.scratch() as name,
        running_nodes(nodes_of(postgresql, name, tmp_path / "data", 2, settings=SETTINGS)) as nodes,
    ):
        database = Database(postgresql.address(name, OWNER))
        with Client(nodes) as client:
            client.until_further()
            refused = strongroom_on(
                {"STRONGROOM_STORE": nodes[0].environment["STRONGROOM_STORE"], "PYTHONPATH": str(code)},
                *("audit", "writers", "--data", str(nodes[0].data)),
            )
            assert f"it has schema {SCHEMA}" in refused.stderr, "the new release waits for the migration"
            assert database.migrate(code=code)[0] == 0
            assert database.rows("SELECT oldest, newest FROM schema_window") == [(SCHEMA, NEXT_SCHEMA)]
            client.until_further()
            client.upgrade(nodes[0], code)
            assert database.releases == {__version__, NEXT_RELEASE}
            client.until_further()
            status, told = database.migrate("--contract", code=code)
            assert (status, f"(release {__version__}); upgrade them first" in told) == (1, True), told
            client.upgrade(nodes[1], code)
            assert database.releases == {NEXT_RELEASE}
            client.until_further()
            status, told = database.migrate("--contract", code=code)
            assert status == 0, told
            client.until_further()
        assert client.failures == []
        assert database.rows("SELECT oldest, newest FROM schema_window") == [(NEXT_SCHEMA, NEXT_SCHEMA)]
        assert database.rows("SELECT to_regclass('needed_before'), to_regclass('later')") == [(None, "later")]
        # What each release has written, the other reads: a record that it could not authenticate would be quarantined.
        found = nodes[0].command("doctor")
        assert "quarantined" not in found.stdout
        assert nodes[1].stop() == 0
        del nodes[1].environment["PYTHONPATH"]
        done = nodes[1].command("serve", "--listen", "127.0.0.1:0")
        assert f"it is for releases from schema {NEXT_SCHEMA} on" in done.stderr
