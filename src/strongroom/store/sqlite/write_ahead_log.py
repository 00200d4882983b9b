"""Watches the write-ahead log: how large it is, and who keeps erased key material in it by reading.

A reader holds a lock on one of five bytes of the shared memory. While what it reads is not the newest state, the log
cannot be emptied (sqlite.org/walformat.html, "WAL Locks"). Linux lists these locks in ``/proc/locks``.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from strongroom.problems import Problems, Subject
from strongroom.store.counters import StoreCounters
from strongroom.store.sqlite.integrity import log_of

logger = logging.getLogger(__name__)

_SAID_AFTER = 60.0
_PROBLEM_AFTER = 180.0
"""After so many seconds for which erased material has stayed in the log, that is logged, or an open problem."""
LARGE = 256 * 1024 * 1024
"""From this size in bytes on, the log is a problem: it grows with each write until no reader needs its start."""
_READ_LOCKS = range(123, 128)
_LOCKS = Path("/proc/locks")


class WriteAheadLog:
    """The write-ahead log of one database, watched at each round of maintenance. ``timer`` counts seconds."""

    def __init__(self, database: Path, problems: Problems, counters: StoreCounters, timer: Callable[[], float]) -> None:
        self._database = database
        self._problems = problems
        self._counters = counters
        self._timer = timer
        self._waiting_since: float | None = None
        self._is_said = False
        self._has_problem = False

    def watch(self, *, is_scrubbed: bool) -> None:
        """Take note of the log's size, and of whether what was erased has been overwritten; see ``Store.scrub``."""
        size = self._counters.log_size = self._size()
        waits = self._wait(is_scrubbed=is_scrubbed)
        self._counters.erasure_waits = waits
        if waits >= _PROBLEM_AFTER:
            self._report(
                f"erased key material has been in `{log_of(self._database).name}` for more than "
                f"{_PROBLEM_AFTER / 60:.0f} minutes, because a reader needs the log"
            )
        elif size >= LARGE:
            self._report(
                f"`{log_of(self._database).name}` has grown to {LARGE >> 20} MiB and more, because a reader needs its "
                "start"
            )
        elif self._has_problem:
            self._has_problem = False
            self._problems.resolve(Subject.WRITE_AHEAD_LOG)

    def _wait(self, *, is_scrubbed: bool) -> float:
        """Return how long erased material has waited, in seconds, and say so once when it is long."""
        if is_scrubbed:
            if self._is_said:
                logger.info("the erased key material is overwritten now")
            self._waiting_since, self._is_said = None, False
            return 0.0
        now = self._timer()
        if self._waiting_since is None:
            self._waiting_since = now
        waits = now - self._waiting_since
        if waits >= _SAID_AFTER and not self._is_said:
            self._is_said = True
            name, size = log_of(self._database).name, self._counters.log_size
            logger.warning(
                "erased key material is still in `%s` (%d bytes) after %.0f s, because a reader needs the log%s",
                *(name, size, waits, self._who()),
            )
        return waits

    def _report(self, text: str) -> None:
        if not self._has_problem:
            # Only once: the readers that are named may change from one round to the next.
            self._has_problem = True
            self._problems.report(Subject.WRITE_AHEAD_LOG, f"{text}{self._who()}; end the reader")

    def _who(self) -> str:
        found = readers_of(self._database)
        return f" (process {', '.join(map(str, found))})" if found else ""

    def _size(self) -> int:
        try:
            return log_of(self._database).stat().st_size
        except OSError:
            return 0


def readers_of(database: Path, locks: Path = _LOCKS) -> list[int]:
    """Return the ids of the processes that read a database now, this one too; none where that cannot be known."""
    try:
        shared_memory = database.with_name(f"{database.name}-shm").stat()
        lines = locks.read_text().splitlines()
    except OSError:
        return []
    device = f"{os.major(shared_memory.st_dev):02x}:{os.minor(shared_memory.st_dev):02x}:{shared_memory.st_ino}"
    found = set()
    for line in lines:
        # "3: POSIX  ADVISORY  READ 1711 08:01:262162 124 124" (proc_locks(5)).
        fields = line.split()
        if len(fields) == 8 and fields[5] == device and fields[4].isdecimal() and int(fields[6]) in _READ_LOCKS:  # noqa: PLR2004
            found.add(int(fields[4]))
    return sorted(found - {0})
