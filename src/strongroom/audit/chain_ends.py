"""Judges how a chain ends: compares its last line with what the database and signed statements say of it. Pure."""

from collections.abc import Callable

import msgspec

from strongroom.audit.chain import KnownWriter, Statement, Unverified
from strongroom.audit.report import ChainState, Kind
from strongroom.audit.retirement import LostChain

UNVERIFIED = {
    Unverified.ADDED: "the writer had stopped before the last {} lines; they were added",
    Unverified.UNKNOWN: "the database did not know the writer of the {} lines before this",
    Unverified.UNSIGNED: "the database had no valid checkpoint that covers the {} lines before this",
}
"""What a start has said of the lines that it has found after the last checkpoint, by the reason; how many they are."""

Verifies = Callable[[bytes, bytes], bool]


class Judgement(msgspec.Struct, frozen=True):
    """What is wrong with the end of a chain, and how many lines are proved to be missing there."""

    kind: Kind
    text: str
    missing: int = 0


def state_of(known: KnownWriter | None, lost: LostChain | None) -> ChainState:
    """Return the state of a writer, as the database knows it and as the log states."""
    if lost is not None:
        return ChainState.RETIRED
    if known is None:
        return ChainState.UNKNOWN
    return ChainState.STOPPED if known.stopped else ChainState.NOT_STOPPED


def judge_missing_chain(
    writer: str, known: KnownWriter, verifies: Verifies, lost: LostChain | None
) -> Judgement | None:
    """Judge that a writer has no file; None if it may have written nothing."""
    if known.checkpoint is None:
        return None if lost is None else _lost(lost, 0, lost.last.sequence)
    stated = known.checkpoint.read_signed(writer, verifies)
    if stated is None:
        return Judgement(Kind.BAD_SIGNATURE, f"the database's checkpoint of writer {writer} has no valid signature")
    text = f"the database has a checkpoint of writer {writer}, and there is no file of it: "
    return _lost(lost, 0, stated.sequence + 1) or Judgement(
        Kind.FILE_MISSING, text + _missing(0, stated), stated.sequence + 1
    )


def judge_unknown(writer: str, *, has_checkpoints: bool) -> Judgement:
    """Judge that the log has a chain whose writer the database does not know."""
    text = f"the database does not know writer {writer}"
    if has_checkpoints:
        return Judgement(Kind.REMOVED, f"{text}, and the log has its checkpoints")
    return Judgement(Kind.ADDED, text)


def judge_end(writer: str, sequence: int, known: KnownWriter, verifies: Verifies, lost: LostChain | None) -> Judgement:
    """Judge a chain that ends with this number, and does not have the checkpoint that the database has."""
    stated = None if known.checkpoint is None else known.checkpoint.read_signed(writer, verifies)
    if stated is None:
        return Judgement(
            Kind.BAD_SIGNATURE, "the checkpoint that the database has of this writer has no valid signature"
        )
    if sequence > stated.sequence:
        return Judgement(Kind.ALTERED, f"the checkpoint that the database has at {stated.sequence} is not in the log")
    text = f"the log ends here; the database has a checkpoint at {stated.sequence}: {_missing(sequence, stated)}"
    missing = stated.sequence + 1 - sequence
    return _lost(lost, sequence, stated.sequence + 1) or Judgement(Kind.TRUNCATED, text, missing)


def judge_lost_end(sequence: int, lost: LostChain) -> Judgement | None:
    """Judge the end of a retired node's chain that has the checkpoint of the database; None if nothing can be lost."""
    return _lost(lost, sequence, sequence)


def _lost(lost: LostChain | None, found: int, end: int) -> Judgement | None:
    """Judge what a signed statement calls lost; None if it does not cover all lines up to ``end``."""
    words = "" if lost is None or (found < end and not lost.loses(end)) else lost.words(found)
    return Judgement(Kind.LOST, words, end - found) if words else None


def _missing(found: int, stated: Statement) -> str:
    count = stated.sequence + 1 - found
    what = "1 line" if count == 1 else f"{count} lines"
    return f"{what} up to {stated.time} are missing" if count > 1 else f"{what} of {stated.time} is missing"
