"""Tells whether anybody has committed, from SQLite's own shared memory.

Every process that has a database in WAL mode open maps its wal-index (``strongroom.db-shm``). The index begins with two
copies of a header that changes with each commit: after the commit is durable, and before whoever commits goes on
(sqlite.org/walformat.html, "The WAL-Index File Format"; ``walIndexWriteHdr`` in SQLite's wal.c). So comparing these
bytes with what they were finds the commits of all processes, servers, commands and strangers alike, at a hundredth of
what asking SQLite costs. Bytes read while they are being written differ from those before or from those after, and a
checkpoint changes some without need; either costs one look into the change log.

Nothing hangs on a file that SQLite would not hang on as well. A format that is not known here is not read: then SQLite
is asked, which is slower and as right.
"""

import logging
import mmap
import os
import sqlite3
import threading
from pathlib import Path

logger = logging.getLogger(__name__)

_HEADERS = 96
_FORMAT = (3007000).to_bytes(4, "little"), (3007000).to_bytes(4, "big")
"""How the header begins, in the byte order of the machine."""


class WalIndex:
    """The state of the database at ``path``, which is in WAL mode, as bytes that differ after every commit.

    Close it after every other connection that this process has to the database: closing a file takes along the locks
    that the process holds on it (fcntl(2)), SQLite's too.
    """

    def __init__(self, path: Path) -> None:
        self._files = [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]
        # While this connection is open nobody is the last to close, and the index stays the one that is mapped here.
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._asking = threading.Lock()
        self._ask()
        self._descriptor = os.open(self._files[-1], os.O_RDONLY | os.O_CLOEXEC)
        self._map = mmap.mmap(self._descriptor, _HEADERS, access=mmap.ACCESS_READ)
        self._opened = self._identities()
        self._known = self._map[:4] in _FORMAT
        if not self._known:
            logger.warning("SQLite's wal-index has a format that is not known here; commits are found by asking SQLite")

    def read(self) -> bytes:
        """Return the state: other bytes than before if anybody has committed."""
        return self._map[:] if self._known else self._ask()

    def in_place(self) -> bool:
        """Tell whether whoever opens the database opens the files that this process has open."""
        return self._identities() == self._opened

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
        self._map.close()
        os.close(self._descriptor)

    def _ask(self) -> bytes:
        with self._asking:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version).to_bytes(8)

    def _identities(self) -> list[tuple[int, int] | None]:
        return [_identity(path) for path in self._files]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
