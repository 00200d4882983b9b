"""Takes a writer's chain over at a start: finds where to continue, and the lines that no signed checkpoint covers."""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from strongroom.audit.chain import KnownWriter, Position, Unverified
from strongroom.audit.recorded_end import Failure, failure_before
from strongroom.store.audit.end_file import read_end
from strongroom.store.audit.segment_reader import is_archived
from strongroom.store.audit.segments import cut_to_last_line, damaged_end, holds, last_signed

logger = logging.getLogger(__name__)

_VERIFY = "run: strongroom audit verify"


class Takeover(msgspec.Struct, frozen=True):
    """Where a chain continues, and what the header of its next segment records (see ``audit.chain.Header``).

    ``alarm`` tells the operator of records or checkpoints that no kill or power cut explains; empty if all is well.
    """

    position: Position
    torn: int = 0
    uncovered: int = 0
    unverified: Unverified = Unverified.NO
    failure: Failure = Failure()
    alarm: str = ""

    @property
    def anything_found(self) -> bool:
        """Whether there is anything to record."""
        return bool(self.torn or self.uncovered or self.unverified or self.failure != Failure())


def take_over(
    folder: Path, writer: str, known: KnownWriter | None, verifies: Callable[[bytes, bytes], bool], boot: str
) -> Takeover:
    """Find the end of a writer's chain, cut an unfinished line off, and compare the end with what is recorded.

    A chain continues at the end of the log, but only if the log has the last checkpoint. Otherwise it continues from
    that checkpoint. Then missing lines leave a gap and forged lines do not fit the chain, so that the next checkpoint
    covers neither. Lines after the checkpoint are kept and counted. A later checkpoint in the log, which the audit key
    has signed, covers lines as well: a database that was rolled back has an earlier one.

    Lines that are missing after the last checkpoint are known from what the last process noted (``end_file``).
    ``boot`` names this start of the machine.
    """
    end = cut_to_last_line(folder, writer)
    if known is None:
        signed = last_signed(folder, writer, verifies)
        found = Takeover(end.position, end.torn, max(0, end.position.sequence - signed))
        if signed:
            # A writer is recorded before its first line.
            alarm = f"the database has lost its checkpoint of audit writer {writer}; {_VERIFY}"
            found = msgspec.structs.replace(found, alarm=alarm)
        return _unverified(found, Unverified.UNKNOWN)
    covered = 0
    if known.checkpoint is not None:
        stated = known.checkpoint.read_signed(writer, verifies)
        if stated is None:
            alarm = f"the database has no good checkpoint of audit writer {writer}; {_VERIFY}"
            return Takeover(end.position, end.torn, end.position.sequence, Unverified.UNSIGNED, alarm=alarm)
        position = Position(writer, stated.sequence, stated.digest.encode())
        there = holds(folder, position, msgspec.json.encode(known.checkpoint))
        if not there and not is_archived(folder, position, verifies):
            alarm = f"the audit log lacks its checkpoint at {stated.sequence} of writer {writer}; {_VERIFY}"
            signed = last_signed(folder, writer, verifies)
            return Takeover(position, end.torn, max(0, position.sequence - signed), alarm=alarm)
        covered = stated.sequence + 1
    if end.position.sequence > covered:
        covered = max(covered, last_signed(folder, writer, verifies, covered))
    found = Takeover(end.position, end.torn, max(0, end.position.sequence - covered))
    if known.stopped:
        return _unverified(found, Unverified.ADDED)
    return _after_failure(found, folder, covered, boot)


def _after_failure(found: Takeover, folder: Path, covered: int, boot: str) -> Takeover:
    """Return a takeover from a process that has not stopped with what its end has cost."""
    position = found.position
    recorded = read_end(folder, position.writer)
    failure = failure_before(recorded, position.sequence, boot)
    if recorded is not None and recorded.boot != boot:
        # Lines that a checkpoint covers had been synced.
        damaged, digest = damaged_end(folder, position, covered)
        failure = msgspec.structs.replace(failure, damaged=damaged, damaged_hash=digest)
    if failure.damaged:
        logger.warning(
            "the machine ended while audit writer %s wrote: of its last %d lines, some are damaged",
            position.writer,
            failure.damaged,
        )
    if failure.of_machine:
        logger.warning(
            'the machine ended while audit writer %s ran with durability "write": its last records may be missing, '
            "%d lines are known to be",
            position.writer,
            failure.missing,
        )
    alarm = ""
    if failure.missing and not failure.of_machine:
        alarm = (
            f"{failure.missing} lines that audit writer {position.writer} has written after {position.sequence} are "
            f"missing; {_VERIFY}"
        )
    return msgspec.structs.replace(found, failure=failure, alarm=alarm)


def _unverified(found: Takeover, reason: Unverified) -> Takeover:
    """Return a takeover that marks the lines after the last checkpoint, if there are any, as unverified."""
    if not found.uncovered:
        return found
    position = found.position
    alarm = (
        f"{found.uncovered} lines of audit writer {position.writer} before {position.sequence + 1} are unverified "
        f"({reason.value}); {_VERIFY}"
    )
    return msgspec.structs.replace(found, unverified=reason, alarm=alarm)
