"""The cache in front of the database: which values a fill may cache."""

import pytest

from strongroom.snapshot.miss import MustWait
from strongroom.snapshot.read_through_cache import ReadThroughCache


class Shelf:
    """Values that change, as a database has them; counts how often each is read."""

    def __init__(self, **values: int) -> None:
        self.values: dict[str, int] = values
        self.reads: list[str] = []

    def read(self, key: str) -> int | None:
        self.reads.append(key)
        return self.values.get(key)


def never_read(key: str) -> int | None:
    raise AssertionError(key)


def test_a_value_is_read_once_and_then_cached() -> None:
    shelf, cache = Shelf(a=1), ReadThroughCache[str, int](10)
    assert cache.look_up("a", shelf.read, may_wait=True) == 1
    assert cache.look_up("a", never_read, may_wait=True) == 1
    assert cache.look_up("a", never_read, may_wait=False) == 1
    assert cache.get("a") == 1
    assert cache.misses == 1


def test_a_miss_raises_where_the_caller_may_not_wait() -> None:
    cache = ReadThroughCache[str, int](10)
    with pytest.raises(MustWait):
        cache.look_up("a", never_read, may_wait=False)
    assert cache.misses == 0


def test_absence_is_never_cached() -> None:
    shelf, cache = Shelf(), ReadThroughCache[str, int](10)
    assert cache.look_up("a", shelf.read, may_wait=True) is None
    shelf.values["a"] = 1
    assert cache.look_up("a", shelf.read, may_wait=True) == 1


@pytest.mark.parametrize("forgotten", ["the key", "another key", "some", "all"])
def test_what_was_read_is_not_cached_if_something_was_forgotten_meanwhile(forgotten: str) -> None:
    shelf, cache = Shelf(a=1), ReadThroughCache[str, int](10)

    def read_and_change(key: str) -> int | None:
        value = shelf.read(key)
        shelf.values["a"] = 2
        {
            "the key": lambda: cache.forget("a"),
            "another key": lambda: cache.forget("b"),
            "some": lambda: cache.forget_those(lambda _key, _value: False),
            "all": cache.forget_all,
        }[forgotten]()
        return value

    # The call itself began before the change; a later one must not get the old value.
    assert cache.look_up("a", read_and_change, may_wait=True) == 1
    assert cache.get("a") is None
    assert cache.look_up("a", shelf.read, may_wait=True) == 2


def test_two_fills_at_once_share_one_value() -> None:
    cache = ReadThroughCache[str, list[int]](10)
    faster = [1]

    def read_while_another_does(key: str) -> list[int]:
        assert cache.look_up(key, lambda _: faster, may_wait=True) is faster
        return [1]

    assert cache.look_up("a", read_while_another_does, may_wait=True) is faster
    assert cache.get("a") is faster


def test_values_are_announced_when_they_enter_and_leave() -> None:
    added: list[tuple[str, int]] = []
    dropped: list[int] = []
    cache = ReadThroughCache[str, int](10, lambda key, value: added.append((key, value)), dropped.append)
    shelf = Shelf(a=1, b=2, c=3)
    for key in shelf.values:
        cache.look_up(key, shelf.read, may_wait=True)
    cache.forget("a")
    cache.forget("a")
    cache.forget_those(lambda key, _: key == "b")
    assert dropped == [1, 2]
    cache.forget_all()
    assert dropped == [1, 2, 3]
    assert added == [("a", 1), ("b", 2), ("c", 3)]
    assert cache.everything() == {}
    assert cache.size == 0


def test_values_that_make_room_are_announced_too() -> None:
    dropped: list[int] = []
    cache = ReadThroughCache[int, int](4, dropped=dropped.append)
    for number in range(100):
        cache.look_up(number, lambda key: key, may_wait=True)
    assert sorted([*dropped, *cache.everything().values()]) == list(range(100))
    assert cache.size <= 4
