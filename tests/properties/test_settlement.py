"""What is settled does not depend on how many wait: a look goes through them only if it may settle one."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from strongroom.store.leases.bounds import LONGEST_LEASE, over_everywhere
from strongroom.store.leases.requests import FoundMembers, Member
from strongroom.store.leases.settlement import Settlement

numbers = st.integers(1, 6)
members = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([1.0, 2.0, 10.0])), max_size=3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), numbers),
        st.tuples(st.just("look"), numbers, members),
        st.tuples(st.just("fail"), st.just(0)),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 1.02, 9.0, 60.0])),
    ),
    max_size=20,
)


def found_of(number: int, known: Sequence[tuple[int, float]]) -> FoundMembers:
    return FoundMembers(number, [Member(f"n{at}", b"1", 1, *each) for at, each in enumerate(known)])


@given(steps)
def test_each_change_is_settled_by_the_first_look_that_allows_it(
    taken: Sequence[tuple[str, int, list[tuple[int, float]]]],
) -> None:
    settlement, now = Settlement(), 0.0
    settled: list[tuple[int, float]] = []
    waiting: list[tuple[int, float]] = []
    expected: list[tuple[int, float]] = []
    for kind, value, *more in taken:
        if kind == "wait":
            now += value
        elif kind == "add":
            change = (value, now)
            settlement.add(value, now, lambda each=change: settled.append(each))  # type: ignore[misc]
            waiting.append(change)
        elif kind == "look":
            found = found_of(value, more[0])
            for done in settlement.observe(found, now)[0]:
                done()
            over = [each for each in waiting if is_over(found, each, now)]
            expected += over
            waiting = [each for each in waiting if each not in over]
            assert settlement.is_ahead_of(found) == any(number > found.number for number, _ in waiting)
        else:
            for done in settlement.expire(now):
                done()
            over = [each for each in waiting if now >= each[1] + over_everywhere(LONGEST_LEASE)]
            expected += over
            waiting = [each for each in waiting if each not in over]
        assert sorted(settled) == sorted(expected)
        assert settlement.waiting == len(waiting)


def is_over(found: FoundMembers, change: tuple[int, float], now: float) -> bool:
    """Tell whether a change is settled by a look, as the protocol says it."""
    number, committed_at = change
    if number > found.number:
        return False
    leases = [each.lease for each in found.members if each.acked < number]
    return not leases or now >= committed_at + over_everywhere(max(leases))
