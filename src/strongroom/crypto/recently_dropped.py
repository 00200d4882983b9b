"""What was dropped a moment ago, for those who have begun before that and still need it."""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class RecentlyDropped(Generic[K, V]):
    """Keeps what was dropped until ``forget`` was called twice. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: dict[K, V] = {}
        self._forgotten_next: frozenset[K] = frozenset()

    def add(self, dropped: Mapping[K, V]) -> None:
        """Keep what is dropped now."""
        self._kept = {**self._kept, **dropped}

    def get(self, key: K) -> V | None:
        """Return what was dropped under a key; None if there is nothing."""
        return self._kept.get(key)

    def forget(self) -> None:
        """Forget what was kept already when this was called last."""
        self._kept = {key: value for key, value in self._kept.items() if key not in self._forgotten_next}
        self._forgotten_next = frozenset(self._kept)
