"""The keys whose material this process has in its memory: bounded in number and in time.

A key is loaded at its first use. After a while its material is forgotten, whether it is used or not, and loaded again
at its next use. So a memory image has the keys that were used lately, and no others. Python cannot overwrite what it
forgets; the memory is overwritten when it is used again.
"""

import threading
from collections.abc import Callable
from typing import Protocol


class LoadedKey(Protocol):
    """A key whose material is loaded. It is told apart from others by its identity."""

    def begin_unloading(self) -> bool:
        """Have calls that begin from now on wait for the back end; return whether calls so far did not wait for it."""
        ...

    def unload(self) -> None:
        """Forget the material."""
        ...


class LoadedKeys:
    """At most ``most`` loaded keys, each for ``seconds`` at most; 0 for no limit. Safe to use from several threads."""

    def __init__(self, most: int, seconds: float, timer: Callable[[], float]) -> None:
        self._most = most
        self._seconds = seconds
        self._timer = timer
        self._since: dict[LoadedKey, float] = {}
        """When each was loaded, oldest first."""
        self._leaving: list[LoadedKey] = []
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """How many keys are loaded now."""
        return len(self._since) + len(self._leaving)

    def add(self, key: LoadedKey) -> None:
        """Note that a key was loaded. The one that was loaded first makes room, if there are too many."""
        oldest = None
        with self._lock:
            self._since.setdefault(key, self._timer())
            if len(self._since) > self._most:
                oldest = next(iter(self._since))
                del self._since[oldest]
        if oldest is not None:
            self._leave(oldest)

    def remove(self, key: LoadedKey) -> None:
        """Forget a key that is not used any more, because it was changed or makes room in another cache."""
        with self._lock:
            was_loaded = self._since.pop(key, None) is not None
        if was_loaded:
            self._leave(key)

    def sweep(self) -> None:
        """Unload what has been loaded for too long. It has to be called every few seconds."""
        leaving, self._leaving = self._leaving, []
        for key in leaving:
            key.unload()
        for key in self._expired():
            self._leave(key)

    def _expired(self) -> list[LoadedKey]:
        expired: list[LoadedKey] = []
        if self._seconds:
            with self._lock:
                until = self._timer() - self._seconds
                for key, since in self._since.items():
                    if since > until:
                        break
                    expired.append(key)
                for key in expired:
                    del self._since[key]
        return expired

    def _leave(self, key: LoadedKey) -> None:
        """Unload a key. If calls so far did not wait for its back end, they get until the next sweep to end.

        One of them may be on the event loop, where it must not find that the key has to be loaded from a token.
        """
        if key.begin_unloading():
            self._leaving.append(key)
        else:
            key.unload()
