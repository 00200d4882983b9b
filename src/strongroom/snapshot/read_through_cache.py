"""A cache in front of the database, filled by several threads and never with anything out of date.

A fill reads the database without holding any lock, so that the event loop never waits behind it. What was read is
cached only if nothing was forgotten from this cache since the fill began: otherwise it may already be out of date.
That holds only if the fill opens its own read of the database. One that was opened before may be older.
"""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from strongroom.snapshot.generational_cache import GenerationalCache
from strongroom.snapshot.miss import MustWait

K = TypeVar("K")
V = TypeVar("V")


def _ignore(*_: object) -> None:
    """Do nothing."""


class ReadThroughCache(Generic[K, V]):
    """Holds at most ``limit`` values, two at least. Safe to use from several threads.

    ``get`` finds what was used lately, at the cost of a dict. ``added`` and ``dropped`` are called, under the cache's
    lock, with each value that enters and leaves.
    """

    def __init__(
        self, limit: int, added: Callable[[K, V], None] = _ignore, dropped: Callable[[V], None] = _ignore
    ) -> None:
        self._cached: GenerationalCache[K, V] = GenerationalCache(limit, dropped)
        self._added = added
        self._dropped = dropped
        self._lock = Lock()
        self._invalidations = 0
        self.get = self._cached.get
        self.misses = 0
        """How often a value had to be read."""

    def look_up(self, key: K, read: Callable[[K], V | None], *, may_wait: bool) -> V | None:
        """Return what is cached, or else what ``read`` returns; None, which is never cached, if there is nothing.

        ``read`` must open its own read of the database, and look nothing up in other caches.
        Raises MustWait on a miss when the caller may not wait.
        """
        with self._lock:
            found = self._cached.recall(key)
            if found is not None:
                return found
            if not may_wait:
                raise MustWait
            self.misses += 1
            invalidations = self._invalidations
        value = read(key)
        if value is None:
            return None
        with self._lock:
            if self._invalidations != invalidations:
                # Good for this call, whose view was current when it began; perhaps not for a later one.
                return value
            # Another thread may have read it at the same time.
            found = self._cached.recall(key)
            if found is not None:
                return found
            self._cached.remember(key, value)
            self._added(key, value)
        return value

    def forget(self, key: K) -> None:
        """Drop one value, and whatever fills of this cache are reading just now."""
        with self._lock:
            self._invalidations += 1
            value = self._cached.forget(key)
            if value is not None:
                self._dropped(value)

    def forget_those(self, belongs: Callable[[K, V], bool]) -> None:
        """Drop every value that meets a condition, and whatever fills of this cache are reading just now."""
        with self._lock:
            self._invalidations += 1
            for key in [key for key, value in self._cached.everything().items() if belongs(key, value)]:
                value = self._cached.forget(key)
                if value is not None:
                    self._dropped(value)

    def forget_all(self) -> None:
        """Drop everything, and whatever fills of this cache are reading just now."""
        self.forget_those(lambda _key, _value: True)

    def everything(self) -> dict[K, V]:
        """Return a copy of all that is cached."""
        with self._lock:
            return self._cached.everything()

    @property
    def size(self) -> int:
        """How many values are cached."""
        return self._cached.held
