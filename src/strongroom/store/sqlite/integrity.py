"""Checks a whole database: its pages with SQLite's integrity_check, and its tables and indexes (``structure``).

``PRAGMA integrity_check`` reads every page, follows every tree, and compares each index with its table
(sqlite.org/pragma.html#pragma_integrity_check). Without that, a row that one index lost would be found by some calls
and not by others. The check is a read, so writers go on; the write-ahead log cannot be emptied meanwhile.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from strongroom.store.integrity import Integrity, UncheckedError
from strongroom.store.sqlite.engine import BUSY_TIMEOUT
from strongroom.store.sqlite.faults import fault_of_sqlite, is_damage
from strongroom.store.sqlite.read_only import connect_read_only
from strongroom.store.sqlite.structure import wrong_structure

AT_ONCE = 64 * 1024 * 1024
"""Databases up to this size in bytes, with their logs, are checked before a start goes on: it takes a moment."""

_MOST_FINDINGS = 3


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
