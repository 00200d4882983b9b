"""The audit key, and the writers of the audit log with the newest checkpoint of each, in SQL."""

import msgspec
from sqlalchemy import Connection, delete, insert, select

from strongroom.audit.chain import Checkpoint, KnownWriter
from strongroom.audit.sink import AuditMark
from strongroom.store.sql.schema import audit_checkpoint, audit_key, audit_mark

_VERSION = 1
_NONE_YET = Checkpoint(msgspec.Raw(b""), b"")


class AuditReads:
    """Reads of what vouches for the audit log. See ``protocol.Reader``."""

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
        """Return up to where each writer has written down what its part of the audit log tells of uses."""
        return [AuditMark(*row) for row in self._connection.execute(select(audit_mark).order_by(audit_mark.c.writer))]


class AuditWrites(AuditReads):
    """Writes of what vouches for the audit log. See ``protocol.Transaction``."""

    def add_audit_key(self, wrapped_secret: bytes) -> None:
        """Insert the audit key."""
        self._connection.execute(insert(audit_key).values(version=_VERSION, wrapped_secret=wrapped_secret))

    def put_audit_mark(self, mark: AuditMark) -> None:
        """Put a writer's mark in the place of its last one."""
        self._connection.execute(delete(audit_mark).where(audit_mark.c.writer == mark.writer))
        self._connection.execute(insert(audit_mark).values(msgspec.structs.asdict(mark)))

    def put_audit_writer(self, writer: str, known: KnownWriter) -> None:
        """Keep what is known of a writer in the place of what was known."""
        checkpoint = known.checkpoint or _NONE_YET
        self._connection.execute(delete(audit_checkpoint).where(audit_checkpoint.c.writer == writer))
        self._connection.execute(
            insert(audit_checkpoint).values(
                writer=writer,
                statement=bytes(checkpoint.statement),
                signature=checkpoint.signature,
                stopped=known.stopped,
            )
        )


def _checkpoint(statement: bytes, signature: bytes) -> Checkpoint | None:
    return Checkpoint(msgspec.Raw(statement), signature) if statement or signature else None
