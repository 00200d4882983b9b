"""A file lock around initialize, find and log in: processes that log in to SoftHSM at once lose the token.

Seen with release 2.6.1: it rewrites the file of the token at each login, and others that read it then find nothing.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.01


@contextmanager
def start_lock(path: Path | None, patience: float) -> Iterator[None]:
    """Hold a lock; after ``patience`` seconds, or where no file can be made, go on without it."""
    try:
        descriptor = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        descriptor = None
    if descriptor is None:
        yield
        return
    try:
        _wait_for(descriptor, patience)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, patience: float) -> None:
    for _ in range(int(patience / _PAUSE)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return
