"""The agent of a node on a real PostgreSQL dies, hangs and is stopped. The workers beside it serve by its lease."""

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from clients import client_of
from nodes import Node, initialize, nodes_of
from postgresql import Cluster
from scrapes import scrape
from server_processes import is_alive, tree_of, wait_until

LEASE = 3.0
TIMEOUT = 5
NEVER = 3600
CALLS = 20
"""So many calls more show that the node goes on."""


@pytest.fixture
def node(postgresql: Cluster, tmp_path: Path) -> Iterator[Node]:
    """Return a node that has been prepared and not started."""
    with postgresql.database() as database:
        settings = {"STRONGROOM_LEASE": str(LEASE), "STRONGROOM_WORKER_TIMEOUT": str(TIMEOUT)}
        (node,) = nodes_of(postgresql, database, tmp_path / "data", 1, settings=settings)
        initialize(node)
        with closing(node):
            yield node


def members(node: Node) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(node.environment["STRONGROOM_STORE"])) as connection:
        return connection.execute("SELECT node, incarnation, renewed, lease, listen, workers FROM member").fetchall()


class Load:
    """Encrypts and disables a key all the time, from two threads, and notes what was wrong."""

    def __init__(self, node: Node, *, may_lose_connections: bool = False) -> None:
        self._may_lose_connections = may_lose_connections
        self.calls = 0
        self.refusals: list[str] = []
        self.wrong: list[str] = []
        self._key = client_of(node.server).create_key()["KeyMetadata"]["KeyId"]
        self._node = node
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._use, self._toggle)]
        for thread in self._threads:
            thread.start()

    def _until_ended(self, act: Callable[[], object]) -> None:
        while not self._ending.is_set():
            try:
                act()
            except ClientError as error:
                self.refusals.append(error.response["Error"]["Code"])
            except BotoCoreError:
                if not self._may_lose_connections:
                    raise
                return
            self.calls += 1

    def _use(self) -> None:
        client = client_of(self._node.server)
        self._until_ended(lambda: client.encrypt(KeyId=self._key, Plaintext=b"x"))

    def _toggle(self) -> None:
        client = client_of(self._node.server)

        def toggle() -> None:
            client.disable_key(KeyId=self._key)
            try:
                client.encrypt(KeyId=self._key, Plaintext=b"x")
                self.wrong.append("a key was used that had been disabled")
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in {"DisabledException", "DependencyTimeoutException"}:
                    self.wrong.append(code)
            client.enable_key(KeyId=self._key)

        self._until_ended(toggle)

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        assert self.wrong == []
        assert set(self.refusals) <= {"DependencyTimeoutException", "DisabledException"}


def readiness(node: Node) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/readyz", timeout=60) as answer:
            return 200, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_a_clean_stop_leaves_no_member(node: Node) -> None:
    for _ in range(2):
        node.start()
        assert [member[3:] for member in members(node)] == [(LEASE, f"127.0.0.1:{node.port}", 1)]
        assert node.stop() == 0
        assert members(node) == []


def test_a_stop_of_all_processes_at_once_answers_calls_before_the_lease_ends(node: Node) -> None:
    """As systemd does it."""
    node.start()
    load = Load(node, may_lose_connections=True)
    wait_until(lambda: load.calls > CALLS)
    for process in tree_of(node.supervisor):
        os.kill(process, signal.SIGTERM)
    assert node.server.process.wait(180) == 0
    load.end()
    assert "DependencyTimeoutException" not in load.refusals
    assert members(node) == []


def test_an_agent_that_is_killed_is_replaced_and_nothing_wrong_is_answered(node: Node) -> None:
    node.start()
    load = Load(node)
    workers = node.workers
    for _ in range(2):
        (agent,) = node.agents
        os.kill(agent, signal.SIGKILL)
        wait_until(lambda: [*node.agents, agent] not in ([agent], [agent, agent]))  # noqa: B023 - called at once
        wait_until(lambda: readiness(node) == (200, "ok\n"))
        before = load.calls
        wait_until(lambda: load.calls > before + CALLS)  # noqa: B023 - called at once
    load.end()
    assert node.workers == workers
    assert "the agent ended with -9; starting another" in node.logs[-1].read_text()
    assert node.stop() == 0


def test_while_the_agent_is_stopped_calls_are_refused_until_it_goes_on(node: Node) -> None:
    # The supervisor must not take it for one that hangs.
    node.environment["STRONGROOM_WORKER_TIMEOUT"] = str(NEVER)
    node.start()
    load = Load(node)
    workers, (agent,) = node.workers, node.agents
    os.kill(agent, signal.SIGSTOP)
    wait_until(lambda: "DependencyTimeoutException" in load.refusals)
    # Before its lease ends, a call can be refused because the agent does not tell the worker of a change.
    wait_until(lambda: readiness(node)[0] == 503)
    assert "this node has no lease" in readiness(node)[1]
    os.kill(agent, signal.SIGCONT)
    wait_until(lambda: readiness(node)[0] == 200)
    before = load.calls
    wait_until(lambda: load.calls > before + CALLS)
    load.end()
    assert (node.workers, node.agents) == (workers, [agent])


