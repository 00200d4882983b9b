"""A segment of the audit log that is being written. A write adds all of its lines to the file, or none."""

import os
from pathlib import Path

from strongroom.clock import DAY

_PART = 1 << 20


class SegmentFile:
    """A new file, mode 0600, open for writing. Sizes are in bytes."""

    def __init__(self, path: Path, now: float, *, fsync: bool) -> None:
        """Create the file; raises OSError. With ``fsync``, lines are on disk when ``add`` returns."""
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.path = path
        self.name = path.name
        self.size = 0
        self._day = int(now // DAY)
        self._fsync = fsync
        self._has_partial_line = False
        """Whether bytes of a write that failed may still follow the last line."""

    def add(self, data: bytes) -> None:
        """Append whole lines to the file; raises OSError, and the file then ends where it did before."""
        if self._has_partial_line:
            os.ftruncate(self.descriptor, self.size)
            self._has_partial_line = False
        try:
            self._write_all(data)
        except BaseException:
            self._truncate()
            raise
        self.size += len(data)

    def is_full(self, size: int, now: float) -> bool:
        """Tell whether the next line needs a new segment: this one has reached its size, or is of another day (UTC)."""
        return self.size >= size or int(now // DAY) != self._day

    def is_removed(self) -> bool:
        """Tell whether the file was deleted: what is written to it now is lost when it is closed."""
        return os.fstat(self.descriptor).st_nlink == 0

    def discard(self) -> None:
        """Close the file and remove it."""
        os.close(self.descriptor)
        self.path.unlink()

    def _write_all(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self.descriptor, data[done:] if done else data, self.size + done)
        if self._fsync:
            os.fdatasync(self.descriptor)

    def _truncate(self) -> None:
        """Cut off what a failed write left. If that fails too, the next ``add`` tries it again."""
        try:
            os.ftruncate(self.descriptor, self.size)
        except OSError:
            self._has_partial_line = True


class UnsyncedFiles:
    """Files to sync: complete segments, and a duplicate descriptor of the current one.

    After a sync that failed, the kernel takes what it could not write for written: another sync succeeds, and the data
    can be lost all the same (fsync(2), "EIO"; lwn.net/Articles/752063). So then everything is written ``again`` before.
    """

    def __init__(self, complete: list[int], current: SegmentFile | None, *, again: bool = False) -> None:
        self.complete = complete
        self._current = [] if current is None else [os.dup(current.descriptor)]
        # Behind it, another thread may be writing.
        self._size = 0 if current is None else current.size
        self._again = again

    def sync(self) -> None:
        """Sync the content of all files; raises OSError."""
        if self._again:
            for descriptor in self.complete:
                _write_again(descriptor, os.fstat(descriptor).st_size)
            for descriptor in self._current:
                _write_again(descriptor, self._size)
        for descriptor in self.complete + self._current:
            os.fdatasync(descriptor)

    def release_current(self) -> None:
        """Close the duplicate descriptor."""
        for descriptor in self._current:
            os.close(descriptor)

    def release_complete(self) -> None:
        """Close the complete segments, after they were synced."""
        for descriptor in self.complete:
            os.close(descriptor)


def _write_again(descriptor: int, size: int) -> None:
    """Write the first ``size`` bytes of a file to where they are."""
    done = 0
    while done < size:
        part = os.pread(descriptor, min(_PART, size - done), done)
        if not part:
            return
        done += os.pwrite(descriptor, part, done)
