"""The audit log: chained lines in segments, each written before the answer to its call is sent.

Callers add lines while they work and flush once for all of them (group commit). A line is written when ``flush`` has
returned: with durability ``write`` it is in the kernel and survives the process; with ``fsync`` it is on disk and
survives the machine. ``audit.chain`` has the format.

A flush that fails keeps the lines that it has not written for the next one: what they record may have happened,
although its answer was not sent. No line is written in part. Meanwhile the log is not ``writable``.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from strongroom.audit.chain import KnownWriter
from strongroom.audit.sink import AuditMark, AuditMeasurements
from strongroom.clock import Clock
from strongroom.errors import KmsError, KMSInternalException
from strongroom.store.audit.chain_writer import ChainWriter
from strongroom.store.audit.pending_lines import PendingLines
from strongroom.store.audit.signer import ChainRefusedError, CheckpointSigner, NodeRetiredError
from strongroom.store.audit.takeover import take_over
from strongroom.whole_files import sync_path

Durability = Literal["write", "fsync"]

logger = logging.getLogger(__name__)


def _log_alarm(text: str) -> None:
    logger.error("%s", text)


class AuditLog:
    """Appends to the newest segment of one writer's chain in ``folder``. Safe to use from several threads.

    See ``audit.sink.AuditSink``. ``_pending`` is the queue and ``_chain`` writes to disk; this class decides when lines
    move from one to the other, and when the chain is signed.
    """

    def __init__(  # noqa: PLR0913 - what a chain is written with
        self,
        folder: Path,
        writer: str,
        durability: Durability,
        segment_size: int,
        signer: CheckpointSigner,
        clock: Clock,
        *,
        alarm: Callable[[str], None] = _log_alarm,
    ) -> None:
        """Continue the writer's chain where it ends; the first flush begins a new segment.

        ``alarm`` is told of records or checkpoints that are missing or forged.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        known = signer.recorded(writer)
        boot = clock.boot()
        found = take_over(folder, writer, known, signer.verifies, boot)
        self._folder = folder
        self._fsync = durability == "fsync"
        self._signer = signer
        self._clock = clock
        self._pending = PendingLines()
        self._chain = ChainWriter(
            folder, found, signer, self._pending, fsync=self._fsync, segment_size=segment_size, boot=boot
        )
        self._failures = 0
        self._is_retired = False
        """Whether nothing may be written until the retirement of this node is taken back."""
        self._signed = found.position
        self._checkpoint = None if known is None else known.checkpoint
        self._lock = threading.Lock()
        """Held while lines are written."""
        self._signing = threading.Lock()
        """Held while a checkpoint is made, brought to disk and recorded; taken before ``_lock``."""
        self._alarm = alarm
        self._register(known, unverified=bool(found.unverified))
        if found.alarm:
            alarm(found.alarm)

    def append(self, line: bytes) -> None:
        """Add one line, a JSON object without its newline, to the next flush. It is kept until it is written."""
        self._pending.append(line)

    def append_refusal(self, line: bytes) -> None:
        """Add the line of a refused call.

        While the log cannot be written, the queue of these is bounded; lines beyond it are dropped and counted.
        """
        self._pending.append_refusal(line)

    def flush(self) -> None:
        """Write every line added so far, and note what was committed to the database meanwhile.

        Raises KMSInternalException if they cannot all be written; those that were not are kept for the next flush.
        """
        pending = self._pending
        with self._lock:
            if self._is_retired:
                raise KMSInternalException("The audit record of this request could not be written.")
            while pending or self._chain.lacks_note:
                batch = pending.next_batch()
                try:
                    self._chain.write(batch, self._clock.now())
                except OSError as error:
                    pending.failing = True
                    self._failures += 1
                    raise KMSInternalException("The audit record of this request could not be written.") from error
                pending.written(len(batch))

    def writable(self) -> bool:
        """Tell whether the log can be written. After a flush that failed, this tries again."""
        if self._pending.failing:
            with contextlib.suppress(KMSInternalException):
                self.flush()
        return not self._pending.failing

    def measure(self) -> AuditMeasurements:
        """Return the present measurements of the log."""
        chain, pending = self._chain, self._pending
        return AuditMeasurements(
            lines=chain.written_lines,
            size=chain.written_bytes,
            waiting=len(pending),
            lost=pending.dropped,
            failures=self._failures,
            failing=pending.failing,
            segment_begun=chain.segment_begun,
            last_checkpoint=chain.last_checkpoint,
        )

    def last_line(self) -> int:
        """Return the number of the last line that is written."""
        return self._chain.position.sequence

    def last_line_place(self) -> tuple[str, int]:
        """Return the name of the segment that was written last, empty before the first, and the last line's number."""
        # In this order: a segment that begins meanwhile has a line with a later number.
        number = self._chain.position.sequence
        return self._chain.last_segment_name, number

    def mark(self) -> AuditMark:
        """Return the place where the log ends now."""
        with self._lock:
            return self._chain.mark()

    def checkpoint(self) -> None:
        """Sign the chain's position, if it has changed since the last time; sync the log; record the signature.

        The lines that a crash has left are taken over first. Raises KmsError or OSError when it cannot be written or
        recorded. If this node was retired, the chain goes on once that was taken back.
        """
        if self._is_retired:
            self._go_on_if_it_may()
        self.flush()
        self._sign(last=False)

    def close(self) -> None:
        """Write the lines that wait, and a checkpoint, and close the file. Nothing is written after that."""
        try:
            self.flush()
            self._sign(last=True)
        except (KmsError, OSError) as error:
            waiting = len(self._pending)
            # A record is lost, and its call was not answered; without a checkpoint, verification tells less.
            lost = f"{waiting} record{'s' * (waiting > 1)}" if waiting else "its signed checkpoint"
            logger.error(  # noqa: TRY400 - a traceback shows nothing more
                "the end of the audit log could not be written: %s (%s)", lost, error
            )
        finally:
            with self._lock:
                self._chain.end()
                self._chain.release()

    def _register(self, known: KnownWriter | None, *, unverified: bool) -> None:
        """Record that this writer runs, before its first line; raises KmsError when that fails."""
        writer = self._chain.position.writer
        if unverified:
            try:
                # Before the writer is recorded as running: after that, lines that an attacker has added look like lines
                # that a crash has left.
                self._chain.begin_segment(self._clock.now())
                self._sync()
            except OSError:
                logger.exception("the unverified lines of audit writer %s could not be recorded yet", writer)
                return
        if known is None or known.stopped:
            self._signer.record(writer, KnownWriter(self._checkpoint))

    def _sign(self, *, last: bool) -> None:
        """Sign the position of the log, sync it and record it; the ``last`` time, also end the chain."""
        with self._signing:
            with self._lock:
                now = self._clock.now()
                if self._chain.lacks_file(self._signed):
                    self._go_on_in_a_new_file(now)
                fresh = self._chain.position != self._signed
                checkpoint = self._chain.add_checkpoint(now) if fresh else self._checkpoint
                position = self._chain.position
                # A line that was added since the flush belongs to a call that will not be answered.
                stopped = last and not self._pending
                if last:
                    self._chain.end()
            if fresh:
                self._sync()
            if fresh or stopped:
                self._record(position.writer, KnownWriter(checkpoint, stopped))
            self._checkpoint, self._signed = checkpoint, position

    def _record(self, writer: str, known: KnownWriter) -> None:
        """Record the state of the writer; write nothing more if the database does not let it go on."""
        try:
            self._signer.record(writer, known)
        except NodeRetiredError as error:
            with self._lock:
                is_new, self._is_retired = not self._is_retired, True
                self._pending.failing = True
            if is_new:
                logger.error("calls are refused: %s", error)  # noqa: TRY400 - a traceback shows nothing more
            raise
        except ChainRefusedError as error:
            with self._lock:
                self._chain.end()
                self._pending.failing = True
            self._alarm(str(error))
            raise

    def _go_on_if_it_may(self) -> None:
        """Ask the database again whether this node is retired; raises NodeRetiredError if it is."""
        with self._signing:
            self._record(self._chain.position.writer, KnownWriter(self._checkpoint))
            with self._lock:
                self._is_retired = False
                self._pending.failing = False
        logger.warning("the retirement of this node was taken back: its audit chain goes on")

    def _go_on_in_a_new_file(self, now: float) -> None:
        removed = self._chain.segment_name
        if removed:
            logger.error("the file %s of the audit log was removed while it was written", removed)
        self._chain.begin_segment(now)

    def _sync(self) -> None:
        """Sync everything written so far, including complete segments and the names of files."""
        with self._lock:
            files = self._chain.take_unsynced()
        try:
            # Without the lock, so that calls need not wait for the disk.
            files.sync()
            if not self._fsync:
                sync_path(self._folder)
        except OSError:
            with self._lock:
                # A later checkpoint covers these too.
                self._chain.put_back(files)
            raise
        finally:
            files.release_current()
        with self._lock:
            self._chain.synced()
        files.release_complete()
