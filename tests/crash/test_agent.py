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
from typing import Any, Self

import psycopg
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from clients import client_of
from nodes import Node, initialize, nodes_of
from postgresql import Cluster
from scrapes import ScrapedMetrics, scrape_until
from server_processes import is_alive, tree_of, wait_until

LEASE = 3.0
LONGEST_LEASE = 60
"""For what must not depend on how soon a busy machine lets the agent renew its lease."""
TIMEOUT = 5
NEVER = 3600
CALLS = 20
"""So many calls more show that the node goes on."""


@pytest.fixture
def node(postgresql: Cluster, tmp_path: Path) -> Iterator[Node]:
    """Return a node that has been prepared and not started."""
    with postgresql.database() as database:
        # On a busy machine, a process may send no heartbeat for a while, and must not be taken for one that hangs.
        settings = {"STRONGROOM_LEASE": str(LEASE), "STRONGROOM_WORKER_TIMEOUT": str(NEVER)}
        (node,) = nodes_of(postgresql, database, tmp_path / "data", 1, settings=settings)
        initialize(node)
        with closing(node):
            yield node


def members(node: Node) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(node.environment["STRONGROOM_STORE"])) as connection:
        return connection.execute("SELECT node, incarnation, renewed, lease, listen, workers FROM member").fetchall()


class Load:
    """Encrypts and disables a key all the time, from two threads, while a block runs, and notes what was wrong."""

    def __init__(self, node: Node, *, may_lose_connections: bool = False) -> None:
        self._may_lose_connections = may_lose_connections
        self.calls = 0
        self.refusals: list[str] = []
        self.wrong: list[str] = []
        self._key = client_of(node.server).create_key()["KeyMetadata"]["KeyId"]
        self._node = node
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._use, self._toggle)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        if kind is None:
            assert self.wrong == []
            assert set(self.refusals) <= {"DependencyTimeoutException", "DisabledException"}

    def go_on(self) -> None:
        """Wait for some more calls."""
        before = self.calls
        wait_until(lambda: self.calls > before + CALLS)

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
    node.environment["STRONGROOM_LEASE"] = str(LONGEST_LEASE)
    node.start()
    with Load(node, may_lose_connections=True) as load:
        load.go_on()
        for process in tree_of(node.supervisor):
            os.kill(process, signal.SIGTERM)
        assert node.server.process.wait(180) == 0
    assert "DependencyTimeoutException" not in load.refusals
    assert members(node) == []


def test_an_agent_that_is_killed_is_replaced_and_nothing_wrong_is_answered(node: Node) -> None:
    node.start()
    with Load(node) as load:
        workers = node.workers
        for _ in range(2):
            (agent,) = node.agents
            os.kill(agent, signal.SIGKILL)
            wait_until(lambda: [*node.agents, agent] not in ([agent], [agent, agent]))  # noqa: B023 - called at once
            wait_until(lambda: readiness(node) == (200, "ok\n"))
            load.go_on()
    assert node.workers == workers
    wait_until(lambda: "the agent ended with -9; starting another" in node.logs[-1].read_text())
    assert node.stop() == 0


def test_while_the_agent_is_stopped_calls_are_refused_until_it_goes_on(node: Node) -> None:
    node.start()
    with Load(node) as load:
        workers, (agent,) = node.workers, node.agents
        os.kill(agent, signal.SIGSTOP)
        wait_until(lambda: "DependencyTimeoutException" in load.refusals)
        # Before its lease ends, a call can be refused because the agent does not tell the worker of a change.
        wait_until(lambda: readiness(node)[0] == 503)
        assert "this node has no lease" in readiness(node)[1]
        os.kill(agent, signal.SIGCONT)
        wait_until(lambda: readiness(node)[0] == 200)
        load.go_on()
    assert (node.workers, node.agents) == (workers, [agent])


def test_an_agent_that_hangs_is_replaced_and_the_workers_stay(node: Node) -> None:
    node.environment["STRONGROOM_WORKER_TIMEOUT"] = str(TIMEOUT)
    node.start()
    workers, (agent,) = node.workers, node.agents
    os.kill(agent, signal.SIGSTOP)
    wait_until(lambda: not is_alive(agent))
    wait_until(lambda: readiness(node) == (200, "ok\n"))
    assert node.workers == workers
    wait_until(lambda: f"the agent sent no heartbeat for {TIMEOUT} s; killed it" in node.logs[-1].read_text())
    client_of(node.server).create_key()


def test_no_agent_outlives_its_supervisor(node: Node) -> None:
    node.environment["STRONGROOM_LEASE"] = str(LONGEST_LEASE)
    began = time.monotonic()
    node.start()
    usual = time.monotonic() - began
    processes = tree_of(node.supervisor)
    assert len(processes) == 3
    os.kill(node.supervisor, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, processes)))
    # The row of the killed start is this node's own: it need not wait for the end of that lease.
    began = time.monotonic()
    node.start()
    assert time.monotonic() - began < max(45.0, 5 * usual)
    client_of(node.server).create_key()
    assert len(members(node)) == 1


