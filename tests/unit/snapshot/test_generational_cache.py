"""A generational cache never exceeds its limit, and keeps entries that are in use."""

from hypothesis import given
from hypothesis import strategies as st

from strongroom.snapshot.generational_cache import GenerationalCache


def look_up(cache: GenerationalCache[int, str], key: int) -> bool:
    """Look a key up, and store a value after a cache miss; return whether it was a hit."""
    if cache.get(key) is not None or cache.recall(key) is not None:
        return True
    cache.remember(key, f"value {key}")
    return False


def test_entries_in_use_stay_while_many_others_are_read_once() -> None:
    cache: GenerationalCache[int, str] = GenerationalCache(100)
    for hot in range(10):
        look_up(cache, hot)
    for cold in range(1000, 11_000):
        if cold % 25 == 0:
            assert all(look_up(cache, hot) for hot in range(10)), cold
        assert not look_up(cache, cold)


def test_evicted_entries_are_passed_to_the_callback_one_at_a_time() -> None:
    evicted: list[str] = []
    cache: GenerationalCache[int, str] = GenerationalCache(4, evicted.append)
    for number in range(20):
        cache.remember(number, str(number))
        assert len(evicted) == max(0, number - 3)
    assert sorted(evicted + list(cache.everything().values()), key=int) == [str(number) for number in range(20)]


@given(st.integers(2, 9), st.lists(st.tuples(st.sampled_from(["look up", "forget"]), st.integers(0, 12))))
def test_it_returns_what_was_stored_and_never_exceeds_its_limit(limit: int, acts: list[tuple[str, int]]) -> None:
    cache: GenerationalCache[int, str] = GenerationalCache(limit)
    for act, key in acts:
        if act == "look up":
            look_up(cache, key)
            assert cache.recall(key) == f"value {key}"
        else:
            existed = key in cache.everything()
            assert cache.forget(key) == (f"value {key}" if existed else None)
            assert cache.recall(key) is None
        assert len(cache) + len(cache._last) + len(cache._going) == len(cache.everything()) <= limit
