"""Detects commits of any process in SQLite's shared memory.

Every process that has a database in WAL mode open maps its wal-index (``strongroom.db-shm``). The index begins with two
copies of a header. Each commit changes the header after it is durable and before it returns (sqlite.org/walformat.html,
"The WAL-Index File Format"; ``walIndexWriteHdr`` in SQLite's wal.c). So comparing these bytes with the last ones finds
the commits of all processes, at a hundredth of the cost of a query. Bytes that are read while they are written differ
from those before or from those after, and a checkpoint changes some bytes without a commit; either costs one
unnecessary read of the change log.

This depends on no file that SQLite does not depend on itself. If the header has an unknown format, a query for
``data_version`` is used instead, which is slower and gives the same answer.
"""

import logging
import mmap
import os
import sqlite3
import threading
from contextlib import ExitStack, closing
from pathlib import Path

from strongroom.errors import DependencyTimeoutException
from strongroom.store.faults import FaultKind, StoreFault
from strongroom.store.sqlite.faults import fault_of_sqlite

logger = logging.getLogger(__name__)

_HEADERS = 96
_FORMAT = (3007000).to_bytes(4, "little"), (3007000).to_bytes(4, "big")
"""The first field of the header, in the byte order of the machine."""


class WalIndex:
    """The version of the database at ``path``, which is in WAL mode, as bytes that differ after every commit.

    Close it after every other connection that this process has to the database: closing a file also releases the locks
    that the process holds on it (fcntl(2)), including SQLite's.
    """

    def __init__(self, path: Path) -> None:
        """Open the database once more; raises StoreUnavailable, StoreDamaged, OSError."""
        self._files = [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]
        # SQLite removes the index when the last connection closes. This connection keeps the mapped index in use.
        self._connection = _connected(path)
        self._querying = threading.Lock()
        self._descriptor = os.open(self._files[-1], os.O_RDONLY | os.O_CLOEXEC)
        self._map = mmap.mmap(self._descriptor, _HEADERS, access=mmap.ACCESS_READ)
        self._opened = self._identities()
        self._moved = StoreFault(FaultKind.MOVED, "", "", writing=False)
        self.is_invalid = False
        """Whether the database is not the one that was opened; see ``invalidate``."""
        self._is_known_format = self._map[:4] in _FORMAT
        if not self._is_known_format:
            logger.warning("the format of SQLite's wal-index is not known; commits are detected by a query instead")

    def version(self) -> bytes:
        """Return bytes that differ from those of the last call if any process has committed in between.

        Raises DependencyTimeoutException as ``require_in_place`` does.
        """
        if self.is_invalid:
            self.require_in_place()
        return self._map[:] if self._is_known_format else self._data_version()

    def invalidate(self) -> StoreFault:
        """Have ``version`` and ``require_in_place`` fail from now on: the database is not the one that was opened.

        Returns the fault that it is.
        """
        self.is_invalid = True
        return self._moved

    def require_in_place(self) -> None:
        """Raise StoreUnavailable once the database is not the one that was opened."""
        if self.is_invalid:
            raise self._moved.error(str(self._files[0]))

    def is_in_place(self) -> bool:
        """Tell whether the paths still lead to the files that this process has open, as far as it may look."""
        try:
            return self._identities() == self._opened
        except OSError:
            # The folder is closed to this user, or its disk fails. The open files are what they were.
            return True

    def close(self) -> None:
        """Close the connection and the map."""
        self._connection.close()
        self._map.close()
        os.close(self._descriptor)

    def _data_version(self) -> bytes:
        try:
            with self._querying:
                (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise DependencyTimeoutException("The key store cannot be read now.") from error
        return int(version).to_bytes(8)

    def _identities(self) -> list[tuple[int, int] | None]:
        return [_identity(path) for path in self._files]


def _connected(path: Path) -> sqlite3.Connection:
    """Open the database, and have SQLite map its index; raises StoreUnavailable, StoreDamaged.

    The disk may have become full, for example, since the database was opened: SQLite makes log and index anew.
    """
    try:
        with ExitStack() as undo:
            connection = undo.enter_context(
                closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
            )
            connection.execute("PRAGMA data_version").fetchone()
            undo.pop_all()
            return connection
    except sqlite3.Error as error:
        raise fault_of_sqlite(error, writing=False).error(str(path)) from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
