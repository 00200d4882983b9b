"""The audit log: chained lines in segments, written before the answers they describe leave.

Callers add lines while they work and flush once for all of them (group commit). A line is out when ``flush`` has
returned: with durability ``write`` it is in the kernel and survives the process; with ``fsync`` it is on disk and
survives the machine. ``audit.chain`` has the format.

A flush that fails leaves file and chain as they were, and keeps its lines for the next one: what they tell of may have
happened, only its answer did not leave. Meanwhile the log is not ``writable``.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from strongroom.audit.chain import (
    Checkpoint,
    Position,
    header_body,
    link,
    segment_name,
    signed_bytes,
    statement_of,
)
from strongroom.clock import DAY, Clock
from strongroom.errors import KmsError, KMSInternalException
from strongroom.store.audit_files import cut_to_last_line, holds, segments_of
from strongroom.store.protocol import AuditMark

Durability = Literal["write", "fsync"]

_MOST_KEPT = 10_000
"""How many lines wait while the log cannot be written; what comes after them is only counted."""

logger = logging.getLogger(__name__)


class Notary(Protocol):
    """Vouches for the log: signs checkpoints, and keeps each writer's newest one outside of it."""

    def sign(self, message: bytes) -> bytes:
        """Return the audit key's signature."""
        ...

    def keep(self, writer: str, checkpoint: Checkpoint) -> None:
        """Keep the newest checkpoint of a writer."""
        ...

    def kept(self, writer: str) -> Checkpoint | None:
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
        self._pending: list[bytes] = []
        self._lost = 0
        self._failing = False
        self._lock = threading.Lock()
        self._file: int | None = None
        self._name = ""
        self._size = 0
        self._ragged = False
        self._day = 0
        # Segments that are complete, and perhaps not on disk yet.
        self._complete: list[int] = []
        folder.mkdir(mode=0o700, exist_ok=True)
        end = cut_to_last_line(folder, writer)
        self._torn = end.torn
        self._position = self._vouched = _start(folder, notary.kept(writer), end.position)

    def append(self, line: bytes) -> None:
        """Add one line, a JSON object without its newline, to the next flush."""
        if self._failing and len(self._pending) >= _MOST_KEPT:
            self._lost += 1
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

    def mark(self) -> AuditMark:
        """Return how far the log has come."""
        with self._lock:
            if self._file is not None:
                return AuditMark(self._position.writer, self._name, self._size)
            chain = [each for each in segments_of(self._folder) if each.writer == self._position.writer]
            name, size = (chain[-1].path.name, chain[-1].path.stat().st_size) if chain else ("", 0)
            return AuditMark(self._position.writer, name, size)

    def checkpoint(self) -> None:
        """Sign where the chain stands, if it went on since the last time; put all of it on disk; keep the signature.

        Raises KmsError or OSError when it cannot be written, or not be kept.
        """
        self.flush()
        with self._lock:
            if self._file is None or self._position == self._vouched:
                return
            checkpoint = self._add_checkpoint(self._clock.now())
            position = self._position
            complete, self._complete = self._complete, []
            complete.append(os.dup(self._file))
        # Not under the lock: calls go on meanwhile.
        with contextlib.ExitStack() as done:
            for file in complete:
                done.callback(os.close, file)
            for file in complete:
                os.fdatasync(file)
        if not self._fsync:
            self._sync_folder()
        self._notary.keep(position.writer, checkpoint)
        self._vouched = position

    def close(self) -> None:
        """Write what is left, with a checkpoint, and close the file."""
        try:
            self.checkpoint()
        except (KmsError, OSError):
            logger.exception("the end of the audit log could not be written: %d records", len(self._pending))
        finally:
            for file in (*self._complete, self._file):
                if file is not None:
                    os.close(file)

    def _write(self, bodies: Sequence[bytes]) -> None:
        now = self._clock.now()
        full = self._size >= self._segment_size or int(now // DAY) != self._day
        if self._file is None or full or self._lost:
            self._begin_segment(now)
        self._add(bodies)

    def _begin_segment(self, now: float) -> None:
        if self._file is not None:
            self._add_checkpoint(now)
            self._complete.append(self._file)
            self._file = None
        before = self._position
        path = self._folder / segment_name(now, before)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._name, self._size, self._ragged, self._day = path.name, 0, False, int(now // DAY)
        try:
            self._add([header_body(path.name, before, self._torn, self._lost)])
            if self._fsync:
                self._sync_folder()
        except OSError:
            os.close(self._file)
            self._file, self._position = None, before
            path.unlink()
            raise
        self._torn = self._lost = 0

    def _add_checkpoint(self, now: float) -> Checkpoint:
        statement = statement_of(self._position, now)
        checkpoint = Checkpoint(msgspec.Raw(statement), self._notary.sign(signed_bytes(statement)))
        self._add([msgspec.json.encode(checkpoint)])
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


def _start(folder: Path, kept: Checkpoint | None, end: Position) -> Position:
    """Return where to go on: at the end of the log, but only if it holds the last checkpoint.

    Otherwise this goes on from the checkpoint, so that what is missing leaves a gap, and a forged history does not fit:
    the next checkpoint must not vouch for either.
    """
    if kept is None:
        return end
    stated = kept.read()
    position = Position(stated.writer, stated.sequence, stated.digest.encode())
    if holds(folder, position, msgspec.json.encode(kept)):
        return end
    logger.error("the audit log lacks its checkpoint at %d; run: strongroom audit verify", stated.sequence)
    return position
