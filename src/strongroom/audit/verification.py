"""Walks the audit log and finds what was done to it: pure.

Segments come writer by writer, in the order of their names. Every line must continue the chain: the sequence number
after the last one, and a hash over the last hash and itself. What the hash does not cover is compared byte by byte.
Beyond that, a header must stand at the head of its own file, and a checkpoint must be signed and state where the chain
stands.

A chain cannot tell that its end is gone. The newest checkpoint of each writer, kept elsewhere, does.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256

import msgspec

from strongroom.audit.chain import (
    CHECKPOINT,
    GENESIS,
    HEADER,
    TAIL,
    Checkpoint,
    HeaderLine,
    Position,
    claim_of,
    parse_name,
    signed_bytes,
)

_SPECIAL = (HEADER, CHECKPOINT)
_EVENT_TIME = re.compile(rb'"eventTime":"([0-9TZ:-]{20})"')


class Kind(StrEnum):
    """What was done to the log."""

    ALTERED = "altered"
    REMOVED = "removed"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    FILE_MISSING = "file missing"
    BAD_SIGNATURE = "bad signature"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong, and where. ``sequence`` is the one that is expected there."""

    kind: Kind
    file: str
    line: int
    sequence: int
    text: str


class Report(msgspec.Struct):
    """What a walk has found. Times as in the records, empty without any."""

    segments: int = 0
    records: int = 0
    checkpoints: int = 0
    unsigned: int = 0
    """Records after the last checkpoint of their writer: nothing vouches for them yet."""
    torn: int = 0
    """Bytes of unfinished lines, of records whose answers never left: cut off after a crash, or still there."""
    lost: int = 0
    """Records of refused calls that could not be kept while the log could not be written."""
    first_time: str = ""
    last_time: str = ""
    findings: list[Finding] = msgspec.field(default_factory=list)


