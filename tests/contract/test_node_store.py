"""Two nodes on a real PostgreSQL: each knows what the other one has written, and serves nothing without a lease."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from keys_builder import locator, make_key
from postgresql import SERVER, Cluster
from strongroom.clock import SystemClock
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.entropy import system_entropy
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.states import KeyState
from strongroom.problems import Problems
from strongroom.snapshot.read_through_cache import ReadThroughCache
from strongroom.store.leases.generation import Generation
from strongroom.store.leases.membership import Membership
from strongroom.store.leases.page import PageFile, PageReader, PageWriter
from strongroom.store.leases.view import LeaseEnded, OutdatedRead, View
from strongroom.store.postgresql.agent import Agent
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.member_connection import MemberConnection
from strongroom.store.postgresql.node_store import NodeStore, PageReplaced
from strongroom.store.postgresql.settler import ANNOUNCED_WITHIN, Settler

CLOCK = SystemClock()
LEASE = 1.0


class Node:
    """A node: an agent on a thread, the store of a worker, and a cache of keys as its snapshot has one."""

    def __init__(
        self, address: str, page: Path, name: str, domain_keys: DomainKeys, announced_within: float = ANNOUNCED_WITHIN
    ) -> None:
        self._ending = ExitStack()
        file = self._ending.enter_context(closing(PageFile(page, CLOCK.boot(), writing=True)))
        self.page = PageWriter(file.memory, file.place)
        self.view = View(PageReader(file.memory, file.place), CLOCK.uptime, time.sleep)
        membership = Membership(name, LEASE, self.page, CLOCK, system_entropy)
        self.agent = Agent(membership, lambda: MemberConnection(address, LEASE / 2), CLOCK, LEASE)
        self.settler = settler = self._ending.enter_context(
            closing(Settler(lambda: MemberConnection(address, 5.0), CLOCK, announced_within))
        )
        self.store = NodeStore(open_postgresql(address), system_entropy, self.view, settler, has_page=file.is_in_place)
        self._ending.callback(self.store.close)
        self.store.authenticate(domain_keys.row_keys, Problems())
        self._thread = threading.Thread(target=self.agent.run)
        self._thread.start()
        self.view.wait_for_lease(20)
        self._cache: ReadThroughCache[object, KmsKey] = ReadThroughCache(10)
        self._version = b""
        self._last = 0

    def key(self, number: int) -> KmsKey | None:
        """Return a key as a call of this node knows it."""
        version = self.store.version()
        if version != self._version:
            changes = self.store.changes(self._last)
            self._cache.forget_all()
            self._version, self._last = version, changes.last
        return self._cache.look_up(locator(number), self._read, may_wait=True)

    def _read(self, _locator: object) -> KmsKey | None:
        with self.store.read() as reader:
            return reader.key(locator(1))

    def stop_agent(self) -> None:
        """Stop the agent; the worker stays."""
        self.agent.stop()
        self._thread.join()

    def close(self) -> None:
        """End everything."""
        self.stop_agent()
        self._ending.close()
        self.agent.close()


@pytest.fixture
def nodes(postgresql: Cluster, database: str, tmp_path: Path, domain_keys: DomainKeys) -> Iterator[list[Node]]:
    address = postgresql.address(database, SERVER)
    with ExitStack() as ending:
        yield [
            ending.enter_context(closing(Node(address, tmp_path / name, name, domain_keys))) for name in ("one", "two")
        ]


def set_state(node: Node, state: KeyState) -> None:
    key = node.key(1)
    assert key is not None
    node.store.write(lambda transaction: transaction.save_key(key, replace(key, state=state)))


def test_what_one_node_has_written_the_other_one_knows(nodes: list[Node]) -> None:
    one, two = nodes
    one.store.write(lambda transaction: transaction.add_key(make_key(1)))
    for number in range(20):
        writer, reader = (one, two) if number % 2 else (two, one)
        state = KeyState.ENABLED if number % 4 < 2 else KeyState.DISABLED
        set_state(writer, state)
        for node in (reader, writer):
            key = node.key(1)
            assert key is not None
            assert key.state is state


def test_without_an_agent_a_node_refuses(nodes: list[Node]) -> None:
    one, two = nodes
    two.stop_agent()
    with pytest.raises(LeaseEnded):
        two.key(1)
    one.store.write(lambda transaction: transaction.add_key(make_key(1)))
    assert one.key(1) is not None


def test_a_node_whose_page_was_replaced_says_so_once_it_has_no_lease(nodes: list[Node], tmp_path: Path) -> None:
    """The agent that is started next writes another file than the workers read, so no waiting helps."""
    (node, _) = nodes
    (tmp_path / "one").unlink()
    node.store.require_answers()
    node.stop_agent()
    with pytest.raises(PageReplaced, match="was removed or replaced; restart the server"):
        node.store.require_answers()


def test_a_server_with_an_older_state_is_not_read(nodes: list[Node]) -> None:
    nodes[0].stop_agent()
    store, page = nodes[0].store, nodes[0].page
    with store.read() as reader:
        generation = reader.generation
    # As if the agent knew of a commit that the server which answers has not.
    page.forget_everything(Generation(generation.number + 1, b"newer---"))
    with pytest.raises(OutdatedRead), store.read():
        pass


def test_a_write_that_changes_nothing_waits_for_no_node(nodes: list[Node]) -> None:
    one, two = nodes
    one.store.write(lambda transaction: transaction.add_key(make_key(1)))
    two.agent.stop()
    for _ in range(3):
        one.store.write(lambda transaction: transaction.key(locator(1)))
    assert one.settler.waited_out == 0


def test_what_is_new_is_announced_together_and_at_once_where_a_read_waits_for_it(
    postgresql: Cluster, database: str, tmp_path: Path, domain_keys: DomainKeys
) -> None:
    """Announcing takes each node two transactions more than the write. No answer waits for it, but a read may."""
    address = postgresql.address(database, SERVER)
    wake, waker = os.pipe()
    with ExitStack() as ending:
        one, two = (
            ending.enter_context(closing(Node(address, tmp_path / name, name, domain_keys, announced_within=600.0)))
            for name in ("one", "two")
        )
        listener = ending.enter_context(closing(MemberConnection(address, 5.0)))
        listener.listen()
        for number in range(1, 11):
            make(one, number)
        assert not listener.wait(0.2, wake)
        # An agent may happen to look by itself between the write and the read.
        made = count(11)
        while not listener.wait(0.1, wake):
            number = next(made)
            assert number < 100
            make(one, number)
            with two.store.read() as reader:
                assert reader.key(locator(number)) is not None
    os.close(wake)
    os.close(waker)


def make(node: Node, number: int) -> None:
    node.store.write(lambda transaction: transaction.add_key(make_key(number)))
