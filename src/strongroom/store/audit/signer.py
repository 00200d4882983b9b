"""What the audit log needs from outside of its folder: signatures, and a record of each writer."""

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
        """Record what is known of a writer, in the place of what was recorded before; raises KmsError."""
        ...

    def recorded(self, writer: str) -> KnownWriter | None:
        """Return what was recorded last of a writer, None for a writer that is not known."""
        ...
