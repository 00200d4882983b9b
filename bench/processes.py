"""CPU time and memory of a process tree, from /proc."""

import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> Iterator[int]:
    """Walk a process and its descendants.

    Every thread has its own list of children in /proc, so all are read: a server may fork its workers from any of them.
    """
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from tree(int(child))


def tree_seconds(pid: int) -> float:
    """Return user and system time of a process and its descendants, living and reaped."""
    return sum(_seconds(each) for each in tree(pid))


def tree_memory(pid: int) -> int:
    """Return the resident bytes of a process and its descendants; what they share counts once for each."""
    return sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in tree(pid)) * PAGE


def _seconds(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        # It has just ended; its parent has its time.
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS
