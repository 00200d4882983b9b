"""The interface of the audit log: records are appended and flushed, and measurements are read."""

from typing import Protocol

import msgspec


class AuditMark(msgspec.Struct, frozen=True):
    """A place in one writer's chain: the name of a segment, and an offset in it in bytes."""

    writer: str
    segment: str
    offset: int


class AuditMeasurements(msgspec.Struct, frozen=True):
    """Measurements of one process's audit log since its start. Times are epoch seconds, 0 for never."""

    lines: int
    """The number of lines that were written: records, headers, checkpoints."""
    size: int
    """The size of those lines in bytes."""
    waiting: int
    """The number of lines that wait to be written."""
    lost: int
    """The number of lines of refused calls that were dropped because the queue was full."""
    failures: int
    """The number of flushes that failed."""
    failing: bool
    """Whether the last flush failed."""
    segment_begun: float
    last_checkpoint: float


class AuditSink(Protocol):
    """Takes records, and writes them when it is flushed. Safe to use from several threads."""

    def append(self, line: bytes) -> None:
        """Add one line, a JSON object without its newline, to the next flush. It is kept until it is written."""
        ...

    def append_refusal(self, line: bytes) -> None:
        """Add the line of a refused call. It may be dropped, and counted, while no line can be written."""
        ...

    def flush(self) -> None:
        """Write every line added so far; raises KMSInternalException when they cannot all be written."""
        ...

    def writable(self) -> bool:
        """Tell whether lines can be written now. After a flush that failed, this tries again."""
        ...

    def mark(self) -> AuditMark:
        """Return the place where the log ends now."""
        ...

    def checkpoint(self) -> None:
        """Sign the position of the log and sync it to disk; raises KmsError or OSError when that fails."""
        ...

    def close(self) -> None:
        """Write the lines that wait, and a last checkpoint. Nothing can be written after that."""
        ...

    def measure(self) -> AuditMeasurements:
        """Return the present measurements of the log."""
        ...