class Verifier:
    """Takes segments, and lines of each; ``finish`` gives the report."""

    def __init__(
        self,
        verifies: Callable[[bytes, bytes], bool],
        kept: Mapping[str, Checkpoint] | None,
        *,
        from_oldest: bool = False,
    ) -> None:
        """Verify with the audit key's ``verifies(message, signature)``, against the checkpoints that were ``kept``.

        Without any to look for (None), the end of the log cannot be judged. ``from_oldest`` takes for granted what the
        oldest header says of the segments before it, which were moved away.
        """
        self._from_oldest = from_oldest
        self.report = Report()
        self._verifies = verifies
        self._kept = kept
        self._met: set[str] = set()
        self._signed: set[str] = set()
        self._writer = ""
        self._file = ""
        self._line = 0
        self._sequence, self._previous = 0, GENESIS
        self._since_checkpoint = 0
        self._mark = b""

    def begin(self, file: str) -> None:
        """Go on with a segment, by the name of its file."""
        name = parse_name(file)
        writer = "" if name is None else name.writer
        if writer != self._writer:
            self._end_writer()
            self._writer = writer
            self._mark = b',"chain":{"writer":"%b","sequence":' % writer.encode()
            self._sequence, self._previous = 0, GENESIS
        self._file, self._line = file, 0
        self.report.segments += 1

    def lines(self, lines: Sequence[bytes]) -> None:
        """Take whole lines of the segment, without their newlines."""
        mark, records = self._mark, 0
        for line in lines:
            self._line += 1
            covered = line[:-TAIL]
            digest = sha256(self._previous + covered).hexdigest().encode()
            fits = line[-TAIL:] == b',"hash":"%b"}}' % digest and covered.endswith(b"%b%d" % (mark, self._sequence + 1))
            if not fits or self._line == 1 or line.startswith(_SPECIAL):
                self._count(records)
                records = 0
                self._judge(line, covered, fits=fits)
                continue
            self._sequence += 1
            self._previous = digest
            records += 1
        self._count(records)
        if first := _first_time(lines):
            self.report.first_time = min(self.report.first_time or first, first)
            self.report.last_time = max(self.report.last_time, _first_time(reversed(lines)))

    def end(self, rest: bytes, *, newest: bool) -> None:
        """Take what follows the last newline of the segment. Only in the newest of a writer it may be unfinished."""
        if newest:
            self.report.torn += len(rest)
        elif rest or not self._line:
            self._find(Kind.TRUNCATED, "the file ends within a line" if rest else "the file is empty")

    def finish(self, known: Collection[str]) -> Report:
        """Return what was found. ``known`` are the writers that there is a checkpoint of by now."""
        self._end_writer()
        kept = self._kept or {}
        for writer in sorted(kept.keys() - self._met):
            text = f"the database has a checkpoint of writer {writer}, and there is no file of it"
            self.report.findings.append(Finding(Kind.FILE_MISSING, "", 0, 0, text))
        for writer in sorted(self._signed.difference(known) if self._kept is not None else ()):
            text = f"the database has no checkpoint of writer {writer}, and the log has"
            self.report.findings.append(Finding(Kind.REMOVED, "", 0, 0, text))
        return self.report

    def _judge(self, line: bytes, covered: bytes, *, fits: bool) -> None:
        """Look closely at a line that does not continue the chain, or that is no record."""
        expected = self._sequence + 1
        claim = claim_of(line)
        if self._from_oldest and not self._sequence and claim is not None and claim.sequence > 1:
            self._start_late(line, claim.sequence - 1)
            return
        if claim is None or claim.writer != self._writer:
            self._find(Kind.ALTERED, "this is not a line of this log")
            # Nobody knows its hash, so the next line is taken at its word.
            self._sequence, self._previous = expected, b""
            return
        if claim.sequence < expected:
            self._find(Kind.REORDERED, f"{claim.sequence} stands here again, or too late")
            return
        if claim.sequence > expected:
            kind = Kind.FILE_MISSING if line.startswith(HEADER) else Kind.REMOVED
            self._find(kind, f"{expected} to {claim.sequence - 1} are not there")
        elif not fits and self._previous:
            self._find(Kind.ALTERED, "the line, or the one before it, is not what was written")
        if fits:
            self._judge_place(line, covered)
        self._sequence, self._previous = claim.sequence, claim.digest

    def _start_late(self, header: bytes, before: int) -> None:
        """Begin a chain with the header of the oldest segment there is, as if what it goes on from were there."""
        try:
            self._previous = msgspec.json.decode(header, type=HeaderLine).segment.previous.encode()
        except msgspec.DecodeError:
            self._find(Kind.REMOVED, f"1 to {before} are not there")
        self._sequence, self._line = before, self._line - 1
        self.lines([header])

    def _judge_place(self, line: bytes, covered: bytes) -> None:
        """Look at a link of the chain for what it holds: its header at its head, signed checkpoints, records."""
        if line.startswith(HEADER) or self._line == 1:
            self._judge_header(line)
        elif line.startswith(CHECKPOINT):
            self._judge_checkpoint(covered[: covered.rfind(self._mark)] + b"}")

    def _judge_header(self, line: bytes) -> None:
        try:
            header = msgspec.json.decode(line, type=HeaderLine).segment
        except msgspec.DecodeError:
            self._find(Kind.ALTERED, "a segment begins with its header")
            return
        if header.name != self._file or self._line != 1 or header.previous.encode() != self._previous:
            self._find(Kind.ALTERED, f"this is the header of {header.name}")
        self.report.torn += header.torn
        self.report.lost += header.lost

    def _judge_checkpoint(self, body: bytes) -> None:
        here = Position(self._writer, self._sequence, self._previous)
        try:
            checkpoint = msgspec.json.decode(body, type=Checkpoint)
            fits = checkpoint.read().is_of(here)
        except msgspec.DecodeError:
            self._find(Kind.BAD_SIGNATURE, "this is not a checkpoint")
            return
        if not fits or not self._is_signed(checkpoint):
            self._find(Kind.BAD_SIGNATURE, "the audit key has not signed this")
            return
        self.report.checkpoints += 1
        self._since_checkpoint = 0
        self._signed.add(self._writer)
        if self._kept is not None and self._kept.get(self._writer) == checkpoint:
            self._met.add(self._writer)

    def _is_signed(self, checkpoint: Checkpoint) -> bool:
        return self._verifies(signed_bytes(bytes(checkpoint.statement)), checkpoint.signature)

    def _end_writer(self) -> None:
        """Hold the end of a chain against what was kept of it."""
        if not self._writer:
            return
        self.report.unsigned += self._since_checkpoint
        self._since_checkpoint = 0
        if self._kept is None or self._writer in self._met:
            return
        self._met.add(self._writer)
        kept = self._kept.get(self._writer)
        if kept is None:
            return
        if not self._is_signed(kept):
            self._find(Kind.BAD_SIGNATURE, "the audit key has not signed the checkpoint in the database")
        elif self._sequence <= (stated := kept.read().sequence):
            self._find(Kind.TRUNCATED, f"the log ends here; the database has a checkpoint at {stated}")
        else:
            self._find(Kind.ALTERED, f"the checkpoint that the database has at {stated} is not in the log")

    def _find(self, kind: Kind, text: str) -> None:
        self.report.findings.append(Finding(kind, self._file, self._line, self._sequence + 1, text))

    def _count(self, records: int) -> None:
        self.report.records += records
        self._since_checkpoint += records


def _first_time(lines: Iterable[bytes]) -> str:
    """Return the time of the first record among some lines; headers and checkpoints have none."""
    found = next((found for line in lines if (found := _EVENT_TIME.search(line))), None)
    return "" if found is None else found[1].decode()
