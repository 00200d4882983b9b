"""When a change is settled: all have acknowledged it, or a lease has ended."""

import pytest

from strongroom.store.leases.bounds import LONGEST_LEASE, checked_lease, over_everywhere
from strongroom.store.leases.requests import FoundMembers, Member
from strongroom.store.leases.settlement import Settlement

LEASE = 10.0
OVER = over_everywhere(LEASE)


def member(node: str, acked: int, renewed: int = 5, lease: float = LEASE) -> Member:
    return Member(node, node.encode() * 16, renewed, acked, lease)


class Scene:
    """A change with the number 7, committed at the time 100."""

    def __init__(self) -> None:
        self.settlement = Settlement()
        self.settled: list[int] = []
        self.add(7, 100)

    def add(self, number: int, committed_at: float) -> None:
        self.settlement.add(number, committed_at, lambda: self.settled.append(number))

    def observe(self, read_at: float, *members: Member, known: int = 9) -> list[Member]:
        settled, removals = self.settlement.observe(FoundMembers(known, members), read_at)
        for done in settled:
            done()
        return removals


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_without_other_nodes_a_change_is_settled_at_once(scene: Scene) -> None:
    assert scene.observe(100.1) == []
    assert scene.settled == [7]
    assert scene.settlement.is_idle


def test_it_is_settled_when_all_have_acknowledged_it(scene: Scene) -> None:
    scene.observe(100.1, member("a", 7), member("b", 6))
    assert scene.settled == []
    assert scene.settlement.waiting
    scene.observe(100.2, member("a", 7), member("b", 8))
    assert scene.settled == [7]
    assert scene.settlement.waited_out == 0
    assert scene.settlement.is_idle


def test_it_is_settled_when_the_lease_of_a_silent_node_is_over(scene: Scene) -> None:
    scene.observe(100.1, member("a", 7), member("b", 6))
    assert scene.observe(100 + OVER - 0.01, member("a", 7), member("b", 6)) == []
    assert scene.settled == []
    scene.observe(100 + OVER, member("a", 7), member("b", 6))
    assert scene.settled == [7]
    assert scene.settlement.waited_out == 1


def test_the_longest_lease_counts(scene: Scene) -> None:
    scene.observe(100 + OVER, member("a", 6), member("b", 6, lease=30))
    assert scene.settled == []
    scene.observe(100 + over_everywhere(30), member("a", 6), member("b", 6, lease=30))
    assert scene.settled == [7]


def test_a_node_that_did_not_renew_its_lease_is_removed(scene: Scene) -> None:
    silent = member("b", 6)
    assert scene.observe(100.1, silent) == []
    # A clock of the node that is slower was allowed for since the row was first seen, not since the commit.
    assert scene.observe(100 + OVER, silent) == []
    assert not scene.settlement.is_idle
    assert scene.observe(100.1 + OVER, silent) == [silent]
    assert scene.observe(100.2 + OVER) == []
    assert scene.settlement.is_idle


def test_one_that_did_is_not(scene: Scene) -> None:
    scene.observe(100.1, member("b", 6))
    scene.observe(105, member("b", 6, renewed=6))
    assert scene.observe(100.1 + OVER, member("b", 6, renewed=6)) == []
    assert scene.settled == [7]
    assert scene.observe(105 + OVER, member("b", 6, renewed=6)) == [member("b", 6, renewed=6)]


def test_a_server_that_does_not_know_a_change_does_not_settle_it(scene: Scene) -> None:
    """A former primary would not know of a node that has joined since."""
    found = FoundMembers(6, [])
    assert scene.settlement.observe(found, 100.1) == ([], [])
    assert scene.settlement.is_ahead_of(found)
    assert not scene.settlement.is_ahead_of(FoundMembers(7, []))
    scene.observe(100.2, known=7)
    assert scene.settled == [7]


def test_each_change_waits_for_itself(scene: Scene) -> None:
    scene.add(9, 105)
    scene.observe(105.1, member("a", 8))
    assert scene.settled == [7]
    scene.observe(105.2, member("a", 9))
    assert scene.settled == [7, 9]


def test_without_the_database_a_change_is_settled_when_no_lease_can_run(scene: Scene) -> None:
    scene.observe(100.1, member("a", 6))
    over = 100 + over_everywhere(LONGEST_LEASE)
    assert scene.settlement.expire(over - 0.01) == []
    assert len(scene.settlement.expire(over)) == 1
    assert scene.settlement.is_idle


@pytest.mark.parametrize("lease", [0, 0.01, 60.1, float("nan")])
def test_leases_have_bounds(lease: float) -> None:
    with pytest.raises(ValueError, match=str(lease)):
        checked_lease(lease)


def test_a_slow_clock_elsewhere_is_allowed_for() -> None:
    assert checked_lease(LEASE) == LEASE
    assert over_everywhere(LEASE) > LEASE / 0.991


def test_after_the_database_was_set_back_no_node_is_waited_for(scene: Scene) -> None:
    scene.observe(100.1, member("a", 7))
    assert scene.settlement.is_idle
    scene.add(12, 101)
    scene.observe(101.1, member("a", 12), known=12)
    scene.add(9, 110)
    scene.observe(110.1, member("a", 9), known=9)
    assert scene.settled == [7, 12, 9]
    assert scene.settlement.is_idle
