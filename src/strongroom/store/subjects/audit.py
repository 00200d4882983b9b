"""The audit key, and the writers of the audit log."""

from collections.abc import Sequence
from typing import Protocol

from strongroom.audit.chain import KnownWriter
from strongroom.audit.sink import AuditMark
from strongroom.node_id import NodeId
from strongroom.store.records import AuditWriterRecord


class AuditReader(Protocol):
    """Reads of the audit key, checkpoints and marks."""

    def audit_key(self) -> bytes | None:
        """Return the secret of the audit key, wrapped."""
        ...

    def audit_marks(self) -> Sequence[AuditMark]:
        """Return for each writer the mark up to which the key uses in its audit log are in the store."""
        ...

    def audit_writers(self) -> dict[str, KnownWriter]:
        """Return the recorded state of each writer of the audit log, of all nodes."""
        ...

    def audit_writer(self, writer: str) -> KnownWriter | None:
        """Return the recorded state of one writer, None for an unknown one."""
        ...

    def audit_writer_records(self) -> list[AuditWriterRecord]:
        """Return each writer of the audit log with its node, by name."""
        ...


class AuditWriter(Protocol):
    """Writes of the audit key, checkpoints and marks."""

    def add_audit_key(self, wrapped_secret: bytes) -> None:
        """Insert the audit key."""
        ...

    def rewrap_audit_key(self, wrapped_secret: bytes) -> None:
        """Replace the wrapped secret of the audit key by the same one, wrapped anew."""
        ...

    def put_audit_mark(self, mark: AuditMark) -> None:
        """Insert or replace a writer's mark."""
        ...

    def put_audit_writer(self, writer: str, known: KnownWriter, now: float) -> None:
        """Insert or replace the state of a writer. A new writer was first seen ``now``."""
        ...

    def claim_audit_writers(self, node: NodeId) -> None:
        """Make a node the owner of every writer that has none."""
        ...

    def forget_audit_writers(self) -> None:
        """Remove every writer and every mark: their chains stay where they are, and belong to another database."""
        ...
