"""CPU time of a process tree, from /proc."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree_seconds(pid: int) -> float:
    """Return user and system time of a process and its descendants, living and reaped.

    Every thread has its own list of children in /proc, so all are read: a server may fork its workers from any of them.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(ticks) for ticks in fields[11:15]) / TICKS
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return own + sum(tree_seconds(int(child)) for each in lists for child in each.read_text().split())
