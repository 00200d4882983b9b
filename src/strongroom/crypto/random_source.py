"""Random bytes for callers: data keys and GenerateRandom."""

from typing import Protocol


class RandomSource(Protocol):
    """A source of random bytes that are handed to callers."""

    def random_bytes(self, length: int) -> bytes:
        """Return ``length`` random bytes."""
        ...
