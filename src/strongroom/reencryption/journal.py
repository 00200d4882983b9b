"""The journal of a migration: what was done, and what was about to be done when it was interrupted.

It is an SQLite database of its own, so that it takes little memory however many items there are. It has digests of the
ciphertexts, and neither ciphertexts nor plaintexts. Before an item is replaced, the digests of both its contents are
committed. So after an interruption its present content tells whether it was replaced.
"""

import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from strongroom.reencryption.items import PlaceError

_VERSION = 1
_TABLES = {"migration", "item"}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS migration (version INTEGER NOT NULL, task TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS item (
    key BLOB PRIMARY KEY, old BLOB NOT NULL, new BLOB NOT NULL, done INTEGER NOT NULL
) WITHOUT ROWID;
"""


def files_of_journal(path: Path) -> Sequence[Path]:
    """Return the names that the files of a journal may have, links resolved: its own, and those that SQLite adds.

    Until the journal is closed, nothing else in the process may open them. To close a file drops all locks that the
    process has on it (POSIX, fcntl), and with them the one that keeps other migrations from the journal.
    """
    path = path.resolve()
    return [path.with_name(path.name + suffix) for suffix in ("", "-journal", "-wal", "-shm")]


class Journal:
    """An open journal. Use it as a context manager, in one process at a time."""

    def __init__(self, path: Path, task: str) -> None:
        """Open or make the journal of a ``task``, the text that says what is migrated from where to where.

        Raises PlaceError if it is no journal, is that of another task, or is in use.
        """
        self._path = path
        try:
            # SQLite would make it readable for all.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
            is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            os.close(descriptor)
            if not is_regular:
                # SQLite takes /dev/null for an empty database, and would remember nothing.
                raise PlaceError(f"the journal `{path}` is not a regular file; name a file")
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        except (sqlite3.Error, OSError) as error:
            raise PlaceError(f"the journal `{path}` cannot be opened: {error}") from None
        try:
            self._begin(task)
        except sqlite3.Error as error:
            self._connection.close()
            busy = "another migration uses it" if "locked" in str(error) else str(error)
            raise PlaceError(f"the journal `{path}` cannot be used: {busy}") from None
        except PlaceError:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def is_done(self, key: str, content: bytes) -> bool:
        """Tell whether an item with this content was migrated, also if that was interrupted before it was noted.

        An item that has another content by now is not done. This and what follows raise PlaceError if the journal
        cannot be read or written.
        """
        with self._readable():
            row = self._connection.execute("SELECT new FROM item WHERE key = ?", (_bytes(key),)).fetchone()
        return row is not None and bytes(row[0]) == _digest(content)

    def begin(self, key: str, old: bytes, new: bytes) -> None:
        """Note that an item is about to be replaced; durable when it returns."""
        with self._readable():
            self._connection.execute(
                "INSERT OR REPLACE INTO item (key, old, new, done) VALUES (?, ?, ?, 0)",
                (_bytes(key), _digest(old), _digest(new)),
            )

    def end(self, key: str) -> None:
        """Note that an item was replaced."""
        with self._readable():
            self._connection.execute("UPDATE item SET done = 1 WHERE key = ?", (_bytes(key),))

    def migrated(self) -> int:
        """Return how many items were replaced, in all runs."""
        with self._readable():
            (count,) = self._connection.execute("SELECT count(*) FROM item WHERE done = 1").fetchone()
        return int(count)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise PlaceError(f"the journal `{self._path}` cannot be used: {error}") from None

    def _begin(self, task: str) -> None:
        # The lock is held until the journal is closed, so that no two migrations have the same journal.
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._connection.execute("PRAGMA synchronous = FULL")
        with closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN EXCLUSIVE")
            there = {name for (name,) in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not there <= _TABLES:
                raise PlaceError(f"the journal `{self._path}` is a database of something else; name a new file")
            # This commits, and makes the tables in a transaction of its own, still under the lock.
            cursor.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} COMMIT;")
            row = cursor.execute("SELECT version, task FROM migration").fetchone()
            if row is None:
                cursor.execute("INSERT INTO migration VALUES (?, ?)", (_VERSION, task))
            elif row[0] != _VERSION:
                raise PlaceError(f"the journal `{self._path}` is of version {row[0]}, this release has {_VERSION}")
            elif row[1] != task:
                raise PlaceError(f"the journal `{self._path}` is that of another migration: {row[1]}")


def _bytes(key: str) -> bytes:
    """Return a key as it is kept: a name of a file need not be UTF-8."""
    return key.encode(errors="surrogateescape")


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
