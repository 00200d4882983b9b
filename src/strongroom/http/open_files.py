"""The limit of open files (RLIMIT_NOFILE, setrlimit(2)), which bounds connections too."""

import errno
import logging
import math
import os
import resource

logger = logging.getLogger(__name__)

_LEAST = 96
"""What a server needs without a connection. With less, one part after another fails, each in its own way."""
_RESERVED = 256
"""File descriptors reserved for the database, the audit log, and connections that are refused."""


def require_open_files() -> None:
    """Raise the process's soft limit to its hard limit; raises OSError (EMFILE) if that is too low to serve."""
    if _raised_limit() < _LEAST:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def connections_within_limits(wanted: int) -> int:
    """Raise the process's soft limit to its hard limit; return the number of connections that it leaves room for."""
    hard = _raised_limit()
    if hard - _RESERVED >= wanted:
        return wanted
    room = max(int(hard) - _RESERVED, 1)
    logger.warning("max-connections is %d, but the limit of open files (ulimit -Hn) leaves room for %d", wanted, room)
    return room


def _raised_limit() -> float:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return math.inf if hard == resource.RLIM_INFINITY else hard