def test_a_database_that_hangs_does_not_hang_the_agent(node: Node, postgresql: Cluster) -> None:
    timeout = 2 * TIMEOUT
    node.environment |= {"STRONGROOM_LEASE": str(8 * LEASE), "STRONGROOM_WORKER_TIMEOUT": str(timeout)}
    node.start()
    key = client_of(node.server).create_key()["KeyMetadata"]["KeyId"]
    # The kernel gives each connection to some worker: none may have to load the key while the database hangs.
    for _ in range(CALLS):
        client_of(node.server).encrypt(KeyId=key, Plaintext=b"x")
    workers, agents = node.workers, node.agents
    client = client_of(node.server)
    with postgresql.frozen():
        began = time.monotonic()
        # The lease bridges that: it is said, and calls are answered.
        client.encrypt(KeyId=key, Plaintext=b"x")
        wait_until(lambda: "the lease of this node cannot be renewed" in node.logs[-1].read_text())
        wait_until(lambda: "this node has no lease" in readiness(node)[1])
        assert readiness(node)[0] == 503
        with pytest.raises(ClientError, match="DependencyTimeoutException"):
            client_of(node.server).encrypt(KeyId=key, Plaintext=b"x")
        time.sleep(max(0.0, began + 2 * timeout - time.monotonic()))
    # Faults of reads stay open for a while.
    wait_until(lambda: readiness(node)[0] == 200)
    client_of(node.server).encrypt(KeyId=key, Plaintext=b"x")
    assert (node.workers, node.agents) == (workers, agents)


def test_a_stop_does_not_wait_long_for_a_database_that_hangs(node: Node, postgresql: Cluster) -> None:
    # Until half of it is over, the agent has its connection, and finds at the stop that this does not answer.
    node.environment["STRONGROOM_LEASE"] = str(4 * LEASE)
    node.start()
    client_of(node.server).create_key()
    with postgresql.frozen():
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 100
    assert "changes of other nodes wait for the lease of this one to end" in node.logs[-1].read_text()


def test_a_changed_lease_is_taken_on_without_a_restart(node: Node, tmp_path: Path) -> None:
    config = tmp_path / "strongroom.toml"
    config.write_text(f"lease = {LONGEST_LEASE}\n")
    del node.environment["STRONGROOM_LEASE"]
    node.options = ("--config", str(config))
    node.start()
    with Load(node) as load:
        processes = tree_of(node.supervisor)
        config.write_text(f"lease = {LONGEST_LEASE / 2}\n")
        os.kill(node.supervisor, signal.SIGHUP)
        wait_until(lambda: [member[3] for member in members(node)] == [LONGEST_LEASE / 2])
        load.go_on()
    assert tree_of(node.supervisor) == processes
    wait_until(lambda: "SIGHUP: took on lease" in node.logs[-1].read_text())
    # The node joins anew, which takes two commits. What waits on a thread just then is refused.
    assert load.refusals.count("DependencyTimeoutException") < 10


def test_the_agent_tells_of_itself_in_logs_and_metrics(node: Node) -> None:
    node.environment |= {"STRONGROOM_LOG_FORMAT": "json", "STRONGROOM_METRICS_LISTEN": "127.0.0.1:0"}
    node.environment["STRONGROOM_LEASE"] = str(LONGEST_LEASE)
    node.start()
    client = client_of(node.server)
    key = client.create_key()["KeyMetadata"]["KeyId"]
    client.disable_key(KeyId=key)

    def tells(found: ScrapedMetrics) -> bool:
        """Tell whether all is there: what a process is late to tell comes with a later scrape."""
        return (
            found.labels("strongroom_worker_up", "worker") == {"w0", "agent"}
            and found.sum("strongroom_worker_up") == 2
            and found.sum("strongroom_lease_renewals_total", outcome="renewed", worker="agent") > 0
            and found.sum("strongroom_lease_renewal_duration_seconds_count") > 0
            and found.sum("strongroom_nodes") == 1
            and found.sum("strongroom_changes_published_total") > 0
            and found.sum("strongroom_settle_duration_seconds_count", worker="w0") > 0
            and 0 < found.sum("strongroom_lease_remaining_seconds", worker="w0") <= LONGEST_LEASE
            and found.sum("strongroom_store_connection_wait_seconds_count", worker="w0") > 0
        )

    scrape_until(node.server, tells)
    os.kill(node.agents[0], signal.SIGKILL)
    wait_until(lambda: "the agent ended" in node.logs[-1].read_text())
    assert all(json.loads(line) for line in node.logs[-1].read_text().splitlines())
