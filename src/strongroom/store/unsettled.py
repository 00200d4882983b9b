"""What a call has committed and may not be answered yet: other nodes may still serve what was before it.

The thread that has run the call goes on with others. What holds the answer is told when it may leave. It does no I/O.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock
from typing import Protocol

from strongroom.errors import WriteOutcomeUnknown

Then = Callable[[], None]


class NotSettled(WriteOutcomeUnknown):
    """A change is durable, and it was not waited for any longer that all nodes know it: this process ends.

    It must not be undone: its own commit, or one that it rests on, has happened.
    """

    code = WriteOutcomeUnknown.code

    def __init__(self) -> None:
        super().__init__("The change was made; this process stops, and other nodes may not know of it yet.")


class ChangeLost(WriteOutcomeUnknown):
    """A change was committed, and the database does not know it any more."""

    code = WriteOutcomeUnknown.code

    def __init__(self) -> None:
        super().__init__("The key store was rolled back. Whether the change was made is not known.")


class Unsettled:
    """The commits of one call that are not settled yet. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._outstanding = 0
        self._then: Then | None = None
        self.is_lost = False
        """Whether the database has lost one of the commits: then the call must not be answered as done."""

    @property
    def is_settled(self) -> bool:
        """Whether all commits that were added are settled."""
        return self._outstanding == 0

    def add(self) -> None:
        """Add a commit; ``settled`` or ``lost`` has to be called once for it."""
        with self._lock:
            self._outstanding += 1

    def settled(self) -> None:
        """Note that one of the commits is settled."""
        with self._lock:
            self._outstanding -= 1
            then = self._then if self._outstanding == 0 else None
        if then is not None:
            then()

    def lost(self) -> None:
        """Note that the database has lost one of the commits."""
        self.is_lost = True
        self.settled()

    def when_settled(self, then: Then) -> None:
        """Have ``then`` called once, when all are settled: at once, or by the thread that settles the last one.

        Nothing may be added after this.
        """
        with self._lock:
            self._then = then
            is_over = self._outstanding == 0
        if is_over:
            then()


class Settling(Protocol):
    """A store whose writes are known to other nodes only some time after they are durable."""

    def deferred(self) -> AbstractContextManager[Unsettled]:
        """Have the writes of this thread return when they are durable, until the block ends.

        The answer to the call that made them must wait until what the block was given is settled. Without this, a
        write returns when it is settled.
        """
        ...
