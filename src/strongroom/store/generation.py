"""A counter that every process of one machine shares: it tells whether anybody has committed.

A file that all of them map into memory, with one slot for each process that writes. Whoever has committed raises its
own slot before it answers; whoever reads compares the whole file with what it saw last. That costs a hundredth of
asking SQLite, and cannot be torn: slots are only compared for being the same, and never written by two.

A process that dies between its commit and its raise has not answered either. ``SqlStore.notice`` finds such commits.
"""

import mmap
import os
from pathlib import Path

SLOTS = 64
COMMANDS = SLOTS - 1
"""The slot of commands beside the server, which take turns."""
_WIDTH = 8


class Generation:
    """The counter in ``path``, made if missing, as the writer of one slot; that by one thread at a time."""

    def __init__(self, path: Path, slot: int) -> None:
        if not 0 <= slot < SLOTS:
            raise ValueError(f"there are {SLOTS} slots, not one {slot}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, SLOTS * _WIDTH)
            self._map = mmap.mmap(descriptor, SLOTS * _WIDTH)
        finally:
            os.close(descriptor)
        self._own = slice(slot * _WIDTH, (slot + 1) * _WIDTH)

    def read(self) -> bytes:
        """Return the state of all slots: other bytes than before if anybody has raised theirs."""
        return self._map[:]

    def raise_slot(self) -> None:
        """Tell everybody that something was committed."""
        self._map[self._own] = (int.from_bytes(self._map[self._own]) + 1).to_bytes(_WIDTH)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
