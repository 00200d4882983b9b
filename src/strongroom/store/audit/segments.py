"""The segments of the audit log on disk: lists them, and finds the end of a chain."""

import mmap
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import msgspec

from strongroom.audit.chain import (
    CHECKPOINT,
    DATABASE,
    Position,
    checkpoint_in,
    claim_of,
    continues,
    header_in,
    link,
    note_in,
    parse_name,
)
from strongroom.audit.database_history import DatabaseNote
from strongroom.audit.sink import AuditMark

_MOST_WITHOUT_NOTE = 8

COMPRESSED = ".gz"
"""The ending of a compressed segment, after its name. Only archives have such files."""


class Segment(msgspec.Struct, frozen=True):
    """One file of a writer's chain; ``first`` is the sequence number in its name."""

    path: Path
    begun: str
    writer: str
    first: int

    @property
    def name(self) -> str:
        """The name that the segment has in the log, also if the file is compressed."""
        return self.path.name.removesuffix(COMPRESSED)


class End(msgspec.Struct, frozen=True):
    """How a writer's chain ends on disk, and how many bytes of an unfinished line came after it."""

    position: Position
    torn: int


def segments_of(folder: Path) -> list[Segment]:
    """Return the segments in a folder, writer by writer, in the order of their chains; not the compressed ones."""
    return _in_order(folder.iterdir())


def copies_of_segments(folders: Iterable[Path]) -> list[list[Segment]]:
    """Return the copies of each segment in some folders, those of the first folder first, in the order of chains."""
    copies: dict[str, list[Segment]] = {}
    for segment in _in_order((path for folder in folders for path in sorted(folder.iterdir())), compressed=True):
        copies.setdefault(segment.name, []).append(segment)
    return list(copies.values())


def fullest_first(segments: Iterable[list[Segment]], originals: Collection[Path] = ()) -> list[list[Segment]]:
    """Put of the copies of each segment the one first that has all of it: in one of the folders ``originals``, if any.

    Otherwise it is the largest that is not compressed. A segment that is shipped while it is written has copies that
    end early.
    """

    def preference(copy: Segment) -> tuple[bool, bool, int]:
        compressed = copy.path.suffix == COMPRESSED
        return copy.path.parent in originals, not compressed, 0 if compressed else _size_of(copy.path)

    return [sorted(copies, key=preference, reverse=True) for copies in segments]


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # It was moved meanwhile, as its reader will find out.


def _in_order(paths: Iterable[Path], *, compressed: bool = False) -> list[Segment]:
    found = []
    for path in paths:
        name = parse_name(path.name.removesuffix(COMPRESSED) if compressed else path.name)
        if name is not None:
            found.append(Segment(path, name.begun, name.writer, name.first))
    return sorted(found, key=lambda each: (len(each.writer), each.writer, each.first, each.begun))


def mark_at_end(folder: Path, writer: str) -> AuditMark:
    """Return the place where a writer's chain ends on disk."""
    chain = [each for each in segments_of(folder) if each.writer == writer]
    name, size = (chain[-1].path.name, chain[-1].path.stat().st_size) if chain else ("", 0)
    return AuditMark(writer, name, size)


def cut_to_last_line(folder: Path, writer: str) -> End:
    """Cut off the unfinished line that a crash left at the end of a writer's chain; return how the chain ends.

    Whole lines stay, also damaged ones. If the last lines cannot be parsed, the chain continues after the last one that
    can.
    """
    torn = 0
    for segment in reversed([each for each in segments_of(folder) if each.writer == writer]):
        with segment.path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            whole, position = _last_position(file.fileno(), size, writer)
            torn += size - whole
            file.truncate(whole)
        if position is not None:
            return End(position, torn)
        if not whole:
            # The file was created, and no line of it was written.
            segment.path.unlink()
    return End(Position(writer), torn)


def end_of_chain(folder: Path, writer: str) -> Position:
    """Return the position that the last readable line of a writer's chain states, and change nothing."""
    for segment in reversed([each for each in segments_of(folder) if each.writer == writer]):
        with segment.path.open("rb") as file:
            _, position = _last_position(file.fileno(), file.seek(0, os.SEEK_END), writer)
        if position is not None:
            return position
    return Position(writer)


def holds(folder: Path, position: Position, body: bytes) -> bool:
    """Tell whether a writer's chain has a line with this JSON object right after a position."""
    line, _ = link([body], position)
    segments = [
        each for each in segments_of(folder) if each.writer == position.writer and each.first <= position.sequence + 1
    ]
    return bool(segments) and b"\n" + line in segments[-1].path.read_bytes()


