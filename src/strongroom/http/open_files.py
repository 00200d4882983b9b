"""The limit of open files (RLIMIT_NOFILE, setrlimit(2)), which bounds connections too."""

import logging
import resource

logger = logging.getLogger(__name__)

_RESERVED = 256
"""File descriptors reserved for the database, the audit log, and connections that are refused."""


def connections_within_limits(wanted: int) -> int:
    """Raise the process's soft limit to its hard limit; return the number of connections that it leaves room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard - _RESERVED >= wanted:
        return wanted
    room = max(hard - _RESERVED, 1)
    logger.warning("max-connections is %d, but the limit of open files (ulimit -Hn) leaves room for %d", wanted, room)
    return room
