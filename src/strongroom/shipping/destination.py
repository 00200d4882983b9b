"""What a destination of the audit log does: it takes pieces of segments, in their order."""

from typing import Protocol

from strongroom.store.audit.segment_source import Piece


class DestinationError(Exception):
    """A destination has not taken a piece; the message says why, in words for the operator. It may later."""


class Destination(Protocol):
    """Takes the lines of every writer. One thread at a time uses it."""

    takes_whole_segments: bool
    """Whether a complete segment is read from its file rather than given piece by piece."""

    def prepare(self, *, shipped_before: bool) -> None:
        """Find out whether the destination can be used; raises DestinationError.

        It is called before the first piece, and again after each failure. ``shipped_before`` tells whether it has taken
        anything since it was named in the settings.
        """
        ...

    def take(self, piece: Piece) -> None:
        """Return when the piece is taken, as far as the destination can tell; raises DestinationError."""
        ...

    def size_of(self, segment: str) -> int | None:
        """Return how many bytes of a segment the destination has; None if it cannot tell."""
        ...

    def cut(self, segment: str, size: int) -> None:
        """Note that a crash of the machine has cut a segment off that was shipped before; raises DestinationError."""
        ...

    def close(self) -> None:
        """Release what is open. It may be used again."""
        ...
