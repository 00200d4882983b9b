"""What a store answers once all nodes know it: changes, refusals, and what a database has lost meanwhile."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import NoReturn

import psycopg
import pytest

from keys_builder import make_key
from postgresql import SERVER, Cluster
from server_processes import wait_until
from strongroom.clock import SystemClock
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.material import MaterialBinding
from strongroom.entropy import system_entropy
from strongroom.errors import AlreadyExistsException
from strongroom.keys.arns import AliasLocator
from strongroom.operations.kms.announced_material import AnnouncedMaterial
from strongroom.operations.kms.key_material import OwnedToken
from strongroom.problems import Problems
from strongroom.store.leases.bounds import LONGEST_LEASE
from strongroom.store.leases.requests import About, Acknowledge, Join
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.member_connection import MemberConnection
from strongroom.store.postgresql.settled_store import SettledStore
from strongroom.store.postgresql.settler import Settler
from strongroom.store.protocol import Transaction
from strongroom.store.records import AliasRecord
from strongroom.store.unsettled import ChangeLost

CLOCK = SystemClock()
KEY = make_key(1)
ALIAS = AliasRecord(AliasLocator(KEY.account, "us-east-1", "alias/one"), KEY.key_id, 1.0, 1.0)
NODE, INCARNATION = "bbbbbbbbbbbb", b"i" * 16


class Scene:
    """Two processes that write, and a node that acknowledges only what it is told to."""

    def __init__(self, address: str, domain_keys: DomainKeys) -> None:
        self.ending = ExitStack()
        self.address = address
        self.node = self.ending.enter_context(closing(MemberConnection(address, 5.0)))
        self.first, self.second = (self.store(domain_keys) for _ in range(2))
        self.first.write(lambda transaction: transaction.add_key(KEY))
        self.node.perform(Join(NODE, INCARNATION, LONGEST_LEASE, About("1"), None))

    def store(self, domain_keys: DomainKeys, members: str = "") -> SettledStore:
        """Open the store of a process; ``members`` is the database in which it looks for nodes, if that is another."""
        settler = self.ending.enter_context(
            closing(Settler(lambda: MemberConnection(members or self.address, 5), CLOCK))
        )
        store = SettledStore(open_postgresql(self.address), system_entropy, settler)
        self.ending.callback(store.close)
        store.authenticate(domain_keys.row_keys, Problems())
        return store

    def acknowledge(self, number: int) -> None:
        self.node.perform(Acknowledge(NODE, INCARNATION, number))


@pytest.fixture
def scene(postgresql: Cluster, database: str, domain_keys: DomainKeys) -> Iterator[Scene]:
    scene = Scene(postgresql.address(database, SERVER), domain_keys)
    with scene.ending:
        yield scene


def put_alias(transaction: Transaction) -> None:
    transaction.put_alias(ALIAS, None)


def refuse(transaction: Transaction) -> NoReturn:
    assert transaction.alias(ALIAS.locator) == ALIAS
    raise AlreadyExistsException("there is one")


def test_a_refusal_waits_for_the_change_that_it_rests_on(scene: Scene) -> None:
    """Otherwise who is refused knows of a change that a node still to be asked does not know."""
    with scene.first.deferred() as change:
        scene.first.write(put_alias)
    with scene.second.deferred() as refusal, pytest.raises(AlreadyExistsException):
        scene.second.write(refuse)
    assert not change.is_settled
    assert not refusal.is_settled
    with scene.first.read() as reader:
        scene.acknowledge(reader.generation.number)
    wait_until(lambda: change.is_settled and refusal.is_settled)
    assert not refusal.is_lost


def test_an_announcement_waits_for_no_other_node(scene: Scene) -> None:
    owner = MaterialBinding(KEY.account, "us-east-1", KEY.key_id, "ab" * 32, KEY.spec)
    announced = AnnouncedMaterial(scene.first, CLOCK.now)
    with scene.first.deferred() as call:
        announced.announce(OwnedToken("cks-1", b"token", owner))
    assert call.is_settled
    with scene.second.read() as reader:
        assert reader.destruction_backlog().count == 1


def test_a_change_that_got_the_number_of_a_lost_one_waits_too(scene: Scene, postgresql: Cluster, database: str) -> None:
    """After a failover to a standby that lacks the last commit, which was settled."""
    with scene.first.read() as reader:
        before = reader.generation
    with scene.first.deferred() as lost:
        scene.first.write(put_alias)
    with scene.first.read() as reader:
        number = reader.generation.number
    scene.acknowledge(number)
    wait_until(lambda: lost.is_settled)
    with closing(psycopg.connect(postgresql.address(database), autocommit=True)) as owner, owner.transaction():
        owner.execute("DELETE FROM alias")
        owner.execute("DELETE FROM change WHERE sequence > %s", (before.number,))
        owner.execute("UPDATE generation SET number = %s, tag = %s", (before.number, before.tag))
        owner.execute("UPDATE member SET acked = %s", (before.number,))
    with scene.first.deferred() as again:
        scene.first.write(put_alias)
    with scene.first.read() as reader:
        assert reader.generation.number == number
    assert not again.is_settled
    scene.acknowledge(number)
    wait_until(lambda: again.is_settled)
    assert not again.is_lost


def test_what_rests_on_the_last_change_that_was_settled_waits_no_more(scene: Scene) -> None:
    with scene.first.deferred() as change:
        scene.first.write(put_alias)
    with scene.first.read() as reader:
        scene.acknowledge(reader.generation.number)
    wait_until(lambda: change.is_settled)
    with scene.first.deferred() as refusal, pytest.raises(AlreadyExistsException):
        scene.first.write(refuse)
    assert refusal.is_settled


def test_a_change_that_the_database_does_not_know_fails(
    scene: Scene, postgresql: Cluster, domain_keys: DomainKeys
) -> None:
    """It was rolled back, or the nodes are those of another database."""
    with postgresql.database() as other:
        store = scene.store(domain_keys, postgresql.address(other, SERVER))
        with store.deferred() as unsettled:
            store.write(put_alias)
        wait_until(lambda: unsettled.is_settled)
        assert unsettled.is_lost
        with pytest.raises(ChangeLost, match="was rolled back"):
            store.write(lambda transaction: transaction.remove_alias(ALIAS))
