"""Things that were asked for lately, as many as there is room for."""

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class GenerationalCache(dict[K, V], Generic[K, V]):
    """At most ``limit`` things, two at least; what was not asked for while others came makes room for them.

    The dict holds what was asked for in this generation, so that finding it costs what any dict costs. When it is half
    of what there may be, a new generation begins. What is asked for again moves over (``recall``); what was not asked
    for during a whole generation goes, one for each that comes, and is handed to ``let_go``. So what is in use stays,
    however many others are looked at once.

    ``get`` is safe to use from several threads; all else, under the owner's lock.
    """

    def __init__(self, limit: int, let_go: Callable[[V], None] = lambda _: None) -> None:
        super().__init__()
        self._generation = max(limit // 2, 1)
        self._let_go = let_go
        self._last: dict[K, V] = {}
        self._going: dict[K, V] = {}

    def recall(self, key: K) -> V | None:
        """Return a cached value of any generation, or None."""
        found = self.get(key)
        if found is not None:
            return found
        found = self._last.pop(key, None)
        if found is None:
            found = self._going.pop(key, None)
        if found is not None:
            self.remember(key, found)
        return found

    def remember(self, key: K, value: V) -> None:
        """Put in something that was not there."""
        if len(self) >= self._generation:
            # One was removed for each that was added, so the generation before the last is empty.
            self._going = self._last
            self._last = dict(self)
            self.clear()
        self[key] = value
        if self._going:
            self._let_go(self._going.popitem()[1])

    def forget(self, key: K) -> V | None:
        """Take something out and return it."""
        found = [held.pop(key) for held in self._generations() if key in held]
        return found[0] if found else None

    def everything(self) -> dict[K, V]:
        """Return a copy of all that is held."""
        return self._going | self._last | self

    @property
    def held(self) -> int:
        """How many things are held."""
        return sum(map(len, self._generations()))

    def _generations(self) -> tuple[dict[K, V], ...]:
        return self, self._last, self._going
