"""A simulator of other nodes that acknowledge what is committed only when the test says so, or have no lease."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from strongroom.assembly.deployment import Deployment
from strongroom.store.leases.view import LeaseEnded
from strongroom.store.unsettled import Unsettled


class LateNodes:
    """Makes the store of a deployment one whose writes have to settle, and whose node may lose its lease."""

    def __init__(self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
        self._here = threading.local()
        self.commits: list[Unsettled] = []
        """What has been committed and is not settled."""
        self.written = 0
        """How many writes have returned."""
        self.has_lease = True
        store: Any = deployment.backends.store
        whole: Callable[..., Any] = store.write
        version: Callable[[], bytes] = store.version

        def write(*parts: Any) -> Any:
            result = whole(*parts)
            self.written += 1
            unsettled: Unsettled | None = getattr(self._here, "unsettled", None)
            if unsettled is not None:
                unsettled.add()
                self.commits.append(unsettled)
            return result

        def checked() -> bytes:
            if not self.has_lease:
                raise LeaseEnded
            return version()

        monkeypatch.setattr(store, "write", write)
        monkeypatch.setattr(store, "version", checked)
        monkeypatch.setattr(deployment.service.pipeline, "settling", self)

    @contextmanager
    def deferred(self) -> Iterator[Unsettled]:
        self._here.unsettled = unsettled = Unsettled()
        try:
            yield unsettled
        finally:
            self._here.unsettled = None

    def settle(self) -> None:
        """Have all nodes acknowledge what has been committed so far, on a thread of its own as a settler does."""
        commits, self.commits = self.commits, []

        def acknowledge() -> None:
            for commit in commits:
                commit.settled()

        thread = threading.Thread(target=acknowledge)
        thread.start()
        thread.join()
