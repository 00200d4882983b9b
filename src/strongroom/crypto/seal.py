"""The root of trust: a seal protects the domain keys, which protect everything else."""

from typing import Protocol

import msgspec
from typing_extensions import override


class SealedDomainKey(msgspec.Struct, frozen=True):
    """A domain key as it is stored: sealed by the root key, numbered within its scope (a Region, or ``iam``).

    ``created_at`` is in epoch seconds; None for one that an older release has made.
    """

    scope: str
    version: int
    sealed: bytes
    created_at: float | None = None


class Seal(Protocol):
    """Seals the domain keys, and nothing else."""

    def seal(self, plaintext: bytes, binding: bytes) -> bytes:
        """Return ``plaintext`` sealed, bound to ``binding``."""
        ...

    def unseal(self, sealed: bytes, binding: bytes) -> bytes:
        """Return what was sealed; raises UnsealError if it was not sealed by this root key for ``binding``."""
        ...


class UnsealError(Exception):
    """A sealed or wrapped value cannot be opened: it is damaged, from another deployment, or bound to something else.

    This is always a fault of the service or its data, never of a caller.
    """


class DestroyedDomainKeyError(UnsealError):
    """The domain key that may have wrapped a value was destroyed, so nothing tells any more whether it did."""


class SealUnavailableError(Exception):
    """No seal opens now, and one may later: what keeps its key does not answer. The message says which and why."""


class Unsealed(msgspec.Struct, frozen=True):
    """What one process has found out and hands to another one, so that nothing is asked twice."""

    root_key: bytes
    generation: int
    passphrases: dict[str, str]
    pin: str | None = None
    """The PIN of a hardware token's user."""

    @override
    def __repr__(self) -> str:
        return f"Unsealed(generation {self.generation})"
