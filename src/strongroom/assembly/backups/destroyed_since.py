"""Finds in audit logs what was destroyed after a backup was made. The logs are verified while they are read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from typing_extensions import override

from strongroom.assembly.audit_folders import require_log
from strongroom.assembly.audit_log import size_of_log
from strongroom.assembly.backups.streams import Progress
from strongroom.assembly.data_folder import DataFolderError
from strongroom.audit.archive import Statements
from strongroom.audit.chain import (
    CHECKPOINT,
    DATABASE,
    HEADER,
    Checkpoint,
    KnownWriter,
    Position,
    claim_of,
    note_in,
    parse_name,
)
from strongroom.audit.cloudtrail import event_time
from strongroom.audit.database_history import DatabasePosition
from strongroom.audit.report import Report
from strongroom.audit.verification import Verifier
from strongroom.audit.writer_id import parse_writer
from strongroom.backup.destructions import Destructions, earliest, may_count
from strongroom.backup.manifest import DatabaseEnd, Manifest, WriterCheckpoint
from strongroom.crypto.audit_key import AuditPublicKey
from strongroom.store.audit.segment_reader import read_statements, walk
from strongroom.store.audit.segments import copies_of_segments, fullest_first

_CHAIN = b',"chain":'


def destroyed_since(
    folders: Sequence[Path], manifest: Manifest, key: AuditPublicKey, progress: Progress
) -> Destructions:
    """Return what the logs in some folders record as destroyed; call ``progress`` with bytes.

    A folder is an audit folder, the data folder around it, or an archive of it. Raises DataFolderError if a log was
    changed, or if the logs do not go on from where they were when the backup was made.
    """
    logs = [require_log(folder, "--audit") for folder in folders]
    total = size_of_log(logs)
    positions = {each.writer: _position(each, key) for each in manifest.checkpoints}
    sequences = {writer: position.sequence for writer, position in positions.items() if position is not None}
    found = Destructions(sequences, manifest.ends, event_time(earliest(manifest.at)))
    segments = fullest_first(copies_of_segments(logs))
    reading = _Reading(key, found, manifest, read_statements([copies[0] for copies in segments], key.verifies))
    walk(segments, reading, lambda size: progress(size, total))
    report = reading.finish({})
    if report.findings:
        first = report.findings[0]
        raise DataFolderError(
            f"the audit log is not what was written, or not all of it is in --audit: {first.file}, line {first.line}: "
            f"{first.text}; examine it with: strongroom audit verify --public-key"
        )
    if report.pruned:
        raise DataFolderError("segments between those in --audit were pruned, so it is not known what they recorded")
    for each in manifest.checkpoints:
        if positions[each.writer] is not None:
            _require_chain(each, reading, manifest)
    return found


class _Reading(Verifier):
    """Verifies a log, and hands its lines on."""

    def __init__(self, key: AuditPublicKey, found: Destructions, manifest: Manifest, stated: Statements) -> None:
        super().__init__(key.verifies, None, from_oldest=True, stated=stated, archives_given=True)
        self._destructions = found
        self._retired = stated.lost
        self._wanted = {msgspec.json.encode(_checkpoint(each)): each.writer for each in manifest.checkpoints}
        self.writers: set[str] = set()
        """The writers with a chain."""
        self.confirmed: set[str] = set()
        """The writers whose chain has the checkpoint that the backup has."""
        self._chain = ""
        self._waiting: list[bytes] = []
        """The lines since the last note about the database. The next one says by when they were committed."""
        self._place: DatabaseEnd | None = None

    @override
    def begin(self, file: str) -> None:
        name = parse_name(file)
        chain = "" if name is None else name.writer
        if chain != self._chain:
            self._hand_on()
            self._chain, self._place = chain, None
        super().begin(file)

    @override
    def finish(
        self,
        writers: Mapping[str, KnownWriter],
        database: DatabasePosition | None = None,
        earlier: Mapping[int, str] | None = None,
    ) -> Report:
        self._hand_on()
        return super().finish(writers, database, earlier)

    def retired_at(self, writer: str) -> str:
        """Return when the node of a writer was retired, as in records; empty if the log does not state that."""
        lost = self._retired.get(writer)
        return "" if lost is None else lost.time

    def _hand_on(self) -> None:
        """Hand on the lines that wait, with where the database is known to have been."""
        for line in self._waiting:
            self._destructions.note(line, self._place)
        self._waiting.clear()

    @override
    def lines(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            if line.startswith((DATABASE, HEADER)) and (note := note_in(line)) is not None:
                at = note.position
                self._place = DatabaseEnd(at.history, at.history_id, at.change)
                self._hand_on()
            elif may_count(line):
                self._waiting.append(line)
            if line.startswith(CHECKPOINT):
                writer = self._wanted.get(line[: line.rfind(_CHAIN)] + b"}")
                self.confirmed |= set() if writer is None else {writer}
        if lines and (claim := claim_of(lines[-1])) is not None:
            self.writers.add(claim.writer)
        super().lines(lines)


def _checkpoint(kept: WriterCheckpoint) -> Checkpoint:
    return Checkpoint(msgspec.Raw(kept.statement.encode()), kept.signature)


def _position(kept: WriterCheckpoint, key: AuditPublicKey) -> Position | None:
    """Return where a writer's chain was, None before its first checkpoint; raises DataFolderError."""
    if not kept.statement:
        return None
    stated = _checkpoint(kept).read_signed(kept.writer, key.verifies)
    if stated is None:
        raise DataFolderError(f"the checkpoint of audit writer {kept.writer} in the backup has no valid signature")
    return Position(kept.writer, stated.sequence, stated.digest.encode())


def _require_chain(kept: WriterCheckpoint, reading: _Reading, manifest: Manifest) -> None:
    """Make sure that a chain is here and has the checkpoint that the backup has; raises DataFolderError.

    A chain whose writer had stopped may be missing, if another one of its node is here: they were in one folder. So may
    one of a node that had been retired before, as the log states: it has destroyed nothing since.
    """
    if kept.writer in reading.confirmed:
        return
    retired_at = reading.retired_at(kept.writer)
    if retired_at and retired_at < event_time(earliest(manifest.at)):
        return
    if kept.writer in reading.writers:
        raise DataFolderError(
            f"the audit log does not have the checkpoint of writer {kept.writer} in the backup: part of the log "
            "is missing; if it was archived, name the archive in --audit too"
        )
    parsed = parse_writer(kept.writer)
    nodes = {other.node for writer in reading.writers if (other := parse_writer(writer)) is not None}
    if kept.stopped and parsed is not None and parsed.node in nodes:
        return
    raise DataFolderError(
        f"the folders in --audit have no records of audit writer {kept.writer}, which wrote when the backup "
        f"was made (deployment {manifest.deployment}); name its folder too, or give --without-audit-log instead"
    )
