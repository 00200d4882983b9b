"""An attacker without the key cannot have an alteration of signed lines excused, by headers or anything else."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_disk import Disk
from strongroom.audit.chain import (
    CHECKPOINT,
    GENESIS,
    HEADER,
    Checkpoint,
    Header,
    Position,
    claim_of,
    continues,
    header_body,
    header_in,
    link,
    segment_name,
)
from strongroom.audit.recorded_end import RecordedEnd
from strongroom.audit.report import Kind
from strongroom.store.audit.end_file import EndFile
from strongroom.store.audit.segments import segments_of

CHAIN = re.compile(rb',"chain":\{[^{}]*\}\}\n\Z')
WRITER = "w0"
Lines = list[tuple[str, bytes]]
T = TypeVar("T")


class Attacked:
    """A log that a server has written and signed, whose folder an attacker without the key can write."""

    def __init__(self, folder: Path) -> None:
        self.disk = Disk(folder / "audit", pytest.MonkeyPatch())
        self.signed: dict[tuple[str, int], bytes] = {}
        """Every line that a checkpoint covers, by its file and place."""

    def serve(self, *, stops: bool = False, machine: bool = False, records: int = 3) -> None:
        """Serve for a while after a stop or a kill, or after the machine has ended; then stop, or be killed."""
        self.disk.clock.advance(1)
        if machine:
            self.disk.clock.restart(60)
        log = self.disk.open(size=1500)
        for _ in range(2):
            for number in range(records):
                self.disk.write(log, f"event{number}")
            log.checkpoint()
        if stops:
            log.close()
        else:
            self.disk.write(log, "late", "later")
        self._note_signed()

    def _note_signed(self) -> None:
        checkpoint = self.disk.signer.writers[WRITER].checkpoint
        assert checkpoint is not None
        last = checkpoint.read().sequence
        placed = list(self._placed())
        claims = [claim_of(line[:-1]) for _, line in placed]
        end = max(index for index, claim in enumerate(claims) if claim is not None and claim.sequence <= last)
        for place, line in placed[: end + 1]:
            self.signed.setdefault(place, line)

    def _placed(self) -> Iterator[tuple[tuple[str, int], bytes]]:
        for segment in segments_of(self.disk.folder):
            for number, line in enumerate(segment.path.read_bytes().splitlines(keepends=True)):
                yield (segment.name, number), line

    def is_as_signed(self) -> bool:
        """Tell whether every signed line is where it was."""
        return self.signed.items() <= dict(self._placed()).items()

    def lines(self) -> Lines:
        return [(name, line) for (name, _), line in self._placed()]

    def put(self, lines: Lines) -> None:
        for segment in segments_of(self.disk.folder):
            segment.path.unlink()
        files: dict[str, bytes] = {}
        for name, line in lines:
            files[name] = files.get(name, b"") + line
        for name, content in files.items():
            (self.disk.folder / name).write_bytes(content)

    def kinds(self) -> set[Kind]:
        return {finding.kind for finding in self.disk.findings()}


def served(folder: Path, *, stopped: bool) -> Attacked:
    """Return a log with kills and an end of the machine that has damaged a line; no finding is in it."""
    found = Attacked(folder)
    found.serve()
    damaged = found.lines()
    name, line = damaged[-2]
    damaged[-2] = name, bytes(20) + line[20:]
    found.put(damaged)
    found.serve(machine=True)
    found.serve(stops=stopped)
    found.serve(stops=stopped)
    assert found.disk.verified().damaged == 2
    return found


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Attacked]:
    return {stopped: served(tmp_path_factory.mktemp("served"), stopped=stopped) for stopped in (False, True)}


@contextmanager
def copied(original: Attacked) -> Iterator[Attacked]:
    with tempfile.TemporaryDirectory() as scratch:
        found = Attacked(Path(scratch))
        shutil.copytree(original.disk.folder, found.disk.folder)
        found.disk.signer.writers.update(original.disk.signer.writers)
        found.disk.clock = copy(original.disk.clock)
        found.signed.update(original.signed)
        yield found


@pytest.fixture
def found(scenes: dict[bool, Attacked]) -> Iterator[Attacked]:
    with copied(scenes[False]) as found:
        yield found


def before(lines: Lines, index: int) -> Position:
    """Return what the line before a place states, the beginning of the chain if it states nothing."""
    claim = claim_of(lines[index - 1][1][:-1]) if index else None
    return claim or Position(WRITER)


def chained(lines: Lines, first: int, last: int) -> Lines:
    """Chain some lines anew, as they follow from the line before them, which needs no key."""
    found, position = list(lines), before(lines, first)
    for index in range(first, last):
        name, line = found[index]
        body = CHAIN.sub(b"}", line)
        if body.startswith(HEADER):
            body = re.sub(rb'"previous":"\w+"', b'"previous":"%b"' % position.digest, body)
        linked, position = link([body.rstrip(b"\n")], position)
        found[index] = name, linked
    return found


def breaks(lines: Lines) -> list[int]:
    """Return where lines do not follow from the one before."""
    found = []
    for index, (_, line) in enumerate(lines):
        digest = before(lines, index).digest if index else GENESIS
        if claim_of(line[:-1]) is None or not continues(line[:-1], digest):
            found.append(index)
    return found


def altered(lines: Lines, index: int) -> Lines:
    """Change a record, a header or a checkpoint so that it means something else, and leave its chain as it is."""
    name, line = lines[index]
    changed = line.replace(b'"event', b'"other', 1) if b'"event' in line else line.replace(b":", b": ", 1)
    return [*lines[:index], (name, changed), *lines[index + 1 :]]


WAYS = ("as notes", "unchained", "after another line")


def without_checkpoints(lines: Lines, first: int, last: int, how: str) -> Lines:
    """Leave checkpoints out of judgement: as notes that are none, or because they do not follow from the line before.

    What comes after a line that is changed for that follows from what it states now.
    """
    found = list(lines)
    for index in range(first, last):
        name, line = found[index]
        if not line.startswith(CHECKPOINT):
            continue
        if how == "as notes":
            found[index] = name, line.replace(CHECKPOINT, b'{"note":', 1)
        elif how == "unchained" or not index or lines[index - 1][1].startswith(CHECKPOINT):
            found[index] = name, _with_another_hash(line)
        else:
            found[index - 1] = found[index - 1][0], _with_another_hash(found[index - 1][1])
    return found


def _with_another_hash(line: bytes) -> bytes:
    return line[:-5] + (b"0" if line[-5:-4] != b"0" else b"1") + line[-4:]


def excuse(lines: Lines, since: int, until: int, at: float) -> tuple[str, Header]:
    """Return a header that says that the machine's end has left all lines from a place on, and its file's name."""
    position = before(lines, until)
    name = segment_name(at, position)
    damage = sha256(before(lines, since).digest + b"".join(line for _, line in lines[since:until])).hexdigest()
    return name, Header(
        name,
        position.digest.decode(),
        uncovered=position.sequence,
        machine_failed=True,
        damaged=until - since,
        damaged_hash=damage,
    )


def with_header(lines: Lines, header: tuple[str, Header]) -> Lines:
    """Add a segment with nothing but a header."""
    name, content = header
    return [*lines, (name, link([header_body(content)], before(lines, len(lines)))[0])]


def end_elsewhere(found: Attacked) -> None:
    """Note, as if by the process before, an end under another start of the machine."""
    last = before(found.lines(), len(found.lines()))
    EndFile(found.disk.folder, WRITER, RecordedEnd(last.sequence, "another boot", synced=False))


def found_from_now_on(found: Attacked) -> None:
    """Require a finding now, after starts, and after the machine's end."""
    assert not found.is_as_signed()
    assert found.kinds()
    for machine in (False, True):
        found.serve(machine=machine)
        assert found.kinds()
    found.serve(stops=True)
    assert found.kinds()


