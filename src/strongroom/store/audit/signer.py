"""The interface of the audit log to the audit key and to the database, which each record what the other has."""

from typing import Protocol

from strongroom.audit.chain import KnownWriter
from strongroom.audit.database_history import DatabasePosition
from strongroom.errors import KMSInternalException


class ChainRefusedError(KMSInternalException):
    """The database does not let this process write its chain; the message says why, and what to do."""

    code = KMSInternalException.code


class NodeRetiredError(ChainRefusedError):
    """The node was retired. That may be a mistake, or forged, and be taken back."""

    code = ChainRefusedError.code


class CheckpointSigner(Protocol):
    """Signs checkpoints with the audit key, and records the newest one of each writer outside of the log."""

    def sign(self, message: bytes) -> bytes:
        """Return the audit key's signature of a message."""
        ...

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Tell whether the audit key has signed a message."""
        ...

    def record(self, writer: str, known: KnownWriter) -> None:
        """Record the state of a writer in place of the one that this process knows to be recorded.

        Raises ChainRefusedError if another process has recorded one, NodeRetiredError if the node was retired; and
        KmsError.
        """
        ...

    def recorded(self, writer: str) -> KnownWriter | None:
        """Return the recorded state of a writer, None for an unknown writer."""
        ...

    def database(self) -> DatabasePosition:
        """Return the newest position of the database that this process has committed or found.

        Cheap. The same object is returned as long as nothing was committed.
        """
        ...
