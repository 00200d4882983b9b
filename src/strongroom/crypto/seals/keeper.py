"""Keepers of a root key: each wraps it with something of its own, and can open what it has wrapped."""

from typing import Protocol


class RootKeyKeeper(Protocol):
    """Wraps and unwraps a root key of 32 bytes."""

    def wrap(self, root_key: bytes, binding: bytes) -> bytes:
        """Return a root key wrapped, bound to ``binding``; raises as ``unwrap``."""
        ...

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        """Return the root key.

        Raises UnsealError if the keeper refuses, or if it did not wrap this for ``binding``; SealUnavailableError if it
        does not answer now and may do so later.
        """
        ...
