"""Measurements of a server's processes by Linux: children, memory, CPU time, open files and sockets."""

import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local_server import RunningServer

PATIENCE = 120
"""Seconds to wait for a condition, on a busy machine."""


def children_of(pid: int) -> list[int]:
    """Return the process ids of the children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def tree_of(pid: int) -> list[int]:
    """Return the process ids of a process and all its descendants, parents first; none if it has ended."""
    found = [pid] if is_alive(pid) else []
    # Every thread has its own list of children.
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in path.read_text().split():
                found += tree_of(int(child))
    return found


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_stopped(pid: int) -> bool:
    """Return whether a process has taken a SIGSTOP, which may be some time after it was sent: see proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds; raises AssertionError after two minutes."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def resident_memory(server: RunningServer) -> int:
    """Return the resident memory of a single-process server, in bytes."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def open_files(server: RunningServer) -> int:
    """Count the file descriptors of a single-process server. Skips the test if only root may list them."""
    folder = Path(f"/proc/{server.process.pid}/fd")
    if not os.access(folder, os.R_OK):
        # The server is not dumpable, so the kernel shows its descriptors to root alone. No package changes that.
        pytest.skip("the server hides its open files from all but root; as root, this test runs")
    return len([*folder.iterdir()])


def open_sockets(server: RunningServer) -> int:
    """Count a server's listening socket, while it is open, and its accepted connections that it has not closed.

    Connections that are not accepted yet, or closed, have no inode (proc_pid_net(5), ``tcp``).
    """
    address = f":{urlsplit(server.endpoint).port:04X}"
    _, *rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    return sum(row[1].endswith(address) and row[9] != "0" for row in rows)


def cpu_seconds(server: RunningServer) -> float:
    """Return the CPU time that a single-process server has used, in seconds."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / 100
