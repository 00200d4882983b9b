"""Checks a whole database: its pages with SQLite's integrity_check, and its tables and indexes (``structure``).

``PRAGMA integrity_check`` reads every page, follows every tree, and compares each index with its table
(sqlite.org/pragma.html#pragma_integrity_check). Without that, a row that one index lost would be found by some calls
and not by others. The check is a read, so writers go on; the write-ahead log cannot be emptied meanwhile.
"""

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Lock, Thread

import msgspec

from strongroom.problems import Problems, Subject
from strongroom.store.counters import StoreCounters
from strongroom.store.sqlite.engine import BUSY_TIMEOUT
from strongroom.store.sqlite.faults import fault_of_sqlite, is_damage
from strongroom.store.sqlite.read_only import connect_read_only
from strongroom.store.sqlite.structure import wrong_structure

logger = logging.getLogger(__name__)

AT_ONCE = 64 * 1024 * 1024
"""Databases up to this size in bytes, with their logs, are checked before a start goes on: it takes a moment."""

_MOST_FINDINGS = 3
_PAUSE = 600.0
"""The least time between two checks that faults ask for, seconds."""


class Integrity(msgspec.Struct, frozen=True):
    """What a check found: ``findings`` are SQLite's words for what is wrong, a few at most; none if all is well."""

    findings: tuple[str, ...]
    seconds: float

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


class UncheckedError(Exception):
    """A database could not be checked, for a reason that says nothing about what is in it; the message is one."""


def size_of(database: Path) -> int:
    """Return the size of a database with its write-ahead log, in bytes; 0 if there is none."""
    return sum(path.stat().st_size for path in (database, log_of(database)) if path.exists())


def log_of(database: Path) -> Path:
    """Return the path of a database's write-ahead log, which need not exist."""
    return database.with_name(f"{database.name}-wal")


def check_integrity(database: Path, *, only_read: bool = False, pages: bool = True) -> Integrity:
    """Check a whole database, also while servers use it; raises UncheckedError if it cannot be read now.

    It changes nothing that is stored; with ``only_read``, it does not move the write-ahead log into the database
    either. It takes about five seconds for each gigabyte in the page cache. Without ``pages``, only the tables and
    indexes are looked at, not what is in them: that takes a few milliseconds, whatever the size.
    """
    begun = time.perf_counter()
    try:
        with closing(_connect(database, only_read=only_read)) as connection:
            connection.execute("PRAGMA query_only=ON")
            findings = wrong_structure(connection) or (_wrong_pages(connection) if pages else [])
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            fault = fault_of_sqlite(error, writing=False)
            raise UncheckedError(fault.explain(str(database))) from error
        findings = [f"{error.sqlite_errorname}: {error}"]
    # Some findings have several lines.
    words = (" ".join(finding.split()) for finding in findings[:_MOST_FINDINGS])
    return Integrity(tuple(words), time.perf_counter() - begun)


def _wrong_pages(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(f"PRAGMA integrity_check({_MOST_FINDINGS})").fetchall()
    return [str(finding) for (finding,) in rows if finding != "ok"]


def _connect(database: Path, *, only_read: bool) -> sqlite3.Connection:
    if only_read:
        return connect_read_only(database, untouched=True)
    # Opened so, a database that was moved away meanwhile is not made anew, and then found to be whole.
    place = f"{database.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(place, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)


class IntegrityWatch:
    """Checks the database in the background, one check at a time. Safe to use from several threads.

    ``found_whole`` is called with the time at which a check began that found nothing wrong.
    """

    def __init__(
        self,
        database: Path,
        problems: Problems,
        counters: StoreCounters,
        timer: Callable[[], float],
        found_whole: Callable[[float], None],
    ) -> None:
        self._database = database
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
            self._conclude(check_integrity(self._database), begun)
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
        self._problems.report(Subject.INTEGRITY, explain(self._database.name, found))

    def _count(self, outcome: str) -> None:
        self._counters.checks = {**self._counters.checks, outcome: self._counters.checks[outcome] + 1}


def explain(database: str, found: Integrity) -> str:
    """Return a sentence for the operator about a database that is not whole."""
    return (
        f"`{database}` is damaged ({'; '.join(found.findings)}); restore a backup, "
        "or what is readable is served and the rest fails"
    )
