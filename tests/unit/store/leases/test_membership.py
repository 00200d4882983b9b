"""How a node joins, renews its lease and publishes, one request after the other."""

import logging

import pytest
from msgspec.structs import replace

from lease_servers import Server
from strongroom.clock import ManualClock
from strongroom.store.leases.bounds import over_everywhere
from strongroom.store.leases.generation import Generation, TaggedChange
from strongroom.store.leases.membership import Membership
from strongroom.store.leases.page import PAGE_BYTES, PageWriter
from strongroom.store.leases.requests import Join, Member, Reply, Request, Steps

LEASE = 10.0
NODE = "n"
FOREIGN = Member(NODE, b"f" * 16, 3, 0, LEASE)


class Scene:
    """A server, and a node that has not joined yet. Each statement takes a second."""

    def __init__(self) -> None:
        self.server = Server()
        self.clock = ManualClock(1000)
        self.memory = memoryview(bytearray(PAGE_BYTES))
        self.drawn = 0
        self.requests: list[str] = []
        self.start()

    def start(self) -> None:
        self.page = PageWriter(self.memory, "here")
        self.membership = Membership(NODE, LEASE, self.page, self.clock, self.entropy)

    def entropy(self, length: int, /) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(length)

    def run(self, steps: Steps, *, lose: type[Request] | None = None) -> list[str]:
        """Run a sequence of requests, and return their names. The reply to ``lose`` is lost, after its effect."""
        names = []
        reply: Reply = None
        try:
            while True:
                request = steps.send(reply)
                names.append(type(request).__name__)
                reply = self.reply(request)
                self.clock.advance(1)
                if lose is not None and isinstance(request, lose):
                    steps.close()
                    return names
        except StopIteration:
            return names

    def reply(self, request: Request) -> Reply:
        flight = self.server.execute(request)
        while True:
            try:
                next(flight)
            except StopIteration as ended:
                reply: Reply = ended.value
                return reply

    @property
    def row(self) -> Member:
        return self.server.members[NODE]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def joined() -> Scene:
    scene = Scene()
    scene.run(scene.membership.renew())
    return scene


def test_a_node_joins_and_has_a_lease_that_began_before_the_statement(scene: Scene) -> None:
    assert scene.run(scene.membership.renew()) == ["FindMember", "Join", "Renew", "ReadChanges", "Acknowledge"]
    assert scene.membership.is_member
    # The renewal was the third statement.
    assert scene.page.head.lease_end == 1002 + LEASE
    assert scene.membership.lease_left == LEASE - 3
    assert (scene.row.renewed, scene.row.acked, scene.row.lease) == (1, 1, LEASE)
    assert scene.page.head.generation == scene.server.generation
    assert scene.page.head.forgets == 1


def test_a_renewal_without_changes_is_one_statement() -> None:
    scene = joined()
    assert scene.run(scene.membership.renew()) == ["Renew"]
    assert scene.page.head.lease_end == 1005 + LEASE
    assert scene.membership.renewals == 2


def test_a_renewal_publishes_what_was_committed() -> None:
    scene = joined()
    scene.server.commit("a")
    scene.server.commit("b")
    assert scene.run(scene.membership.renew()) == ["Renew", "ReadChanges", "Acknowledge"]
    assert (scene.page.head.generation.number, scene.page.head.forgets) == (3, 1)
    assert scene.row.acked == 3


def test_publishing_does_not_extend_the_lease() -> None:
    scene = joined()
    lease_end = scene.page.head.lease_end
    scene.server.commit("a")
    assert scene.run(scene.membership.publish()) == ["ReadChanges", "Acknowledge"]
    assert (scene.page.head.generation.number, scene.page.head.lease_end) == (2, lease_end)
    assert scene.run(scene.membership.publish()) == ["ReadChanges"]


def test_nothing_is_published_on_a_connection_before_a_commit_there() -> None:
    scene = joined()
    scene.membership.connected()
    scene.server.commit("a")
    assert scene.run(scene.membership.publish()) == []
    assert scene.run(scene.membership.renew()) == ["Renew", "ReadChanges", "Acknowledge"]
    assert scene.run(scene.membership.publish()) == ["ReadChanges"]


def test_an_acknowledgement_that_a_failover_may_have_lost_is_made_again() -> None:
    scene = joined()
    scene.server.members[NODE] = replace(scene.row, acked=0)
    scene.membership.connected()
    assert scene.run(scene.membership.renew()) == ["Renew", "Acknowledge"]
    assert scene.row.acked == 1


