"""How a start takes a writer's chain over: where it goes on, and what of it nothing vouches for."""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from strongroom.audit.chain import Doubt, KnownWriter, Position
from strongroom.store.audit.segments import cut_to_last_line, holds

logger = logging.getLogger(__name__)


class Takeover(msgspec.Struct, frozen=True):
    """Where a chain goes on, and what the header of its next segment has to tell of it."""

    position: Position
    torn: int = 0
    unvouched: int = 0
    doubt: Doubt = Doubt.NONE

    @property
    def leftovers(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.torn or self.unvouched or self.doubt)


def take_over(
    folder: Path, writer: str, known: KnownWriter | None, verifies: Callable[[bytes, bytes], bool]
) -> Takeover:
    """Find the end of a writer's chain, cut an unfinished line off, and hold the end against what is known.

    A chain goes on at the end of the log, but only if the log holds the last checkpoint. Otherwise it goes on from the
    checkpoint, so that what is missing leaves a gap, and a forged history does not fit: the next checkpoint must not
    vouch for either. What came after the checkpoint stays, and is told.
    """
    end = cut_to_last_line(folder, writer)
    if known is None:
        return _doubted(Takeover(end.position, end.torn, end.position.sequence), Doubt.UNKNOWN)
    vouched = 0
    if known.checkpoint is not None:
        stated = known.checkpoint.read_signed(writer, verifies)
        if stated is None:
            found = Takeover(end.position, end.torn, end.position.sequence, Doubt.UNSIGNED)
            logger.error("the database has no good checkpoint of audit writer %s; run: strongroom audit verify", writer)
            return found
        position = Position(writer, stated.sequence, stated.digest.encode())
        if not holds(folder, position, msgspec.json.encode(known.checkpoint)):
            logger.error("the audit log lacks its checkpoint at %d; run: strongroom audit verify", stated.sequence)
            return Takeover(position, end.torn)
        vouched = stated.sequence + 1
    found = Takeover(end.position, end.torn, max(0, end.position.sequence - vouched))
    return _doubted(found, Doubt.ADDED) if known.stopped else found


def _doubted(found: Takeover, doubt: Doubt) -> Takeover:
    """Doubt whatever lines there are that nothing vouches for."""
    if not found.unvouched:
        return found
    position = found.position
    logger.error(
        "%d lines of audit writer %s before %d are %s; run: strongroom audit verify",
        found.unvouched,
        position.writer,
        position.sequence + 1,
        doubt.value,
    )
    return msgspec.structs.replace(found, doubt=doubt)
