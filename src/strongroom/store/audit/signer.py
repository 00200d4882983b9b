"""The interface through which the audit log gets signatures, and records its writers in the database."""

from typing import Protocol

from strongroom.audit.chain import KnownWriter


class CheckpointSigner(Protocol):
    """Signs checkpoints with the audit key, and records the newest one of each writer outside of the log."""

    def sign(self, message: bytes) -> bytes:
        """Return the audit key's signature of a message."""
        ...

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Tell whether the audit key has signed a message."""
        ...

    def record(self, writer: str, known: KnownWriter) -> None:
        """Record the state of a writer in place of the recorded one; raises KmsError."""
        ...

    def recorded(self, writer: str) -> KnownWriter | None:
        """Return the recorded state of a writer, None for an unknown writer."""
        ...
