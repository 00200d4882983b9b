"""The events that one destination has not taken yet: files in a folder of its own, which the sending process fills.

They are links to the files of the spool. So each destination has its own pace, and an event is on disk once. Where the
file system has no links, they are copies.
"""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from strongroom.whole_files import link_new, sync_path

_DRAFT = ".new"
"""What a copy is called while it is written (``whole_files``)."""


def name_of(to: str) -> str:
    """Return the name of the files of a destination."""
    return sha256(to.encode()).hexdigest()[:16]


class Queue:
    """The queue of one destination, in a folder. Bounded: the oldest events are dropped first.

    One thread puts events into it, and another takes them.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._most = limit
        """At most how many events there are: the folder is read only when there may be too many."""

    def prepare(self) -> None:
        """Make the folder; raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, spooled: Path) -> int:
        """Add an event of the spool, unless it is there; return how many were dropped for it. Raises OSError.

        Its name is on disk when this returns, so that it can be removed from the spool.
        """
        with suppress(FileExistsError):
            link_new(spooled, self._folder / spooled.name)
        sync_path(self._folder)
        self._most += 1
        if self._most <= self._limit:
            return 0
        waiting = self.waiting()
        self._most = min(len(waiting), self._limit)
        surplus = waiting[: max(0, len(waiting) - self._limit)]
        for each in surplus:
            each.unlink(missing_ok=True)
        return len(surplus)

    def waiting(self) -> list[Path]:
        """Return the files of the events, the oldest first; raises OSError."""
        return sorted(each for each in self._folder.iterdir() if each.suffix != _DRAFT)
