"""A bounded cache never exceeds its size, and always has the newest entry."""

from strongroom.bounded_cache import put


def test_a_full_cache_is_emptied_before_the_next_entry() -> None:
    cache: dict[str, int] = {}
    assert [put(cache, name, number, 2) for number, name in enumerate("ab")] == [0, 1]
    assert cache == {"a": 0, "b": 1}
    assert put(cache, "c", 2, 2) == 2
    assert cache == {"c": 2}
