"""The audit key, the writers of the audit log with the newest checkpoint of each, and their marks, in SQL."""

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update

from strongroom.audit.chain import Checkpoint, KnownWriter
from strongroom.audit.sink import AuditMark
from strongroom.audit.writer_id import parse_writer
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.node_id import NodeId, parse_node_id
from strongroom.store.records import AuditWriterRecord
from strongroom.store.sql.domain_keys import require_domain_key
from strongroom.store.sql.schema import audit_checkpoint, audit_key, audit_mark
from strongroom.store.sql.statements import of, upsert, where

_VERSION = 1
_NONE_YET = Checkpoint(msgspec.Raw(b""), b"")

_WRITER = select(audit_checkpoint).where(where(audit_checkpoint, "writer"))
_PUT_MARK = upsert(audit_mark, "writer")
_PUT_WRITER = upsert(audit_checkpoint, "writer", kept=("node", "first_seen"))


class AuditReads:
    """Reads of the audit key, writers and marks. See ``subjects.audit``."""

    _connection: Connection

    def audit_key(self) -> bytes | None:
        """Return the wrapped secret of the audit key."""
        return self._connection.execute(
            select(audit_key.c.wrapped_secret).where(audit_key.c.version == _VERSION)
        ).scalar_one_or_none()

    def audit_writers(self) -> dict[str, KnownWriter]:
        """Return the recorded state of each writer of the audit log, of all nodes."""
        return {record.writer: record.known for record in self.audit_writer_records()}

    def audit_writer(self, writer: str) -> KnownWriter | None:
        """Return the recorded state of one writer, None for an unknown one."""
        row = self._connection.execute(_WRITER, of(writer=writer)).one_or_none()
        return None if row is None else _record(row).known

    def audit_writer_records(self) -> list[AuditWriterRecord]:
        """Return each writer of the audit log with its node, by name."""
        return list(
            map(_record, self._connection.execute(select(audit_checkpoint).order_by(audit_checkpoint.c.writer)))
        )

    def audit_marks(self) -> list[AuditMark]:
        """Return for each writer the mark up to which the uses in its audit log are in the database."""
        return [AuditMark(*row) for row in self._connection.execute(select(audit_mark).order_by(audit_mark.c.writer))]


class AuditWrites(AuditReads):
    """Writes of the audit key, writers and marks. See ``subjects.audit``."""

    def add_audit_key(self, wrapped_secret: bytes) -> None:
        """Insert the audit key."""
        require_domain_key(self._connection, IAM_SCOPE, wrapped_secret)
        self._connection.execute(insert(audit_key).values(version=_VERSION, wrapped_secret=wrapped_secret))

    def rewrap_audit_key(self, wrapped_secret: bytes) -> None:
        """Replace the wrapped secret of the audit key by the same one, wrapped anew."""
        require_domain_key(self._connection, IAM_SCOPE, wrapped_secret)
        self._connection.execute(update(audit_key).values(wrapped_secret=wrapped_secret))

    def put_audit_mark(self, mark: AuditMark) -> None:
        """Insert or replace a writer's mark."""
        self._connection.execute(_PUT_MARK, msgspec.structs.asdict(mark))

    def put_audit_writer(self, writer: str, known: KnownWriter, now: float) -> None:
        """Insert or replace the state of a writer. A new writer was first seen ``now``."""
        checkpoint = known.checkpoint or _NONE_YET
        values = {
            "writer": writer,
            "node": _node_of(writer),
            "first_seen": now,
            "statement": bytes(checkpoint.statement),
            "signature": checkpoint.signature,
            "stopped": known.stopped,
        }
        self._connection.execute(_PUT_WRITER, values)

    def claim_audit_writers(self, node: NodeId) -> None:
        """Make a node the owner of every writer that has none."""
        self._connection.execute(update(audit_checkpoint).where(audit_checkpoint.c.node == "").values(node=node))

    def forget_audit_writers(self) -> None:
        """Remove every writer and every mark: their chains stay where they are, and belong to another database."""
        self._connection.execute(delete(audit_mark))
        self._connection.execute(delete(audit_checkpoint))


def _node_of(writer: str) -> str:
    """Return the node in a writer's name, empty if it has none."""
    parsed = parse_writer(writer)
    return "" if parsed is None or parsed.node is None else parsed.node


def _record(row: Row[tuple[object, ...]]) -> AuditWriterRecord:
    has_checkpoint = row.statement or row.signature
    checkpoint = Checkpoint(msgspec.Raw(row.statement), row.signature) if has_checkpoint else None
    return AuditWriterRecord(row.writer, parse_node_id(row.node), row.first_seen, KnownWriter(checkpoint, row.stopped))
