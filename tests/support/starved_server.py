"""Takes a running server's resources away for a while: file descriptors, or memory and with it threads."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_server import RunningServer

_SPARE_MEMORY = 1 << 20


@contextmanager
def without_descriptors(server: RunningServer) -> Iterator[None]:
    """Let a single-process server open no file and accept no connection while the block runs."""
    with _limited(server.process.pid, resource.RLIMIT_NOFILE, 0):
        yield


@contextmanager
def without_memory(server: RunningServer) -> Iterator[None]:
    """Let a single-process server map no more memory: a new thread, which needs a stack, cannot start."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[0])
    with _limited(server.process.pid, resource.RLIMIT_AS, pages * resource.getpagesize() + _SPARE_MEMORY):
        yield


@contextmanager
def _limited(pid: int, limit: int, value: int) -> Iterator[None]:
    soft, hard = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (value, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, limit, (soft, hard))
