"""The audit log: chained lines in segments, written before the answers they describe leave.

Callers add lines while they work and flush once for all of them (group commit). A line is out when ``flush`` has
returned: with durability ``write`` it is in the kernel and survives the process; with ``fsync`` it is on disk and
survives the machine. ``audit.chain`` has the format.

A flush that fails leaves file and chain as they were, and keeps its lines for the next one: what they tell of may have
happened, only its answer did not leave. Meanwhile the log is not ``writable``.
"""

import contextlib
import errno
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from strongroom.audit.chain import (
    Checkpoint,
    Header,
    KnownWriter,
    header_body,
    link,
    segment_name,
    signed_bytes,
    statement_of,
)
from strongroom.clock import DAY, Clock
from strongroom.errors import KmsError, KMSInternalException
from strongroom.store.audit.segments import mark_at_end
from strongroom.store.audit.takeover import Takeover, take_over
from strongroom.store.counters import AuditLogCounters
from strongroom.store.records import AuditMark

Durability = Literal["write", "fsync"]

_MOST_KEPT = 10_000
"""How many lines wait while the log cannot be written; of refusals that come after them, only the number is kept."""

logger = logging.getLogger(__name__)


class Notary(Protocol):
    """Vouches for the log: signs checkpoints, and keeps each writer's newest one outside of it."""

    def sign(self, message: bytes) -> bytes:
        """Return the audit key's signature."""
        ...

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Tell whether the audit key has signed a message."""
        ...

    def keep(self, writer: str, known: KnownWriter) -> None:
        """Keep what is known of a writer."""
        ...

    def known(self, writer: str) -> KnownWriter | None:
        """Return what was kept last."""
        ...


class AuditLog:
    """Appends to the newest segment of one writer's chain in ``folder``. Safe to use from several threads."""

    def __init__(
        self, folder: Path, writer: str, durability: Durability, segment_size: int, notary: Notary, clock: Clock
    ) -> None:
        """Go on where the writer's chain ends; the first flush begins a new segment."""
        self._folder = folder
        self._fsync = durability == "fsync"
        self._segment_size = segment_size
        self._notary = notary
        self._clock = clock
        self.counters = AuditLogCounters()
        self._pending: list[bytes] = []
        self._lost = 0
        self._failing = False
        self._closed = False
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._vouching = threading.Lock()
        self._file: int | None = None
        self._name = ""
        self._size = 0
        self._ragged = False
        self._day = 0
        # Segments that are complete, and perhaps not on disk yet.
        self._complete: list[int] = []
        self._complete_size = 0
        folder.mkdir(mode=0o700, exist_ok=True)
        known = notary.known(writer)
        self._found = take_over(folder, writer, known, notary.verifies)
        self._position = self._vouched = self._found.position
        self._began_at = self._position.sequence
        self._kept = None if known is None else known.checkpoint
        self._register(known)

    def append(self, line: bytes) -> None:
        """Add one line, a JSON object without its newline, to the next flush. It is kept until it is written."""
        self._pending.append(line)

    def append_refusal(self, line: bytes) -> None:
        """Add the line of a call that was refused: while the log cannot be written, only so many are kept.

        What was done is kept in any number, because nothing is begun while the log is not ``writable``.
        """
        if self._failing and len(self._pending) >= _MOST_KEPT:
            with self._counting:
                self._lost += 1
                self.counters.lost += 1
        else:
            self._pending.append(line)

    def flush(self) -> None:
        """Write every line added so far.

        Raises KMSInternalException when they cannot all be written; the log then ends where it did before.
        """
        with self._lock:
            while self._pending:
                # After a failure, one line shows whether it is over.
                count = 1 if self._failing else len(self._pending)
                try:
                    self._write(self._pending[:count])
                except OSError as error:
                    self._failing = True
                    self.counters.failures += 1
                    raise KMSInternalException("The audit record of this request could not be written.") from error
                # Other threads may have added to the list, never taken from it.
                del self._pending[:count]
                self._failing = False

    def writable(self) -> bool:
        """Tell whether the log can be written. After a flush that failed, this tries again."""
        if self._failing:
            with contextlib.suppress(KMSInternalException):
                self.flush()
        return not self._failing

    @property
    def written_lines(self) -> int:
        """How many lines were written since the start: records, headers, checkpoints."""
        return self._position.sequence - self._began_at

    @property
    def written_bytes(self) -> int:
        """How many bytes those lines take."""
        return self._complete_size + self._size

    @property
    def waiting(self) -> int:
        """How many lines wait to be written."""
        return len(self._pending)

    @property
    def failing(self) -> bool:
        """Whether the last flush failed."""
        return self._failing

    def mark(self) -> AuditMark:
        """Return how far the log has come."""
        with self._lock:
            if self._file is not None:
                return AuditMark(self._position.writer, self._name, self._size)
            return mark_at_end(self._folder, self._position.writer)

    def checkpoint(self) -> None:
        """Sign where the chain stands, if it went on since the last time; put all of it on disk; keep the signature.

        What a crash has left is taken over first. Raises KmsError or OSError when it cannot be written, or not be kept.
        """
        self.flush()
        self._vouch(last=False)

    def close(self) -> None:
        """Write what is left, with a checkpoint, and close the file. Nothing is written after that."""
        try:
            self.flush()
            self._vouch(last=True)
        except (KmsError, OSError):
            logger.exception("the end of the audit log could not be written: %d records", len(self._pending))
        finally:
            with self._lock:
                self._end()
                files, self._complete = self._complete, []
            for file in files:
                os.close(file)

    def _register(self, known: KnownWriter | None) -> None:
        """Have it known that this writer is at work, before its first line; raises KmsError when it cannot be."""
        writer = self._position.writer
        if self._found.doubt:
            try:
                # At once: once the writer is kept as one at work, what was added looks like what a crash leaves.
                self._begin_segment(self._clock.now())
                self._sync()
            except OSError:
                logger.exception("what was found of audit writer %s could not be written yet", writer)
                return
        if known is None or known.stopped:
            self._notary.keep(writer, KnownWriter(self._kept))

    def _vouch(self, *, last: bool) -> None:
        """Sign, bring to disk and keep how far the log has come; the ``last`` time, end it and keep that, too."""
        with self._vouching:
            with self._lock:
                now = self._clock.now()
                if self._is_astray():
                    self._begin_segment(now)
                fresh = self._position != self._vouched
                checkpoint = self._add_checkpoint(now) if fresh else self._kept
                position = self._position
                # A line that came in since the flush is of a call that is not answered any more.
                stopped = last and not self._pending
                if last:
                    self._end()
            if fresh:
                self._sync()
            if fresh or stopped:
                self._notary.keep(position.writer, KnownWriter(checkpoint, stopped))
            self._kept, self._vouched = checkpoint, position

    def _is_astray(self) -> bool:
        """Tell whether there is something to write, and no file to write it to: none yet, or one that was removed."""
        if self._file is None:
            return self._found.leftovers or self._position != self._vouched
        if os.fstat(self._file).st_nlink:
            return False
        logger.error("the file %s of the audit log was removed while it was written", self._name)
        return True

    def _end(self) -> None:
        """Let nothing more be written."""
        self._closed = True
        if self._file is not None:
            self._complete.append(self._file)
            self._file = None

    def _sync(self) -> None:
        """Put everything written so far on disk, segments that are complete and their names included."""
        with self._lock:
            newest = [] if self._file is None else [os.dup(self._file)]
            complete, self._complete = self._complete, []
        try:
            # Not under the lock: calls go on meanwhile.
            for file in complete + newest:
                os.fdatasync(file)
            if not self._fsync:
                self._sync_folder()
        except OSError:
            with self._lock:
                # A later checkpoint vouches for these too.
                self._complete[:0] = complete
            raise
        finally:
            for file in newest:
                os.close(file)
        for file in complete:
            os.close(file)

    def _write(self, bodies: Sequence[bytes]) -> None:
        now = self._clock.now()
        full = self._size >= self._segment_size or int(now // DAY) != self._day
        if self._file is None or full or self._lost:
            self._begin_segment(now)
        self._add(bodies)

    def _begin_segment(self, now: float) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "the audit log is closed")
        if self._file is not None:
            self._add_checkpoint(now)
            self._complete.append(self._file)
            self._complete_size += self._size
            self._file = None
        before, found, lost = self._position, self._found, self._lost
        path = self._folder / segment_name(now, before)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._name, self._size, self._ragged, self._day = path.name, 0, False, int(now // DAY)
        try:
            told = Header(path.name, before.digest.decode(), found.torn, lost, found.unvouched, found.doubt)
            self._add([header_body(told)])
            if self._fsync:
                self._sync_folder()
        except OSError:
            os.close(self._file)
            self._file, self._position = None, before
            path.unlink()
            raise
        self._found = Takeover(self._position)
        with self._counting:
            self._lost -= lost
        self.counters.segment_begun = now

    def _add_checkpoint(self, now: float) -> Checkpoint:
        statement = statement_of(self._position, now)
        checkpoint = Checkpoint(msgspec.Raw(statement), self._notary.sign(signed_bytes(statement)))
        self._add([msgspec.json.encode(checkpoint)])
        self.counters.last_checkpoint = now
        return checkpoint

    def _add(self, bodies: Sequence[bytes]) -> None:
        """Put lines at the end of the file, all or none, and move the chain on; raises OSError."""
        data, position = link(bodies, self._position)
        assert self._file is not None  # noqa: S101 - for the type checker
        if self._ragged:
            os.ftruncate(self._file, self._size)
            self._ragged = False
        try:
            self._put(self._file, data)
        except OSError:
            self._cut(self._file)
            raise
        self._size += len(data)
        self._position = position

    def _put(self, file: int, data: bytes) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(file, data[done:] if done else data, self._size + done)
        if self._fsync:
            os.fdatasync(file)

    def _cut(self, file: int) -> None:
        """Take back what was written of a flush that failed; where that fails too, the next one begins with it."""
        try:
            os.ftruncate(file, self._size)
        except OSError:
            self._ragged = True

    def _sync_folder(self) -> None:
        """Put the names of new segments on disk."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
