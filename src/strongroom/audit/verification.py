"""Verifies the audit log: finds lines that were altered, removed, reordered or added. Pure.

Segments come writer by writer, in the order of their names. Every line must continue the chain: the sequence number
after the last one, and a hash over the last hash and itself. The bytes that the hash does not cover are compared with
those expected. A header must be the first line of its own file. A checkpoint must have a valid signature and state the
position of the chain.

The chain alone does not show that its end is missing. Nor does it show that lines, or a whole chain, were added while
no server ran. To detect that, the database records the newest checkpoint of each writer, and whether the writer has
stopped since.

A header states how a start has found the end of the chain. It explains damage only where no signed checkpoint covers it
(``damage``), and says which checkpoint was the last one: that one must be there, too.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256

from strongroom.audit import chain_ends
from strongroom.audit.archive import Statements
from strongroom.audit.chain import (
    CHECKPOINT,
    DATABASE,
    GENESIS,
    HEADER,
    TAIL,
    Checkpoint,
    Header,
    KnownWriter,
    Position,
    checkpoint_in,
    claim_of,
    header_in,
    note_in,
    parse_name,
)
from strongroom.audit.damage import SuspectLines
from strongroom.audit.database_history import DatabaseNote, DatabasePosition, find_set_back
from strongroom.audit.recorded_end import Failure
from strongroom.audit.report import Chain, Finding, Kind, Report

_SPECIAL = (HEADER, CHECKPOINT, DATABASE)


class Verifier:
    """Verifies the segments that it is given, in lines; ``finish`` returns the report."""

    def __init__(  # noqa: PLR0913 - all that a log can be compared with
        self,
        verifies: Callable[[bytes, bytes], bool],
        writers: Mapping[str, KnownWriter] | None,
        required: Collection[str] | None = None,
        *,
        from_oldest: bool = False,
        stated: Statements | None = None,
        archives_given: bool = False,
        failure: Callable[[str, int], Failure] = lambda _writer, _sequence: Failure(),
    ) -> None:
        """Verify with the audit key's ``verifies(message, signature)``, against the recorded state of the ``writers``.

        Without ``writers`` (None), the ends of the chains cannot be verified, nor whether the chains belong here.
        ``required`` are the writers whose chains must be here and whole; the default is all. Chains of other nodes are
        elsewhere; what is here of them may end early.
        ``from_oldest`` accepts the hash before the oldest header, because the segments before it were moved elsewhere.
        ``stated`` are the signed statements: archived segments need not be here, unless the ``archives_given`` are all
        there are (then only pruned ones may be missing), and what a retired node has lost is found as lost.
        ``failure(writer, sequence)`` tells what is missing at the end of a chain that ends with this number, if its
        writer has not stopped.
        """
        self._from_oldest = from_oldest
        self._stated = stated or Statements()
        self._archives_given = archives_given
        self._failure = failure
        self.report = Report()
        self._verifies = verifies
        self._writers = writers
        self._required = required
        self._found: set[str] = set()
        self._signed: set[str] = set()
        self._added: dict[str, Finding] = {}
        self._writer = ""
        self._reported = Chain("")
        self._file = ""
        self._line = 0
        self._sequence, self._previous = 0, GENESIS
        self._since_checkpoint = 0
        self._accounted = 0
        """The last sequence number that a checkpoint covers or a header has counted."""
        self._anchor: int | None = None
        """The sequence number of the checkpoint in the database, once its line was read; 0 if there is none."""
        self._last_signed = 0
        """The sequence number of the last checkpoint with a valid signature."""
        self._suspects = SuspectLines()
        """What a header can still explain: no signed checkpoint has covered it."""
        self._mark = b""
        self._notes: dict[str, DatabaseNote] = {}

    def begin(self, file: str) -> None:
        """Begin the segment in a file of this name."""
        name = parse_name(file)
        writer = "" if name is None else name.writer
        if writer != self._writer:
            self._end_writer()
            self._begin_writer(writer)
        self._file, self._line = file, 0
        self.report.segments += 1

    def lines(self, lines: Sequence[bytes]) -> None:
        """Verify whole lines of the segment, given without their newlines."""
        mark, suspects, records = self._mark, self._suspects, 0
        for line in lines:
            self._line += 1
            covered = line[:-TAIL]
            digest = sha256(self._previous + covered).hexdigest().encode()
            fits = line[-TAIL:] == b',"hash":"%b"}}' % digest and covered.endswith(b"%b%d" % (mark, self._sequence + 1))
            if not fits or self._line == 1 or line.startswith(_SPECIAL):
                self._count(records)
                records = 0
                self._check_line(line, fits=fits)
                continue
            if not suspects.is_empty:
                suspects.add(line)
            self._sequence += 1
            self._previous = digest
            records += 1
        self._count(records)
        self._reported.note_times_in(lines)

    def end(self, rest: bytes, *, newest: bool) -> None:
        """End the segment with the bytes after its last newline. Only a writer's newest segment may have any."""
        if newest:
            self.report.torn += len(rest)
        elif rest or not self._line:
            self._find(Kind.TRUNCATED, "the file ends within a line" if rest else "the file is empty")

    def find_damage(self, kind: Kind, text: str) -> None:
        """Add a finding about the segment's file as a whole."""
        self._find(kind, text)

    def finish(
        self,
        writers: Mapping[str, KnownWriter],
        database: DatabasePosition | None = None,
        earlier: Mapping[int, str] | None = None,
    ) -> Report:
        """Return the report.

        ``writers`` is their state as recorded now, because servers may have written meanwhile. ``database`` is the
        position of the database now; None if it is not judged. For ``earlier``, see ``find_set_back``.
        """
        self._end_writer()
        set_back = None if database is None else find_set_back(self._notes.values(), database, earlier or {})
        if set_back is not None:
            self.report.findings.append(Finding(Kind.SET_BACK, "", 0, 0, set_back.text))
        before = self._writers
        if before is None:
            return self.report
        # Of a retired node's writer, the database may have forgotten what the log states.
        for writer in sorted((before.keys() | self._stated.lost.keys()) - self._found):
            if self._is_required(writer):
                self._judge_missing(writer, before.get(writer, KnownWriter()))
            else:
                self.report.elsewhere.append(writer)
        for writer in sorted(self._found - writers.keys()):
            found = chain_ends.judge_unknown(writer, has_checkpoints=writer in self._signed)
            self.report.findings.append(Finding(found.kind, "", 0, 0, found.text))
        self.report.findings += [
            finding for writer, finding in sorted(self._added.items()) if writers.get(writer) == before[writer]
        ]
        return self.report

    def _judge_missing(self, writer: str, known: KnownWriter) -> None:
        """Judge that a writer has no file."""
        lost = self._stated.lost.get(writer)
        if known.checkpoint is None and not known.stopped and lost is None:
            self._writer = writer
            self._judge_failure(self._failure(writer, 0), "now")
            return
        found = chain_ends.judge_missing_chain(writer, known, self._verifies, lost)
        if found is not None:
            self.report.chains.append(Chain(writer, chain_ends.state_of(known, lost), missing=found.missing))
            self.report.findings.append(Finding(found.kind, "", 0, 0, found.text))

    def _check_line(self, line: bytes, *, fits: bool) -> None:
        """Judge a line that does not continue the chain, or that is a header or a checkpoint."""
        expected = self._sequence + 1
        claim = claim_of(line)
        if claim is not None and self._goes_on_later(line, claim):
            return
        if claim is None or claim.writer != self._writer:
            self._suspect(Kind.ALTERED, "this is not a line of this log")
            self._suspects.add(line)
            # Its hash is not known, so the next line's claim is accepted.
            self._sequence, self._previous = expected, b""
            return
        if claim.sequence < expected:
            self._find(Kind.REORDERED, f"{claim.sequence} is here again, or too late")
            if self._line == 1 and line.startswith(HEADER):
                # A start that did not find its checkpoint has continued from it. That is one finding, not one for each
                # line.
                self._sequence, self._previous = claim.sequence, claim.digest
                # The lines that follow are not those with the same numbers that were counted before.
                self._suspects.clear()
                self._accounted = min(self._accounted, claim.sequence - 1)
            return
        if claim.sequence > expected:
            # Damage over the end of a line makes one of two.
            kind, find = (Kind.FILE_MISSING, self._find) if line.startswith(HEADER) else (Kind.REMOVED, self._suspect)
            find(kind, f"{expected} to {claim.sequence - 1} are missing")
        elif not fits and self._previous:
            self._suspect(Kind.ALTERED, "the line, or the one before it, is not what was written")
        if fits:
            self._check_kind(line)
        self._suspects.add(line)
        self._sequence, self._previous = claim.sequence, claim.digest

    def _goes_on_later(self, line: bytes, claim: Position) -> bool:
        """Go on with a line whose predecessors are elsewhere; tell whether they may be."""
        if self._line == 1 and claim.sequence > self._sequence + 1 and self._pass_archived(line, claim):
            return True
        if not self._from_oldest or self._sequence or claim.sequence == 1:
            return False
        self._start_late(line, claim.sequence - 1)
        return True

    def _start_late(self, header: bytes, before: int) -> None:
        """Begin a chain with the header of the oldest segment, as if the segments before it were here."""
        found = header_in(header)
        if found is None:
            self._find(Kind.REMOVED, f"1 to {before} are missing")
        else:
            self._previous = found.previous.encode()
        # What was before is taken to be signed.
        self._sequence = self._last_signed = before
        self._line -= 1
        self.lines([header])

    def _pass_archived(self, header: bytes, claim: Position) -> bool:
        """Go on after segments that were archived, as the log states; tell whether it states that."""
        passed = self._stated.between(claim.writer, self._sequence + 1, claim.sequence - 1)
        if not passed or claim.writer != self._writer:
            return False
        for text in self._stated.count(passed, self.report, archives_given=self._archives_given):
            self._find(Kind.FILE_MISSING, text)
        here = Position(self._writer, self._sequence, self._previous)
        if self._sequence and not self._stated.has_end(here):
            self._find(Kind.ALTERED, f"the lines up to {self._sequence} are not those that were archived")
        self._sequence = self._accounted = passed[-1].last_sequence
        self._previous = passed[-1].last_hash.encode()
        # Only segments that a signed checkpoint covers are archived.
        self._signed.add(self._writer)
        self._last_signed = self._sequence
        self._suspects.clear()
        self._pass_recorded_checkpoint(passed[0].first_sequence)
        self._line -= 1
        self.lines([header])
        return True

    def _pass_recorded_checkpoint(self, first: int) -> None:
        """Take the database's checkpoint for found, if its line is among those that were passed over from ``first``."""
        kept = self._recorded_checkpoint()
        stated = None if kept is None else kept.read_signed(self._writer, self._verifies)
        if stated is not None and first <= stated.sequence + 1 <= self._sequence:
            self._anchor = stated.sequence + 1

    def _check_kind(self, line: bytes) -> None:
        """Judge a line that continues the chain by its kind: a header, a checkpoint or a record."""
        note = note_in(line)
        if note is not None:
            self._notes[self._writer] = note
        if line.startswith(HEADER) or self._line == 1:
            self._judge_header(line)
        elif line.startswith(CHECKPOINT):
            self._judge_checkpoint(line)

    def _judge_header(self, line: bytes) -> None:
        header = header_in(line)
        if header is None:
            self._find(Kind.ALTERED, "a segment begins with its header")
            return
        if header.name != self._file or self._line != 1 or header.previous.encode() != self._previous:
            self._find(Kind.ALTERED, f"this is the header of {header.name}")
        self.report.torn += header.torn
        self.report.lost += header.lost
        self._require_signed(self._sequence - header.uncovered)
        self._take_over(header)
        self._excuse(header)
        self._judge_failure(Failure(header.missing, header.machine_failed), "when a server started")

    def _require_signed(self, sequence: int) -> None:
        """Require the checkpoint that a header says was there, signed, as the line of this number."""
        if sequence > self._last_signed:
            text = f"the signed checkpoint that was at {sequence} when this was written is not here"
            self._suspects.join(self._find(Kind.ALTERED, text))

    def _take_over(self, header: Header) -> None:
        """Count the lines that a start has found.

        Each is counted once, although several starts may record the same ones.
        """
        fresh = min(header.uncovered, self._sequence - self._accounted)
        self._accounted = self._sequence
        if header.unverified:
            self._find(Kind.ADDED, chain_ends.UNVERIFIED[header.unverified].format(header.uncovered))
        else:
            self.report.uncovered += fresh

    def _judge_checkpoint(self, line: bytes) -> None:
        here = Position(self._writer, self._sequence, self._previous)
        checkpoint = checkpoint_in(line)
        if checkpoint is None:
            self._find(Kind.BAD_SIGNATURE, "this is not a checkpoint")
            return
        stated = checkpoint.read_signed(self._writer, self._verifies)
        if stated is None or not stated.is_of(here):
            self._find(Kind.BAD_SIGNATURE, "the audit key has not signed this")
            return
        self.report.checkpoints += 1
        self._reported.last_signed = stated.time
        self._since_checkpoint = 0
        self._signed.add(self._writer)
        self._last_signed = self._accounted = self._sequence + 1
        self._suspects.clear()
        if checkpoint == self._recorded_checkpoint():
            self._anchor = self._sequence + 1

    def _recorded_checkpoint(self) -> Checkpoint | None:
        known = (self._writers or {}).get(self._writer)
        return None if known is None else known.checkpoint

    def _begin_writer(self, writer: str) -> None:
        self._writer = writer
        self._reported = self.report.begin_chain(writer)
        self._mark = b',"chain":{"writer":"%b","sequence":' % writer.encode()
        self._sequence, self._previous = 0, GENESIS
        self._accounted = self._last_signed = 0
        self._suspects.clear()
        self._anchor = 0 if self._recorded_checkpoint() is None else None

    def _end_writer(self) -> None:
        """Compare the end of a chain with what the database records of its writer."""
        if not self._writer:
            return
        self.report.unsigned += self._since_checkpoint
        self._since_checkpoint = 0
        self._found.add(self._writer)
        known = (self._writers or {}).get(self._writer)
        lost = self._stated.lost.get(self._writer)
        self._reported.state = chain_ends.state_of(known, lost)
        if known is None or not self._is_required(self._writer):
            return
        if self._anchor is None:
            self._add(chain_ends.judge_end(self._writer, self._sequence, known, self._verifies, lost))
        elif not known.stopped and lost is not None:
            self._add(chain_ends.judge_lost_end(self._sequence, lost))
        elif not known.stopped:
            self._judge_failure(self._failure(self._writer, self._sequence), "now")
        elif self._sequence > max(self._anchor, self._last_signed):
            text = f"the writer had stopped with {self._anchor}; what comes after it was added"
            self._added[self._writer] = Finding(Kind.ADDED, self._file, self._line, self._sequence, text)

    def _is_required(self, writer: str) -> bool:
        return self._required is None or writer in self._required or writer in self._stated.lost

    def _add(self, found: chain_ends.Judgement | None) -> None:
        """Add a finding about the end of the chain."""
        if found is not None:
            self._reported.missing = found.missing
            self._find(found.kind, found.text)

    def _judge_failure(self, failure: Failure, when: str) -> None:
        """Judge what the end of the process before this place has cost."""
        if failure.of_machine:
            self.report.machine_failures += 1
            self.report.missing += failure.missing
        elif failure.missing:
            self._find(Kind.TRUNCATED, f"{failure.missing} lines that were written before this are missing {when}")

    def _excuse(self, header: Header) -> None:
        """Take back the findings about the last lines, if the header says that a start has found exactly these."""
        if self._suspects.are_explained_by(header.damaged_hash):
            self.report.take_back(self._suspects.findings)
            self.report.damaged += self._suspects.take_back()

    def _suspect(self, kind: Kind, text: str) -> Finding:
        """Add a finding about the next line, which does not continue the chain."""
        found = self._find(kind, text)
        self._suspects.suspect(found, self._previous)
        return found

    def _find(self, kind: Kind, text: str) -> Finding:
        found = Finding(kind, self._file, self._line, self._sequence + 1, text)
        self.report.add(found)
        return found

    def _count(self, records: int) -> None:
        self.report.records += records
        self._reported.records += records
        self._since_checkpoint += records
