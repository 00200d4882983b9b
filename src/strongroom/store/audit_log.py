"""The audit log: JSON lines appended to one file, written before the answers they describe leave.

Callers add lines while they work and flush once for all of them (group commit). A line is out when ``flush`` has
returned: with durability ``write`` it is in the kernel and survives the process; with ``fsync`` it is on disk and
survives the machine.
"""

import os
import threading
from pathlib import Path
from typing import Literal

from strongroom.errors import KMSInternalException

Durability = Literal["write", "fsync"]


class AuditLog:
    """Appends to ``path``. Safe to use from several threads."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._fsync = durability == "fsync"
        self._pending: list[bytes] = []
        self._lock = threading.Lock()
        self._start = b""
        self._end_torn_line()

    def append(self, line: bytes) -> None:
        """Add one line, without its newline, to the next flush."""
        self._pending.append(line)

    def flush(self) -> None:
        """Write every line added so far.

        Raises KMSInternalException when they cannot all be written; the file then ends where it did before.
        """
        with self._lock:
            lines, self._pending = self._pending, []
            if not lines:
                return
            end = os.fstat(self._file).st_size
            try:
                self._write(self._start + b"\n".join(lines) + b"\n")
            except OSError as error:
                self._cut(end)
                raise KMSInternalException("The audit record of this request could not be written.") from error
            self._start = b""

    def close(self) -> None:
        """Flush, and close the file."""
        try:
            self.flush()
        finally:
            os.close(self._file)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        if self._fsync:
            os.fdatasync(self._file)

    def _cut(self, end: int) -> None:
        """Take back what was written of a flush that failed; where that fails too, the next one starts a new line."""
        try:
            os.ftruncate(self._file, end)
        except OSError:
            self._start = b"\n"

    def _end_torn_line(self) -> None:
        """Close a line that a crash cut short, so that the next one stands alone."""
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")
