"""The queue of lines that wait to be written to the audit log."""

from threading import Lock

_MOST_WAITING = 10_000
"""The most lines that wait while the log cannot be written. Lines of later refusals are dropped and counted."""


class PendingLines:
    """Lines in the order in which they came.

    Any thread may add a line. Lines are taken out by one thread at a time, the one that holds the log's lock.
    """

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self.append = self._lines.append
        """Adds a line that must not be lost. It is the list's own method, because every call uses it."""
        self.failing = False
        """Whether the last attempt to write failed. The queue is bounded only then."""
        self.dropped = 0
        """The number of lines dropped since the start."""
        self._unrecorded = 0
        self._counting = Lock()

    def __len__(self) -> int:
        return len(self._lines)

    def append_refusal(self, line: bytes) -> None:
        """Add the line of a refused call, or drop it if the queue is full.

        Lines of calls that were carried out are never dropped. No call starts while the log cannot be written, so they
        are few.
        """
        if self.failing and len(self._lines) >= _MOST_WAITING:
            with self._counting:
                self._unrecorded += 1
                self.dropped += 1
        else:
            self._lines.append(line)

    @property
    def unrecorded_drops(self) -> int:
        """The number of dropped lines that no header of a segment has recorded yet."""
        return self._unrecorded

    def drops_recorded(self, count: int) -> None:
        """Note that a header has recorded ``count`` dropped lines."""
        with self._counting:
            self._unrecorded -= count

    def next_batch(self) -> list[bytes]:
        """Return the lines to write next: all of them, or only the first to probe whether a failure is over."""
        return self._lines[:1] if self.failing else self._lines[:]

    def written(self, count: int) -> None:
        """Remove the first lines, which have been written. Other threads only ever add to the end."""
        del self._lines[:count]
        self.failing = False