def test_an_agent_that_hangs_is_replaced_and_the_workers_stay(node: Node) -> None:
    node.start()
    workers, (agent,) = node.workers, node.agents
    os.kill(agent, signal.SIGSTOP)
    wait_until(lambda: not is_alive(agent))
    wait_until(lambda: readiness(node) == (200, "ok\n"))
    assert node.workers == workers
    assert f"the agent sent no heartbeat for {TIMEOUT} s; killed it" in node.logs[-1].read_text()
    client_of(node.server).create_key()


def test_no_agent_outlives_its_supervisor(node: Node) -> None:
    node.environment["STRONGROOM_LEASE"] = "60"
    node.start()
    processes = tree_of(node.supervisor)
    assert len(processes) == 3
    os.kill(node.supervisor, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, processes)))
    # The row of the killed start is this node's own: it need not wait for the end of that lease.
    began = time.monotonic()
    node.start()
    assert time.monotonic() - began < 50
    client_of(node.server).create_key()
    assert len(members(node)) == 1


def test_a_database_that_hangs_does_not_hang_the_agent(node: Node, postgresql: Cluster) -> None:
    node.environment["STRONGROOM_LEASE"] = str(8 * LEASE)
    node.start()
    key = client_of(node.server).create_key()["KeyMetadata"]["KeyId"]
    # The kernel gives each connection to some worker: none may have to load the key while the database hangs.
    for _ in range(CALLS):
        client_of(node.server).encrypt(KeyId=key, Plaintext=b"x")
    workers, agents = node.workers, node.agents
    with postgresql.frozen():
        began = time.monotonic()
        # The lease bridges that: it is said, and calls are answered.
        wait_until(lambda: "the lease of this node cannot be renewed" in readiness(node)[1])
        client_of(node.server).encrypt(KeyId=key, Plaintext=b"x")
        wait_until(lambda: readiness(node)[0] == 503)
        assert "this node has no lease" in readiness(node)[1]
        with pytest.raises(ClientError, match="DependencyTimeoutException"):
            client_of(node.server).encrypt(KeyId=key, Plaintext=b"x")
        time.sleep(max(0.0, began + 4 * TIMEOUT - time.monotonic()))
    # Faults of reads stay open for a while.
    wait_until(lambda: readiness(node)[0] == 200)
    client_of(node.server).encrypt(KeyId=key, Plaintext=b"x")
    assert (node.workers, node.agents) == (workers, agents)


def test_a_stop_does_not_wait_long_for_a_database_that_hangs(node: Node, postgresql: Cluster) -> None:
    node.start()
    client_of(node.server).create_key()
    with postgresql.frozen():
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 100
    assert "changes of other nodes wait for the lease of this one to end" in node.logs[-1].read_text()


def test_a_changed_lease_is_taken_on_without_a_restart(node: Node, tmp_path: Path) -> None:
    config = tmp_path / "strongroom.toml"
    config.write_text("lease = 4\n")
    del node.environment["STRONGROOM_LEASE"]
    node.options = ("--config", str(config))
    node.start()
    load = Load(node)
    processes = tree_of(node.supervisor)
    config.write_text("lease = 2\n")
    os.kill(node.supervisor, signal.SIGHUP)
    wait_until(lambda: [member[3] for member in members(node)] == [2.0])
    before = load.calls
    wait_until(lambda: load.calls > before + CALLS)
    load.end()
    assert tree_of(node.supervisor) == processes
    assert "SIGHUP: took on lease" in node.logs[-1].read_text()
    # The node joins anew, which takes two commits. What waits on a thread just then is refused.
    assert load.refusals.count("DependencyTimeoutException") < 10


def test_the_agent_tells_of_itself_in_logs_and_metrics(node: Node) -> None:
    node.environment |= {"STRONGROOM_LOG_FORMAT": "json", "STRONGROOM_METRICS_LISTEN": "127.0.0.1:0"}
    node.start()
    client = client_of(node.server)
    key = client.create_key()["KeyMetadata"]["KeyId"]
    client.disable_key(KeyId=key)
    wait_until(lambda: scrape(node.server).sum("strongroom_worker_up") == 2)
    found = scrape(node.server)
    assert found.labels("strongroom_worker_up", "worker") == {"w0", "agent"}
    assert found.sum("strongroom_lease_renewals_total", outcome="renewed", worker="agent") > 0
    assert found.sum("strongroom_lease_renewal_duration_seconds_count") > 0
    assert found.sum("strongroom_nodes") == 1
    assert found.sum("strongroom_changes_published_total") > 0
    assert found.sum("strongroom_settle_duration_seconds_count", worker="w0") > 0
    assert 0 < found.sum("strongroom_lease_remaining_seconds", worker="w0") <= LEASE
    assert found.sum("strongroom_store_connection_wait_seconds_count", worker="w0") > 0
    os.kill(node.agents[0], signal.SIGKILL)
    wait_until(lambda: "the agent ended" in node.logs[-1].read_text())
    assert all(json.loads(line) for line in node.logs[-1].read_text().splitlines())
