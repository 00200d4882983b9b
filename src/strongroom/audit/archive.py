"""Statements in the audit log about segments that were moved to an archive, pruned from one, or lost. Pure.

A command makes them, as records of its own chain, and signs them at once. So verification knows what was moved, and how
the chain goes on after it, from the log alone. The chain of the commands is never archived, so the statements stay.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

import msgspec

from strongroom.audit.chain import (
    CHECKPOINT,
    TAIL,
    Position,
    checkpoint_in,
    claim_of,
    header_in,
    parse_name,
)
from strongroom.audit.operator_events import AUDIT_SOURCE, OperatorEvent
from strongroom.audit.report import Report
from strongroom.audit.retirement import REINSTATED, RETIRED, LostChain, Reinstatement, Retirement, may_retire
from strongroom.audit.writer_id import parse_writer
from strongroom.node_id import NodeId

ARCHIVED = "ArchiveAuditLog"
PRUNED = "PruneAuditLog"


class DamagedSegmentError(Exception):
    """A segment is not a whole, unbroken part of a chain; the message says where."""


class StatedSegment(msgspec.Struct, frozen=True, rename="camel"):
    """A segment of a statement: its last line's sequence number and hash, and when its successor was begun.

    ``name`` is that of the file in the log, without the ending of a compressed one.
    """

    name: str
    last_sequence: int
    last_hash: str
    complete: str

    @property
    def writer(self) -> str:
        """The writer of its chain."""
        found = parse_name(self.name)
        return "" if found is None else found.writer

    @property
    def first_sequence(self) -> int:
        """The sequence number of its first line."""
        found = parse_name(self.name)
        return 0 if found is None else found.first


class _Archived(msgspec.Struct):
    folder: str
    segments: list[StatedSegment]


class _Pruned(msgspec.Struct):
    segments: list[str]


class _Record(msgspec.Struct, rename="camel"):
    event_name: str = ""
    event_source: str = ""
    event_time: str = ""
    error_code: str = ""
    service_event_details: msgspec.Raw = msgspec.Raw(b"{}")


class Statements:
    """What signed statements say about segments that are not in the log any more."""

    def __init__(self) -> None:
        self.segments: dict[str, StatedSegment] = {}
        """Every archived segment, by its name."""
        self.folders: dict[str, set[str]] = {}
        """The folders that a segment was moved to."""
        self.pruned: set[str] = set()
        self.lost: dict[str, LostChain] = {}
        """The chains of retired nodes, by their writers."""
        self._retired: dict[tuple[str, NodeId], dict[str, LostChain]] = {}
        """The same by the chain that states it and the node."""
        self._before: dict[tuple[str, NodeId], dict[str, LostChain]] = {}
        """The same before the last of these statements, until a second record withdraws that."""
        self._by_place: dict[tuple[str, int], StatedSegment] = {}

    def add(self, speaker: str, record: bytes) -> None:
        """Add what a record of the commands' chain named ``speaker`` says, if it is a statement.

        Commands of a node speak for the chains of their node only, and for those from before nodes had ids; except that
        they can retire another node, and take back what they have stated of it. A second record, which says that this
        has failed, withdraws it.
        """
        try:
            found = msgspec.json.decode(record, type=_Record)
            if found.event_source != AUDIT_SOURCE:
                return
            if found.event_name == ARCHIVED:
                self._add_archived(speaker, msgspec.json.decode(found.service_event_details, type=_Archived))
            elif found.event_name == PRUNED:
                self._add_pruned(speaker, msgspec.json.decode(found.service_event_details, type=_Pruned).segments)
            elif found.event_name == RETIRED:
                self._retire(speaker, msgspec.json.decode(found.service_event_details, type=Retirement), found)
            elif found.event_name == REINSTATED:
                self._reinstate(speaker, msgspec.json.decode(found.service_event_details, type=Reinstatement), found)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return

    def retires(self, speaker: str, node: NodeId) -> bool:
        """Tell whether the commands' chain named ``speaker`` states that a node is lost."""
        return bool(self._retired.get((speaker, node)))

    def between(self, writer: str, first: int, last: int) -> list[StatedSegment]:
        """Return the archived segments that hold exactly the lines from ``first`` to ``last``; none if they do not."""
        found, place = list[StatedSegment](), first
        while place <= last:
            segment = self._by_place.get((writer, place))
            if segment is None or segment.last_sequence < place:
                return []
            found.append(segment)
            place = segment.last_sequence + 1
        return found if place == last + 1 else []

    def has_end(self, position: Position) -> bool:
        """Tell whether an archived segment ends with this position."""
        return any(
            (each.writer, each.last_sequence, each.last_hash.encode())
            == (position.writer, position.sequence, position.digest)
            for each in self.segments.values()
        )

    def count(self, passed: Iterable[StatedSegment], report: Report, *, archives_given: bool) -> Iterator[str]:
        """Count archived segments in the report of a log that lacks them.

        Yields what is to be said of each that should be there: if the ``archives_given`` are all, only pruned ones may
        be missing.
        """
        for segment in passed:
            if segment.name in self.pruned:
                report.pruned += 1
            elif archives_given:
                yield f"{segment.name} was archived, and is in none of the archives given"
            else:
                folder = ", ".join(sorted(self.folders[segment.name]))
                report.archived[folder] = report.archived.get(folder, 0) + 1

    def covers(self, writer: str, line: int, last: int) -> bool:
        """Tell whether archived segments hold a line of a chain and all that follow it up to ``last``."""
        return any(
            self.between(writer, each.first_sequence, last)
            for each in self.segments.values()
            if each.writer == writer and each.first_sequence <= line <= each.last_sequence
        )

    def _retire(self, speaker: str, retirement: Retirement, record: _Record) -> None:
        if may_retire(speaker, retirement):
            chains = {each.writer: LostChain(retirement.node, record.event_time, each) for each in retirement.chains}
            key = speaker, retirement.node
            self._state(key, self._retired.get(key, {}) | chains, record)

    def _reinstate(self, speaker: str, reinstatement: Reinstatement, record: _Record) -> None:
        """Take back what a chain has stated of a node; what another one states stays, as the two have no order."""
        self._state((speaker, reinstatement.node), {}, record)

    def _state(self, key: tuple[str, NodeId], chains: dict[str, LostChain], record: _Record) -> None:
        """Have these be the lost chains that a chain states of a node, or what it had stated before if that failed."""
        known = self._retired.get(key, {})
        if record.error_code:
            self._retired[key] = self._before.pop(key, known)
        else:
            self._before[key], self._retired[key] = known, chains
        self.lost = {writer: lost for each in self._retired.values() for writer, lost in each.items()}

    def _add_pruned(self, speaker: str, names: Sequence[str]) -> None:
        for name in names:
            segment = parse_name(name)
            if segment is not None and _may_speak_for(speaker, segment.writer):
                self.pruned.add(name)

    def _add_archived(self, speaker: str, archived: _Archived) -> None:
        for segment in archived.segments:
            if _may_speak_for(speaker, segment.writer):
                self.segments[segment.name] = segment
                self.folders.setdefault(segment.name, set()).add(archived.folder)
                self._by_place[segment.writer, segment.first_sequence] = segment