@pytest.mark.parametrize("since", ["the altered line", "the beginning"])
def test_a_header_that_calls_a_signed_line_damaged_excuses_nothing(found: Attacked, since: str) -> None:
    whole = found.lines()
    lines = altered(whole, index := 3)
    begin = index if since == "the altered line" else 0
    found.put(with_header(lines, excuse(lines, begin, len(lines), found.disk.clock.now())))
    found_from_now_on(found)


@pytest.mark.parametrize("how", WAYS)
def test_a_header_that_calls_all_lines_damaged_needs_the_checkpoints_before_it(found: Attacked, how: str) -> None:
    """The alteration, and all checkpoints after it, are in what the header excuses."""
    lines = altered(found.lines(), 3)
    lines = without_checkpoints(lines, 3, len(lines), how)
    begin = breaks(lines)[0]
    found.put(with_header(lines, excuse(lines, begin, len(lines), found.disk.clock.now())))
    end_elsewhere(found)
    found_from_now_on(found)


def test_a_second_header_does_not_excuse_what_a_start_has_said_of_the_first(found: Attacked) -> None:
    """The start between them was killed before it has signed anything."""
    lines = altered(found.lines(), 3)
    lines = without_checkpoints(lines, 3, len(lines), "after another line")
    begin = breaks(lines)[0]
    for _ in range(2):
        found.put(with_header(lines, excuse(lines, begin, len(lines), found.disk.clock.now())))
        found.disk.clock.advance(1)
        found.disk.write(found.disk.open(), "killed")
        found.disk.clock.advance(1)
        lines = found.lines()
    found_from_now_on(found)


@pytest.mark.parametrize("how", WAYS)
def test_a_history_before_damaged_lines_cannot_be_written_anew(found: Attacked, how: str) -> None:
    """The damage is a place where lines need not follow from those before."""
    whole = found.lines()
    damaged = next(index for index, (_, line) in enumerate(whole) if line.startswith(b"\0"))
    lines = altered(without_checkpoints(whole, 0, damaged, how), 3)
    found.put(chained(lines, 0, damaged))
    found_from_now_on(found)


