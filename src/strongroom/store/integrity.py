"""Checks of whole databases in the background, and what they found."""

import logging
from collections.abc import Callable
from threading import Lock, Thread

import msgspec

from strongroom.problems import Problems, Subject
from strongroom.store.counters import StoreCounters

logger = logging.getLogger(__name__)

_PAUSE = 600.0
"""The least time between two checks that faults ask for, seconds."""


class Integrity(msgspec.Struct, frozen=True):
    """What a check found: ``findings`` are the database's words for what is wrong, a few at most, or none."""

    findings: tuple[str, ...]
    seconds: float

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


class UncheckedError(Exception):
    """A database could not be checked, for a reason that says nothing about what is in it; the message is one."""


class IntegrityWatch:
    """Checks a database in the background, one check at a time. Safe to use from several threads.

    ``database`` is its name, and ``check`` a function that checks it. ``found_whole`` is called with the time at which
    a check began that found nothing wrong.
    """

    def __init__(
        self,
        database: str,
        check: Callable[[], Integrity],
        problems: Problems,
        counters: StoreCounters,
        timer: Callable[[], float],
        found_whole: Callable[[float], None],
    ) -> None:
        self._database = database
        self._check = check
        self._problems = problems
        self._counters = counters
        self._timer = timer
        self._found_whole = found_whole
        self._lock = Lock()
        self._thread: Thread | None = None
        self._next = float("-inf")

    def request(self) -> None:
        """Begin a check, unless one runs or the last one is less than ten minutes ago."""
        with self._lock:
            if (self._thread is not None and self._thread.is_alive()) or self._timer() < self._next:
                return
            self._next = self._timer() + _PAUSE
            # A daemon, because a disk that hangs must not keep the process from ending.
            thread = Thread(target=self._run, name="integrity", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                logger.warning("no thread could be started to check the database")
                return
            self._thread = thread

    def wait(self, timeout: float) -> None:
        """Wait for the check that runs, if one does; for ``timeout`` seconds at most."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        begun = self._timer()
        try:
            self._conclude(self._check(), begun)
        except (UncheckedError, OSError) as error:
            self._count("failed")
            logger.warning("the database could not be checked: %s", error)

    def _conclude(self, found: Integrity, begun: float) -> None:
        self._counters.check_duration = found.seconds
        if found.is_whole:
            self._count("whole")
            logger.info("the database was checked in %.1f s: it is whole", found.seconds)
            self._problems.resolve(Subject.INTEGRITY)
            self._found_whole(begun)
            return
        self._count("damaged")
        self._problems.report(Subject.INTEGRITY, explain(self._database, found))

    def _count(self, outcome: str) -> None:
        self._counters.checks = {**self._counters.checks, outcome: self._counters.checks[outcome] + 1}


def explain(database: str, found: Integrity) -> str:
    """Return a sentence for the operator about a database that is not whole."""
    return (
        f"`{database}` is damaged ({'; '.join(found.findings)}); restore a backup, "
        "or what is readable is served and the rest fails"
    )
