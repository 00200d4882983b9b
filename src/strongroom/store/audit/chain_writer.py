"""Writes one writer's chain to disk: keeps its position and its current segment, and begins new segments."""

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from strongroom.audit.chain import (
    Checkpoint,
    Header,
    Position,
    database_body,
    database_note,
    header_body,
    link,
    segment_name,
    signed_bytes,
    statement_of,
)
from strongroom.audit.recorded_end import RecordedEnd
from strongroom.audit.sink import AuditMark
from strongroom.store.audit.end_file import EndFile
from strongroom.store.audit.pending_lines import PendingLines
from strongroom.store.audit.segment_file import SegmentFile, UnsyncedFiles
from strongroom.store.audit.segments import mark_at_end
from strongroom.store.audit.signer import CheckpointSigner
from strongroom.store.audit.takeover import Takeover
from strongroom.whole_files import sync_path

logger = logging.getLogger(__name__)


class ChainWriter:
    """Adds lines to one chain. One thread at a time may use it.

    A call that fails adds none of its lines. If the next segment cannot be created, the current one has ended already,
    with a checkpoint.
    """

    def __init__(  # noqa: PLR0913 - the parts of one chain
        self,
        folder: Path,
        found: Takeover,
        signer: CheckpointSigner,
        pending: PendingLines,
        *,
        fsync: bool,
        segment_size: int,
        boot: str,
    ) -> None:
        """Continue the chain at the position of a takeover; the first line begins a new segment.

        ``signer`` signs checkpoints, and knows the position of the database. ``pending`` counts the lines that were
        dropped, which the next header records. ``boot`` names this start of the machine.
        """
        self._folder = folder
        self._takeover = found
        self._signer = signer
        self._noted = signer.database()
        self._pending = pending
        self._fsync = fsync
        self._segment_size = segment_size
        self._boot = boot
        self._end: EndFile | None = None
        """None before the first segment, and while the file cannot be written."""
        self.position = found.position
        self._began_at = found.position.sequence
        self._segment: SegmentFile | None = None
        self.last_segment_name = ""
        """The name of the newest segment of this process, also once it is complete; empty before the first."""
        self._complete: list[int] = []
        """Descriptors of complete segments that may not be on disk yet."""
        self._sync_failed = False
        self.written_bytes = 0
        """The size in bytes of the lines that were written since the start."""
        self._closed = False
        self.segment_begun = 0.0
        self.last_checkpoint = 0.0

    @property
    def written_lines(self) -> int:
        """The number of lines written since the start."""
        return self.position.sequence - self._began_at

    @property
    def segment_name(self) -> str:
        """The name of the segment that is written, empty without one."""
        segment = self._segment
        return "" if segment is None else segment.name

    @property
    def lacks_note(self) -> bool:
        """Whether the database has been committed to since the log last noted its position."""
        return self._signer.database() is not self._noted

    def write(self, bodies: Sequence[bytes], now: float) -> None:
        """Add lines, and a note if the database has been committed to; raises OSError.

        A new segment begins if this one is full, or dropped lines are to be recorded.
        """
        segment = self._segment
        if segment is None or segment.is_full(self._segment_size, now) or self._pending.unrecorded_drops:
            segment = self.begin_segment(now)
        database = self._signer.database()
        if database is not self._noted:
            bodies = [*bodies, database_body(database_note(database, now))]
        if bodies:
            self._add(segment, bodies)
        self._noted = database

    def begin_segment(self, now: float) -> SegmentFile:
        """End the current segment with a checkpoint and begin the next one with its header; raises OSError."""
        if self._closed:
            raise OSError(errno.EBADF, "the audit log is closed")
        if self._segment is not None:
            self.add_checkpoint(now)
            self._retire_segment()
        before, found, dropped = self.position, self._takeover, self._pending.unrecorded_drops
        segment = SegmentFile(self._folder / segment_name(now, before), now, fsync=self._fsync)
        database = self._signer.database()
        header = Header(
            segment.name,
            before.digest.decode(),
            found.torn,
            dropped,
            found.uncovered,
            found.unverified,
            database_note(database, now),
            found.failure.missing,
            found.failure.of_machine,
            found.failure.damaged,
            found.failure.damaged_hash,
        )
        try:
            self._add(segment, [header_body(header)])
            if self._fsync:
                sync_path(self._folder)
        except BaseException:
            self.position = before
            self.written_bytes -= segment.size
            if self._end is not None:
                self._end.record(before.sequence)
            segment.discard()
            raise
        self._segment = segment
        self.last_segment_name = segment.name
        self._noted = database
        self._takeover = Takeover(self.position)
        self._pending.drops_recorded(dropped)
        self.segment_begun = now
        if self._end is None:
            # When all else is done: whatever fails in it, the header counts.
            self._end = self._note_end()
        return segment

    def add_checkpoint(self, now: float) -> Checkpoint:
        """Add a signed checkpoint of the chain's position to the current segment; raises OSError."""
        assert self._segment is not None  # noqa: S101 - for the type checker
        statement = statement_of(self.position, now)
        checkpoint = Checkpoint(msgspec.Raw(statement), self._signer.sign(signed_bytes(statement)))
        self._add(self._segment, [msgspec.json.encode(checkpoint)])
        self.last_checkpoint = now
        return checkpoint

    def lacks_file(self, signed: Position) -> bool:
        """Tell whether there is something to write and no file for it. ``signed`` is the last signed position.

        There is no file before the first line, and none after another process has removed it.
        """
        if self._segment is None:
            return self._takeover.anything_found or self.position != signed
        return self._segment.is_removed()

    def mark(self) -> AuditMark:
        """Return the place where the chain ends."""
        if self._segment is not None:
            return AuditMark(self.position.writer, self._segment.name, self._segment.size)
        return mark_at_end(self._folder, self.position.writer)

    def end(self) -> None:
        """Refuse every further line."""
        self._closed = True
        self._retire_segment()

    def take_unsynced(self) -> UnsyncedFiles:
        """Return the files whose content may not be on disk yet.

        They have to be ``synced``, or ``put_back`` if they cannot be. Raises OSError, and then takes none.
        """
        files = UnsyncedFiles(self._complete, self._segment, again=self._sync_failed)
        self._complete = []
        return files

    def put_back(self, files: UnsyncedFiles) -> None:
        """Keep files for a later attempt to sync them."""
        self._complete[:0] = files.complete
        self._sync_failed = True

    def synced(self) -> None:
        """Note that all files that were taken have been synced."""
        self._sync_failed = False

    def release(self) -> None:
        """Close the files of an ended chain that are still open."""
        files, self._complete = self._complete, []
        for descriptor in files:
            os.close(descriptor)

    def _retire_segment(self) -> None:
        """Leave the current segment's file to the next sync, which closes it."""
        if self._segment is not None:
            self._complete.append(self._segment.descriptor)
            self._segment = None

    def _add(self, segment: SegmentFile, bodies: Sequence[bytes]) -> None:
        data, position = link(bodies, self.position)
        segment.add(data)
        self.position = position
        if self._end is not None:
            self._end.record(position.sequence)
        self.written_bytes += len(data)

    def _note_end(self) -> EndFile | None:
        """Begin to note how far the chain has come, once its header has what the last process noted."""
        end = RecordedEnd(self.position.sequence, self._boot, self._fsync)
        try:
            return EndFile(self._folder, self.position.writer, end)
        except OSError as error:
            # Calls need not wait for that: the next segment tries again.
            logger.warning("the end of the audit log cannot be noted in `%s`: %s", self._folder, error)
            return None
