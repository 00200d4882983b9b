"""A simulator of a snapshot that holds nothing: lookups need the store, and the event loop may not wait for that."""

import threading
from typing import Any

import pytest

from strongroom.snapshot.miss import MustWait


class ColdLookup:
    """Makes one lookup raise MustWait on the event loop's thread; on any other it reads through to the store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.misses = 0
        """How often the event loop was refused."""
        self.threads: set[str] = set()
        """The threads that read through."""
        whole = getattr(owner, name)

        def lookup(*parts: Any, **more: Any) -> Any:
            thread = threading.current_thread()
            if thread is threading.main_thread():
                self.misses += 1
                raise MustWait
            self.threads.add(thread.name)
            return whole(*parts, **more)

        monkeypatch.setattr(owner, name, lookup)
