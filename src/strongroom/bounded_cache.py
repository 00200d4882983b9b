"""A dict as a cache of bounded size. It is emptied when it is full: for values so cheap to make that no LRU pays."""

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def put(cache: dict[K, V], key: K, value: V, max_size: int) -> V:
    """Store a value in the cache and return it. A cache that has ``max_size`` entries already is emptied first."""
    if len(cache) >= max_size:
        cache.clear()
    cache[key] = value
    return value
