"""A store that knows whether a thread is writing, and can be made to fail its next writes."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import TypeVar

from typing_extensions import override

from store_simulators import WrappedStore
from strongroom.errors import DependencyTimeoutException, WriteOutcomeUnknown
from strongroom.store.protocol import Store, Transaction
from strongroom.store.scopes import Scope
from strongroom.store.unsettled import NotSettled

T = TypeVar("T")


class Ending(Enum):
    """How a write ends."""

    FAILS = "rolled back, and the writer knows"
    UNKNOWN_DONE = "committed, but the writer does not know"
    NOT_SETTLED = "committed, and the process ends before all nodes know it"
    UNKNOWN_UNDONE = "rolled back, but the writer does not know"
    KILLED = "the process is killed before the commit"
    INTERRUPTED = "the thread is interrupted after the commit"


class Killed(BaseException):
    """The process is killed: no code of it runs any more. Code that catches this must not do anything else."""


class _RolledBack(Exception):
    """Ends a transaction without a commit."""


class WatchedStore(WrappedStore):
    """Wraps a store."""

    def __init__(self, store: Store, *, reruns: bool = False) -> None:
        """Wrap ``store``; with ``reruns``, every write is run, rolled back, and run again, as after a conflict."""
        super().__init__(store)
        self._reruns = reruns
        self._here = threading.local()
        self.ending: Ending | None = None
        """How the next write ends, if not well."""
        self.before_write: Callable[[], object] | None = None
        """A function that runs before each write, as another writer would."""
        self.at_ending: Callable[[], object] = lambda: None
        """What happens when a write ends badly."""

    def writing(self) -> bool:
        """Return whether this thread has a write transaction open."""
        return getattr(self._here, "writing", False)

    @override
    def write(self, act: Callable[[Transaction], T], *scopes: Scope) -> T:
        self._meddle()
        if self._reruns:
            self._roll_back(act, scopes)
        if self.ending is None:
            return self._commit(act, scopes)
        ending, self.ending = self.ending, None
        if ending in {Ending.UNKNOWN_DONE, Ending.NOT_SETTLED, Ending.INTERRUPTED}:
            self._commit(act, scopes)
        else:
            self._roll_back(act, scopes)
        self.at_ending()
        raise {
            Ending.FAILS: DependencyTimeoutException("the disk is full"),
            Ending.UNKNOWN_DONE: WriteOutcomeUnknown("the connection was lost"),
            Ending.NOT_SETTLED: NotSettled(),
            Ending.UNKNOWN_UNDONE: WriteOutcomeUnknown("the connection was lost"),
            Ending.KILLED: Killed(),
            Ending.INTERRUPTED: KeyboardInterrupt(),
        }[ending]

    def _meddle(self) -> None:
        meddle, self.before_write = self.before_write, None
        if meddle is not None:
            meddle()
            self.before_write = meddle

    def _commit(self, act: Callable[[Transaction], T], scopes: Iterable[Scope]) -> T:
        def marked(transaction: Transaction) -> T:
            with self._marked():
                return act(transaction)

        return self.store.write(marked, *scopes)

    def _roll_back(self, act: Callable[[Transaction], object], scopes: Iterable[Scope]) -> None:
        def undone(transaction: Transaction) -> None:
            act(transaction)
            raise _RolledBack

        with suppress(_RolledBack):
            self._commit(undone, scopes)

    @contextmanager
    def _marked(self) -> Iterator[None]:
        self._here.writing = True
        try:
            yield
        finally:
            self._here.writing = False