@pytest.mark.parametrize("place", ["first damaged line", "second damaged line"])
def test_damaged_lines_stay_as_they_were_found(found: Attacked, place: str) -> None:
    lines = found.lines()
    index = next(index for index, (_, line) in enumerate(lines) if line.startswith(b"\0"))
    index += place.startswith("second")
    name, line = lines[index]
    lines[index] = name, line.replace(b'"late', b'"fake') if b'"late' in line else b"\1" + line[1:]
    found.put(lines)
    found_from_now_on(found)


def test_a_file_with_damaged_lines_before_it_keeps_its_name(found: Attacked) -> None:
    """A header does not excuse what is wrong with itself."""
    headers = [(name, header_in(line)) for name, line in found.lines()]
    name = next(name for name, header in headers if header is not None and header.damaged)
    (found.disk.folder / name).rename(found.disk.folder / name.replace("2026-", "2025-"))
    found_from_now_on(found)


def test_a_checkpoint_in_another_place_is_not_taken_for_the_one_that_a_start_looks_for(found: Attacked) -> None:
    checkpoint = found.disk.signer.writers[WRITER].checkpoint
    assert checkpoint is not None
    lines = without_checkpoints(altered(found.lines(), 3), 3, len(found.lines()), "as notes")
    lines = chained(lines, 3, len(lines))
    body = msgspec.json.encode(Checkpoint(checkpoint.statement, checkpoint.signature))
    linked, _ = link([body], before(lines, len(lines)))
    found.put([*lines, (lines[-1][0], linked)])
    found_from_now_on(found)


class Draws:
    """Choices that Hypothesis makes."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def below(self, count: int) -> int:
        return self._data.draw(st.integers(0, count - 1))

    def choice(self, of: Sequence[T]) -> T:
        return of[self.below(len(of))]

    def sometimes(self) -> bool:
        return self._data.draw(st.booleans())


def random_moves(draw: Draws, found: Attacked) -> None:
    """Do some of what an attacker can do to the files."""
    moves: list[Callable[[Lines], Lines]] = [
        lambda lines: altered(lines, draw.below(len(lines))),
        lambda lines: (at := draw.below(len(lines)), [*lines[:at], *lines[at + 1 :]])[1],
        lambda lines: (at := draw.below(len(lines)), [*lines[: at + 1], *lines[at:]])[1],
        lambda lines: _swapped(lines, draw.below(len(lines)), draw.below(len(lines))),
        lambda lines: without_checkpoints(lines, *_range(draw, lines), draw.choice(WAYS)),
        lambda lines: chained(lines, *_range(draw, lines)),
        lambda lines: chained(lines, draw.below(len(lines)), len(lines)),
        lambda lines: lines[: draw.below(len(lines)) + 1],
        lambda lines: with_header(lines, excuse(lines, _break(draw, lines), len(lines), found.disk.clock.now())),
        lambda lines: _with_header_in_place(draw, lines),
    ]
    for _ in range(1 + draw.below(5)):
        lines = found.lines()
        if len(lines) > 1:
            found.put(draw.choice(moves)(lines))
    if draw.sometimes():
        end_elsewhere(found)


def _swapped(lines: Lines, one: int, other: int) -> Lines:
    found = list(lines)
    found[one], found[other] = (found[one][0], found[other][1]), (found[other][0], found[one][1])
    return found


def _range(draw: Draws, lines: Lines) -> tuple[int, int]:
    first, last = sorted((draw.below(len(lines)), draw.below(len(lines))))
    return first, last + 1


def _break(draw: Draws, lines: Lines) -> int:
    found = breaks(lines)
    return draw.choice(found) if found and draw.sometimes() else draw.below(len(lines))


def _with_header_in_place(draw: Draws, lines: Lines) -> Lines:
    """Put a header that excuses what is before it in the place of one that is there."""
    found = list(lines)
    at = draw.choice([index for index, (_, line) in enumerate(lines) if line.startswith(HEADER)] or [0])
    _, header = excuse(lines, min(at, _break(draw, lines)), at, 0.0)
    name = lines[at][0]
    found[at] = name, link([header_body(msgspec.structs.replace(header, name=name))], before(lines, at))[0]
    return found


@given(data=st.data(), stopped=st.booleans())
@settings(max_examples=150)
def test_whatever_is_done_to_signed_lines_is_found(
    scenes: dict[bool, Attacked],
    data: st.DataObject,
    stopped: bool,  # noqa: FBT001 - a drawn value
) -> None:
    """One attack after the other, with starts, stops and ends of the machine between them."""
    draw = Draws(data)
    with copied(scenes[stopped]) as found:
        for _ in range(1 + draw.below(3)):
            random_moves(draw, found)
            assert found.is_as_signed() or found.kinds()
            if draw.sometimes():
                found.serve(stops=draw.sometimes(), machine=draw.sometimes())
                assert found.is_as_signed() or found.kinds()