def damaged_end(folder: Path, end: Position, covered: int) -> tuple[int, str]:
    """Return how many lines a chain ends with from the first one on that does not continue it, and their hash.

    Only lines after the line ``covered`` are judged, which holds the last signed checkpoint; 0 for all. 0 and an empty
    hash if they all continue the chain, or if the line ``covered`` is not here. ``audit.damage`` says what is hashed.
    """
    # If that line was archived, a signed checkpoint after it was on disk here before (``archiving.complete_before``).
    # Without one, more than the end of the machine has changed this chain, so its lines stay findings.
    good = Position(end.writer) if not covered else None
    digest = None
    for line in _lines_from(folder, end.writer, covered):
        claim = claim_of(line.removesuffix(b"\n"))
        if good is None:
            good = claim if claim is not None and (claim.writer, claim.sequence) == (end.writer, covered) else None
        elif digest is not None:
            digest.update(line)
        elif claim is not None and continues(line.removesuffix(b"\n"), good.digest):
            good = claim
        else:
            digest = sha256(good.digest + line)
    if good is None or digest is None or good.sequence >= end.sequence:
        return 0, ""
    return end.sequence - good.sequence, digest.hexdigest()


def _lines_from(folder: Path, writer: str, place: int) -> Iterator[bytes]:
    """Yield the whole lines of a writer's segments, with their newlines, from the segment on that has a line."""
    chain = [segment for segment in segments_of(folder) if segment.writer == writer]
    begin = max((index for index, segment in enumerate(chain) if segment.first <= place), default=0)
    for segment in chain[begin:]:
        with segment.path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))


def last_signed(folder: Path, writer: str, verifies: Callable[[bytes, bytes], bool], after: int = 0) -> int:
    """Return the sequence number of a chain's last checkpoint that the audit key has signed; 0 if there is none.

    It is looked for from the newest segment back to the one that has the line ``after``. Each segment ends with a
    checkpoint unless a crash ended it, so that the first or second one usually has it.
    """
    chain = [segment for segment in segments_of(folder) if segment.writer == writer]
    for segment in _newest_first(chain, after):
        for before, line in _marked_lines(segment.path, CHECKPOINT):
            checkpoint = checkpoint_in(line)
            stated = None if checkpoint is None else checkpoint.read_signed(writer, verifies)
            if stated is not None and before is not None and stated.is_of(before) and continues(line, before.digest):
                return stated.sequence + 1
    return 0


def _newest_first(chain: list[Segment], line: int) -> Iterator[Segment]:
    """Yield the segments of a chain, the newest first, up to the one that has a line; all of them if none has it."""
    for segment in reversed(chain):
        yield segment
        if segment.first <= line:
            return


def _marked_lines(path: Path, prefix: bytes) -> Iterator[tuple[Position | None, bytes]]:
    """Yield the whole lines of a segment that begin with a prefix, and the first line, from its end on.

    With each comes the position that the line before it states; None if it states none, and before the first line.
    """
    size = path.stat().st_size
    if not size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
        for start, end in _lines_backwards(content, prefix):
            before = claim_of(content[content.rfind(b"\n", 0, start - 1) + 1 : start - 1]) if start else None
            yield before, content[start:end]


def _last_position(file: int, size: int, writer: str) -> tuple[int, Position | None]:
    """Return the size of a file's whole lines in bytes, and the position that the last readable one states."""
    if not size:
        return 0, None
    with mmap.mmap(file, size, access=mmap.ACCESS_READ) as content:
        whole = content.rfind(b"\n") + 1
        for start, end in _lines_backwards(content):
            claim = claim_of(content[start:end])
            if claim is not None and claim.writer == writer:
                return whole, claim
    return whole, None


def _lines_backwards(content: mmap.mmap, prefix: bytes = b"") -> Iterator[tuple[int, int]]:
    """Yield where the lines of a file that begin with a prefix, and its first line, begin and end, the last one first.

    What comes after the last newline is no line yet.
    """
    end = content.rfind(b"\n") + 1
    while end:
        start = content.rfind(b"\n" + prefix, 0, end - 1) + 1
        yield start, content.find(b"\n", start)
        end = start


def newest_notes(folder: Path) -> list[DatabaseNote]:
    """Return the newest note about the database of each writer in a folder.

    Every segment begins with a note, so this reads the end of one file of each writer, rarely of two. A note whose line
    does not have the hash that it should have is passed over: it was altered, or damaged.
    """
    if not folder.is_dir():
        return []
    found = []
    for _, chain in groupby(segments_of(folder), attrgetter("writer")):
        # A crash can leave segments whose header was not written. There are no more than a few.
        for segment in reversed(list(chain)[-_MOST_WITHOUT_NOTE:]):
            note = _newest_note(segment.path)
            if note is not None:
                found.append(note)
                break
    return found


def _newest_note(path: Path) -> DatabaseNote | None:
    for before, line in _marked_lines(path, DATABASE):
        header = header_in(line)
        digest = header.previous.encode() if header is not None else b"" if before is None else before.digest
        if continues(line, digest):
            note = note_in(line)
            if note is not None:
                return note
    return None
