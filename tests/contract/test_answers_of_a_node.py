"""A node on a real PostgreSQL: its answers wait for other nodes, and its requests for a lease, without a thread."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from direct_client import DirectClient
from loopback_server import LEASE_WAIT, LoopbackServer, run, until
from node_deployment import LEASE, NodeDeployment
from postgresql import SERVER, Cluster
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.node_id import NodeId
from strongroom.store.leases.bounds import LONGEST_LEASE, over_everywhere
from strongroom.store.leases.membership import Membership
from strongroom.store.leases.page import PageFile, PageWriter
from strongroom.store.leases.requests import About
from strongroom.store.leases.view import LeaseEnded
from strongroom.store.postgresql.member_connection import MemberConnection

DATA = "ZGF0YQ=="
MANY = 30
SET_BACK = """WITH lost AS (DELETE FROM change WHERE sequence = (SELECT max(sequence) FROM change))
    UPDATE generation SET number = number - 1"""


@pytest.fixture
def node(postgresql: Cluster, database: str, tmp_path: Path) -> Iterator[NodeDeployment]:
    with closing(NodeDeployment(tmp_path / "data", postgresql, database)) as node:
        yield node


class VanishingNode:
    """Another node, which renews its lease once when it is told to, and does nothing else."""

    def __init__(self, address: str, page: Path, lease: float = LEASE) -> None:
        clock = SystemClock()
        self._undo = ExitStack()
        file = self._undo.enter_context(closing(PageFile(page, clock.boot(), writing=True)))
        self._connection = self._undo.enter_context(closing(MemberConnection(address, 5.0)))
        writer, about = PageWriter(file.memory, file.place), About("1.0", "elsewhere:1", "us-east-1", 1)
        self._membership = Membership(NodeId("bbbbbbbbbbbb"), lease, writer, clock, system_entropy, about)

    def renew(self) -> None:
        """Have a lease from now on."""
        self._connection.run(self._membership.renew())

    def leave(self) -> None:
        """End the lease after all."""
        self._connection.run(self._membership.leave())

    def close(self) -> None:
        self._undo.close()


def keys_of(node: NodeDeployment, number: int) -> list[str]:
    return [node.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(number)]


def test_a_node_that_vanishes_holds_answers_up_and_no_thread(
    node: NodeDeployment, postgresql: Cluster, database: str, tmp_path: Path
) -> None:
    keys = keys_of(node, MANY)
    in_use = keys_of(node, 1)[0]
    before = len(node.records())

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call("Encrypt", KeyId=in_use, Plaintext=DATA) == 200
        vanishing.renew()
        # One thread writes (``loopback_server``), and all of these are committed before any is answered.
        answers = [asyncio.create_task(loopback.call("DisableKey", KeyId=key_id)) for key_id in keys]
        await until(lambda: loopback.front._dispatcher._unsettled.held == MANY)
        # What is new need not wait, and this node knows at once what it has written.
        assert await loopback.call("CreateKey") == 200
        assert await loopback.call("Encrypt", KeyId=in_use, Plaintext=DATA) == 200
        assert await loopback.call("Encrypt", KeyId=keys[0], Plaintext=DATA) == 400
        assert not any(answer.done() for answer in answers)
        await asyncio.to_thread(vanishing.leave)
        assert await asyncio.gather(*answers) == [200] * MANY

    address = postgresql.address(database, SERVER)
    # However slow the machine is, that lease lasts until the node leaves.
    with closing(VanishingNode(address, tmp_path / "page", LONGEST_LEASE)) as vanishing:
        run(DirectClient(node), scenario)
    records = [each["eventName"] for each in node.records()[before:] if "errorCode" not in each]
    assert records.count("DisableKey") == MANY


def test_answers_come_when_the_lease_of_a_node_that_has_vanished_is_over(
    node: NodeDeployment, postgresql: Cluster, database: str, tmp_path: Path
) -> None:
    keys = keys_of(node, 2)

    async def scenario(loopback: LoopbackServer) -> None:
        began = time.monotonic()
        vanishing.renew()
        answers = [asyncio.create_task(loopback.call("DisableKey", KeyId=key_id)) for key_id in keys]
        assert await asyncio.gather(*answers) == [200] * 2
        assert time.monotonic() - began > over_everywhere(LEASE) - 0.05

    with closing(VanishingNode(postgresql.address(database, SERVER), tmp_path / "page")) as vanishing:
        run(DirectClient(node), scenario)


def test_a_change_that_the_database_loses_before_it_is_settled_is_not_answered_as_done(
    node: NodeDeployment, postgresql: Cluster, database: str, tmp_path: Path
) -> None:
    """As by a failover to a standby that lagged behind, or a restore. Its answer does not wait for leases to end."""
    key_id = keys_of(node, 1)[0]
    before = len(node.records())

    async def scenario(loopback: LoopbackServer) -> None:
        vanishing.renew()
        answer = asyncio.create_task(loopback.call("DisableKey", KeyId=key_id))
        await until(lambda: loopback.front._dispatcher._unsettled.held == 1)
        postgresql.run(SET_BACK, database=database)
        assert await answer == 500

    with closing(VanishingNode(postgresql.address(database, SERVER), tmp_path / "page", LONGEST_LEASE)) as vanishing:
        run(DirectClient(node), scenario)
    records = [each.get("errorCode") for each in node.records()[before:] if each["eventName"] == "DisableKey"]
    assert records == [None, "DependencyTimeoutException"]


def test_a_process_that_ends_does_not_wait_for_a_node_that_has_vanished(
    postgresql: Cluster, database: str, tmp_path: Path
) -> None:
    """Its last uses and the end of its audit chain are written, and no answer rests on them."""
    with closing(VanishingNode(postgresql.address(database, SERVER), tmp_path / "page", LONGEST_LEASE)) as vanishing:
        with closing(NodeDeployment(tmp_path / "data", postgresql, database)) as node:
            key_id = keys_of(node, 1)[0]
            settling = node.deployment.backends.store.settling
            assert settling is not None
            vanishing.renew()
            with settling.deferred():
                node.call("DisableKey", KeyId=key_id)
            began = time.monotonic()
        assert time.monotonic() - began < LONGEST_LEASE / 2
    with closing(postgresql.store(database)) as store, store.read() as reader:
        writer = f"{node.deployment.node}w0"
        assert reader.audit_writers()[writer].stopped


def test_without_its_agent_a_node_refuses_and_serves_again_when_that_is_back(node: NodeDeployment) -> None:
    key_id = keys_of(node, 1)[0]
    pipeline = node.deployment.service.pipeline
    before = len(node.records())

    async def scenario(loopback: LoopbackServer) -> None:
        assert await loopback.call("Encrypt", KeyId=key_id, Plaintext=DATA) == 200
        await asyncio.to_thread(node.stop_agent)
        assert not pipeline.has_lease()
        began = time.monotonic()
        calls = [asyncio.create_task(loopback.call("Encrypt", KeyId=key_id, Plaintext=DATA)) for _ in range(10)]
        calls.append(asyncio.create_task(loopback.call("DisableKey", KeyId=key_id)))
        assert await asyncio.gather(*calls) == [LeaseEnded.status] * 11
        assert time.monotonic() - began >= LEASE_WAIT
        node.start_agent()
        await until(pipeline.has_lease)
        assert await loopback.call("Encrypt", KeyId=key_id, Plaintext=DATA) == 200

    run(DirectClient(node), scenario)
    outcomes = [(each["eventName"], each.get("errorCode")) for each in node.records()[before:]]
    assert outcomes.count(("Encrypt", "DependencyTimeoutException")) == 10
    assert outcomes.count(("DisableKey", "DependencyTimeoutException")) == 1
    assert outcomes.count(("Encrypt", None)) == 2


def test_calls_that_arrive_shortly_before_a_renewal_are_answered(
    node: NodeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = keys_of(node, 1)[0]

    async def scenario(loopback: LoopbackServer) -> None:
        monkeypatch.setattr(loopback.front._dispatcher._lease_wait, "_longest", lambda: 120.0)
        await asyncio.to_thread(node.stop_agent)
        calls = [asyncio.create_task(loopback.call("Encrypt", KeyId=key_id, Plaintext=DATA)) for _ in range(10)]
        await until(lambda: loopback.front._dispatcher._lease_wait.waiting == 10)
        node.start_agent()
        assert await asyncio.gather(*calls) == [200] * 10

    run(DirectClient(node), scenario)
