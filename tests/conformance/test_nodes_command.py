"""``strongroom nodes``: who serves the database, who is late, and who is gone."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients import client_of
from local_server import running_server
from nodes import Nodes, nodes_of, running_nodes, strongroom_on
from postgresql import Cluster
from server_processes import wait_until

LEASE = 2.0


@pytest.fixture
def nodes(postgresql: Cluster, tmp_path: Path) -> Iterator[Nodes]:
    with (
        postgresql.database() as database,
        running_nodes(
            nodes_of(postgresql, database, tmp_path / "data", 2, settings={"STRONGROOM_LEASE": str(LEASE)})
        ) as nodes,
    ):
        yield nodes


def found(nodes: Nodes) -> tuple[int, list[dict[str, Any]]]:
    done = nodes[0].command("nodes", "--json")
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_nodes_that_serve_are_shown(nodes: Nodes) -> None:
    code, statuses = found(nodes)
    assert code == 0
    by_port = {each["listen"].rpartition(":")[2]: each for each in statuses}
    assert set(by_port) == {str(node.port) for node in nodes}
    for node in nodes:
        status = by_port[str(node.port)]
        assert status["node"] in (node.data / "node-id").read_text()
        assert status["is_this"] is (node is nodes[0])
        assert (status["state"], status["workers"], status["regions"]) == ("serving", 1, ["us-east-1"])
        assert status["renewed"] < LEASE / 2 < LEASE == status["lease"]
        assert status["behind"] == 0
    table = nodes[1].command("nodes")
    assert table.returncode == 0
    assert [line.split()[1] for line in table.stdout.splitlines()[1:3]] == ["serving", "serving"]
    assert "* the node of this data folder" in table.stdout


def test_all_nodes_list_the_keys_of_all(nodes: Nodes) -> None:
    kms = client_of(nodes[0].server)
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.encrypt(KeyId=key_id, Plaintext=b"x")
    here, there = (json.loads(node.command("keys", "--json").stdout) for node in nodes)
    assert (here["key_id"], here["state"], here["last_use"]["operation"]) == (key_id, "Enabled", "Encrypt")
    assert here["last_use"]["by"] == "arn:aws:iam::000000000000:root"
    assert {**there, "last_use": None} == {**here, "last_use": None}
    # The caller is in the audit log of the other node.
    assert there["last_use"] is None or there["last_use"]["by"] is None
    archive = str(nodes[0].data / "audit")
    wait_until(lambda: json.loads(nodes[1].command("keys", "--json", "--archive", archive).stdout) == here)


def test_a_node_that_hangs_is_late_and_then_gone(nodes: Nodes) -> None:
    this, other = nodes
    os.kill(other.agents[0], signal.SIGSTOP)
    name = next(line for line in (other.data / "node-id").read_text().splitlines() if not line.startswith("#"))
    seen = []

    def is_gone() -> bool:
        code, statuses = found(nodes)
        (state,) = [each["state"] for each in statuses if each["node"] == name]
        seen.append((code, state))
        return bool(state == "gone")

    wait_until(is_gone)
    assert seen[-1] == (1, "gone")
    # This removes its row, and it stays gone: its audit chain has not ended.
    key = client_of(this.server).create_key()["KeyMetadata"]["KeyId"]
    client_of(this.server).disable_key(KeyId=key)
    code, statuses = found(nodes)
    assert code == 1
    assert {"node": name, "state": "gone"}.items() <= next(each for each in statuses if each["node"] == name).items()
    doctor = this.command("doctor", "--quick").stdout
    assert f"node {name} has no lease, and was not stopped" in doctor
    assert "commits wait for no standby" in doctor
    os.kill(other.agents[0], signal.SIGCONT)
    wait_until(lambda: found(nodes)[0] == 0)


def test_a_node_that_has_stopped_is_not_missed(nodes: Nodes) -> None:
    assert nodes[1].stop() == 0
    code, statuses = found(nodes)
    assert (code, len(statuses)) == (0, 1)
    assert nodes[0].stop() == 0
    assert found(nodes) == (1, [])


def test_a_database_that_cannot_be_reached_is_an_error(tmp_path: Path) -> None:
    environment = {"STRONGROOM_STORE": "postgresql://nobody@127.0.0.1:1/nothing"}
    done = strongroom_on(environment, "nodes", "--data", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: ")


def test_on_sqlite_there_is_one_node(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", tmp_path / "log"):
        done = strongroom_on({}, "nodes", "--data", str(tmp_path / "data"))
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert "the only node" in done.stdout