def archive_event(folder: str, segments: Sequence[StatedSegment]) -> OperatorEvent:
    """Return the event of a statement that segments were moved to a folder."""
    return _event(ARCHIVED, "audit archive", {"folder": folder, "segments": segments})


def prune_event(folder: str, names: Sequence[str]) -> OperatorEvent:
    """Return the event of a statement that archived segments were pruned from a folder."""
    return _event(PRUNED, "audit prune", {"folder": folder, "segments": names})


def follow(name: str, lines: Iterable[bytes]) -> Iterator[tuple[bytes, Position, Position]]:
    """Yield each line of a segment with the position of its chain before and after it; given without their newlines.

    Raises DamagedSegmentError at a line that does not continue the chain which the segment's header begins.
    """
    found, position = parse_name(name), None
    if found is None:
        raise DamagedSegmentError(f"`{name}` is not the name of a segment")
    for number, line in enumerate(lines, 1):
        if position is None:
            position = Position(found.writer, found.first - 1, _previous_hash(name, line))
        before, covered = position, line[:-TAIL]
        position = Position(before.writer, before.sequence + 1, sha256(before.digest + covered).hexdigest().encode())
        if claim_of(line) != position:
            raise DamagedSegmentError(f"{name}:{number}: the line, or the one before it, is not what was written")
        yield line, before, position
    if position is None:
        raise DamagedSegmentError(f"{name}: the file is empty")


def end_of(name: str, lines: Iterable[bytes]) -> Position:
    """Return the position of the chain after a whole segment; raises DamagedSegmentError."""
    end = Position("")
    for _, _, position in follow(name, lines):
        end = position
    return end


def require_signed(segments: Iterable[tuple[str, Iterable[bytes]]], verifies: Callable[[bytes, bytes], bool]) -> None:
    """Require a signed checkpoint that covers all of the first segment: at its end, or in those that go on after it.

    They are given by their names and lines, and read as far as needed. Raises DamagedSegmentError.
    """
    first, end = "", Position("")
    for name, lines in segments:
        is_signed = False
        for line, before, position in follow(name, lines):
            if first and before != end:
                raise DamagedSegmentError(f"{name}:1: it does not go on where the segment before it ends")
            is_signed = _is_signed(line, before, verifies)
            if first and is_signed:
                return
            end = position
        if not first and is_signed:
            return
        first = first or name
    raise DamagedSegmentError(f"{first}: no signed checkpoint covers its end")


def signed_records(name: str, lines: Iterable[bytes], verifies: Callable[[bytes, bytes], bool]) -> Iterator[bytes]:
    """Yield the records of a segment that a signed checkpoint of the same segment covers.

    A command signs what it states in the segment that it begins. Lines that were added later are in front of no
    checkpoint of theirs.
    """
    waiting = list[bytes]()
    try:
        for line, before, _ in follow(name, lines):
            if not line.startswith(CHECKPOINT):
                waiting.append(line)
            elif _is_signed(line, before, verifies):
                yield from waiting
                waiting.clear()
    except DamagedSegmentError:
        return  # Verification of the chain finds it, and says what is wrong.


def _event(name: str, command: str, details: Mapping[str, object]) -> OperatorEvent:
    return OperatorEvent(name=name, command=command, source=AUDIT_SOURCE, details=details)


def _previous_hash(name: str, header: bytes) -> bytes:
    found = header_in(header)
    if found is None or found.name != name:
        raise DamagedSegmentError(f"{name}:1: a segment begins with its header")
    return found.previous.encode()


def _is_signed(line: bytes, before: Position, verifies: Callable[[bytes, bytes], bool]) -> bool:
    """Tell whether a line is a checkpoint that the audit key has signed, of the position before it."""
    checkpoint = checkpoint_in(line)
    stated = None if checkpoint is None else checkpoint.read_signed(before.writer, verifies)
    return stated is not None and stated.is_of(before)


def _may_speak_for(speaker: str, writer: str) -> bool:
    commands, other = parse_writer(speaker), parse_writer(writer)
    if commands is None or commands.worker is not None or other is None or other.worker is None:
        return False
    return other.is_of(commands.node)
