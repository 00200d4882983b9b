"""What is held of what was asked for: never more than there is room for, and what is in use stays."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from strongroom.snapshot.generational_cache import GenerationalCache


def ask(recent: GenerationalCache[int, str], key: int) -> bool:
    """Ask as those do who hold something; tell whether it was there."""
    if recent.get(key) is not None or recent.recall(key) is not None:
        return True
    recent.remember(key, f"value {key}")
    return False


def beyond(least: int, key: int, _value: str) -> bool:
    return key >= least


def test_what_is_in_use_stays_however_many_others_are_looked_at_once() -> None:
    recent: GenerationalCache[int, str] = GenerationalCache(100)
    for hot in range(10):
        ask(recent, hot)
    for cold in range(1000, 11_000):
        if cold % 25 == 0:
            assert all(ask(recent, hot) for hot in range(10)), cold
        assert not ask(recent, cold)


def test_what_goes_is_handed_over_one_at_a_time() -> None:
    gone: list[str] = []
    recent: GenerationalCache[int, str] = GenerationalCache(4, gone.append)
    for number in range(20):
        recent.remember(number, str(number))
        assert len(gone) == max(0, number - 3)
    assert sorted(gone + list(recent.everything().values()), key=int) == [str(number) for number in range(20)]


@given(st.integers(2, 9), st.lists(st.tuples(st.sampled_from(["ask", "forget", "those"]), st.integers(0, 12))))
def test_it_holds_what_it_was_given_and_never_too_much(limit: int, acts: list[tuple[str, int]]) -> None:
    recent: GenerationalCache[int, str] = GenerationalCache(limit)
    for act, key in acts:
        if act == "ask":
            ask(recent, key)
            assert recent.recall(key) == f"value {key}"
        elif act == "forget":
            was_there = key in recent.everything()
            assert recent.forget(key) == (f"value {key}" if was_there else None)
            assert recent.recall(key) is None
        else:
            recent.forget_those(partial(beyond, key))
            assert all(each < key for each in recent.everything())
        assert len(recent) + len(recent._last) + len(recent._going) == len(recent.everything()) <= limit
    recent.forget_all()
    assert recent.everything() == {}
