"""Locks of places where a backup is made or restored, so that of two commands the second says so in one line.

A lock is a hidden file, locked by the process that holds it; the kernel unlocks it when that process ends. Its holder
removes it at the end. One that a killed process has left is taken by the next.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from strongroom.assembly.data_folder import DataFolderError


@contextmanager
def path_lock(path: Path, taken: str) -> Iterator[None]:
    """Hold the lock file ``path``. Raises DataFolderError with the words ``taken`` if another process holds it."""
    try:
        descriptor = _locked(path)
    except BlockingIOError:
        raise DataFolderError(taken) from None
    except OSError as error:
        raise DataFolderError(f"`{path}` cannot be locked: {error.strerror or error}") from error
    try:
        yield
    finally:
        # While it is locked: after that it may be the file of the next.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _locked(path: Path) -> int:
    """Create or open a file and lock it; return its descriptor. Raises OSError, BlockingIOError if it is locked."""
    while True:
        # NFS locks exclusively only what is open for writing. A link that another user may have put there is not
        # followed, and a pipe is not waited for.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Its holder has removed it after it was opened here.
        os.close(descriptor)
