"""The audit key, and the writers of the audit log with the newest checkpoint of each, in SQL."""

import msgspec
from sqlalchemy import Connection, insert, select

from strongroom.audit.chain import Checkpoint, KnownWriter
from strongroom.store.records import AuditMark
from strongroom.store.sql.schema import audit_checkpoint, audit_key, audit_mark
from strongroom.store.sql.statements import upsert

_VERSION = 1
_NONE_YET = Checkpoint(msgspec.Raw(b""), b"")

_PUT_MARK = upsert(audit_mark, "writer")
_PUT_WRITER = upsert(audit_checkpoint, "writer")


class AuditReads:
    """Reads of the audit key, checkpoints and marks. See ``subjects.audit``."""

    _connection: Connection

    def audit_key(self) -> bytes | None:
        """Return the wrapped secret of the audit key."""
        return self._connection.execute(
            select(audit_key.c.wrapped_secret).where(audit_key.c.version == _VERSION)
        ).scalar_one_or_none()

    def audit_writers(self) -> dict[str, KnownWriter]:
        """Return each writer of the audit log, with its newest checkpoint."""
        found = self._connection.execute(select(audit_checkpoint))
        return {row.writer: KnownWriter(_checkpoint(row.statement, row.signature), row.stopped) for row in found}

    def audit_marks(self) -> list[AuditMark]:
        """Return, for each writer, up to where the key uses in its part of the audit log are in the store."""
        return [AuditMark(*row) for row in self._connection.execute(select(audit_mark).order_by(audit_mark.c.writer))]


class AuditWrites(AuditReads):
    """Writes of the audit key, checkpoints and marks. See ``subjects.audit``."""

    def add_audit_key(self, wrapped_secret: bytes) -> None:
        """Insert the audit key."""
        self._connection.execute(insert(audit_key).values(version=_VERSION, wrapped_secret=wrapped_secret))

    def put_audit_mark(self, mark: AuditMark) -> None:
        """Insert or replace a writer's mark."""
        self._connection.execute(_PUT_MARK, msgspec.structs.asdict(mark))

    def put_audit_writer(self, writer: str, known: KnownWriter) -> None:
        """Insert or replace what is known of a writer."""
        checkpoint = known.checkpoint or _NONE_YET
        values = {
            "writer": writer,
            "statement": bytes(checkpoint.statement),
            "signature": checkpoint.signature,
            "stopped": known.stopped,
        }
        self._connection.execute(_PUT_WRITER, values)


def _checkpoint(statement: bytes, signature: bytes) -> Checkpoint | None:
    return Checkpoint(msgspec.Raw(statement), signature) if statement or signature else None