def test_one_that_failed_is_made_again() -> None:
    scene = joined()
    scene.server.commit("a")
    found = scene.server.members.pop(NODE)
    scene.run(scene.membership.publish())
    scene.server.members[NODE] = found
    scene.run(scene.membership.publish())
    assert scene.row.acked == 2


@pytest.mark.parametrize(
    "history",
    [
        [TaggedChange(1, b"other---", "key", "1", "r", "x")],
        [TaggedChange(1, b"other---", "key", "1", "r", "x"), TaggedChange(2, b"other---", "key", "1", "r", "x")],
        [TaggedChange(7, b"other---", "key", "1", "r", "x")],
    ],
    ids=["the same number", "a higher number", "trimmed"],
)
def test_everything_is_forgotten_for_another_history(history: list[TaggedChange]) -> None:
    scene = joined()
    scene.server.changes = history
    scene.run(scene.membership.renew())
    assert (scene.page.head.generation, scene.page.head.forgets) == (scene.server.generation, 2)
    assert scene.membership.resets == 2


def test_everything_is_forgotten_if_a_change_is_missing() -> None:
    scene = joined()
    for name in ("a", "b", "c"):
        scene.server.commit(name)
    del scene.server.changes[2]
    scene.run(scene.membership.renew())
    assert (scene.page.head.generation.number, scene.page.head.forgets) == (4, 2)


def test_a_node_that_others_went_on_without_has_no_lease_and_joins_again(caplog: pytest.LogCaptureFixture) -> None:
    scene = joined()
    old = scene.row.incarnation
    del scene.server.members[NODE]
    assert scene.run(scene.membership.renew()) == ["Renew"]
    assert scene.page.head.lease_end == 0
    assert "it joins them again" in caplog.text
    assert scene.run(scene.membership.renew()) == ["FindMember", "Join", "Renew", "Acknowledge"]
    assert scene.row.incarnation != old
    assert scene.membership.joins == 2


def test_an_agent_that_is_started_again_replaces_its_row_at_once() -> None:
    scene = joined()
    scene.start()
    assert scene.page.head.lease_end == 0
    scene.run(scene.membership.renew())
    assert scene.membership.is_member
    # It does not know what the workers have seen.
    assert scene.page.head.forgets == 2


def test_so_does_one_whose_attempt_to_join_was_lost(scene: Scene) -> None:
    assert scene.run(scene.membership.renew(), lose=Join) == ["FindMember", "Join"]
    assert not scene.membership.is_member
    scene.run(scene.membership.renew())
    assert scene.membership.joins == 1


def test_a_row_that_this_page_does_not_know_is_left_until_its_lease_is_over(scene: Scene) -> None:
    scene.server.members[NODE] = FOREIGN
    assert scene.run(scene.membership.renew()) == ["FindMember"]
    assert scene.membership.waits_for_other
    scene.clock.advance(over_everywhere(LEASE) - 1.5)
    assert scene.run(scene.membership.renew()) == ["FindMember"]
    scene.run(scene.membership.renew())
    assert scene.membership.joins == 1
    assert scene.row.incarnation != FOREIGN.incarnation


def test_one_that_is_renewed_belongs_to_a_copy_of_this_node(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.server.members[NODE] = FOREIGN
    for renewed in range(4, 10):
        scene.run(scene.membership.renew())
        scene.server.members[NODE] = replace(FOREIGN, renewed=renewed)
        scene.clock.advance(over_everywhere(LEASE))
    assert not scene.membership.is_member
    assert scene.page.head.lease_end == 0
    assert "another process serves as node n" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR


def test_a_node_that_leaves_is_not_waited_for() -> None:
    scene = joined()
    assert scene.run(scene.membership.leave()) == ["Leave"]
    assert scene.server.members == {}
    assert scene.page.head.lease_end == 0
    assert scene.run(scene.membership.leave()) == []


def test_a_reply_of_another_kind_is_a_defect() -> None:
    scene = joined()
    steps = scene.membership.renew()
    next(steps)
    with pytest.raises(TypeError):
        steps.send(FOREIGN)
    steps = scene.membership.publish()
    next(steps)
    with pytest.raises(TypeError):
        steps.send(None)


def test_leases_have_bounds() -> None:
    with pytest.raises(ValueError, match="61"):
        Membership(NODE, 61, PageWriter(memoryview(bytearray(PAGE_BYTES)), "here"), ManualClock(0), bytes)


def test_the_generation_is_compared_with_its_tag() -> None:
    assert Generation(1, b"a") != Generation(1, b"b")
