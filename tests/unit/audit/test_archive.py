"""Statements about archived segments: what they say, when they count, and how verification goes on after them."""

from collections.abc import Sequence

import msgspec
import pytest

from strongroom.audit.archive import (
    DamagedSegmentError,
    StatedSegment,
    Statements,
    archive_event,
    end_of,
    prune_event,
    signed_records,
)
from strongroom.audit.chain import (
    Checkpoint,
    Header,
    KnownWriter,
    Position,
    header_body,
    link,
    segment_name,
    statement_of,
)
from strongroom.audit.operator_events import Circumstances, OperatorEvent, operator_event
from strongroom.audit.report import Kind, Report
from strongroom.audit.user_identity import operating_system_user
from strongroom.audit.verification import Verifier

NOW = 1_790_000_000.0
NODE = "a1b2c3d4e5f6"
WRITER = f"{NODE}w0"
COMMANDS = f"{NODE}cli"
RECORD = b'{"eventName":"Encrypt"}'
AT = Circumstances(operator=operating_system_user(0, "root", ""), region="us-east-1", now=NOW, event_id="id")


class Segment:
    """A segment after a position, with a checkpoint at its end if it is ``signed``."""

    def __init__(self, after: Position, bodies: Sequence[bytes], *, signed: bool = True) -> None:
        self.name = segment_name(NOW, after)
        self.lines: list[bytes] = []
        self.position = after
        for body in (header_body(Header(self.name, after.digest.decode())), *bodies):
            self._add(body)
        if signed:
            self._add(msgspec.json.encode(Checkpoint(msgspec.Raw(statement_of(self.position, NOW)), b"good")))

    def _add(self, body: bytes) -> None:
        line, self.position = link([body], self.position)
        self.lines.append(line.rstrip(b"\n"))

    @property
    def stated(self) -> StatedSegment:
        return StatedSegment(self.name, self.position.sequence, self.position.digest.decode(), "2026-09-22T000000Z")


def verifies(_message: bytes, signature: bytes) -> bool:
    return signature == b"good"


def chain(count: int) -> list[Segment]:
    found, after = list[Segment](), Position(WRITER)
    for _ in range(count):
        found.append(Segment(after, [RECORD] * 3))
        after = found[-1].position
    return found


def statements_of(*events: OperatorEvent, speaker: str = COMMANDS) -> Statements:
    stated = Statements()
    for event in events:
        stated.add(speaker, operator_event(event, AT))
    return stated


def walked(segments: Sequence[Segment], stated: Statements, *, archives_given: bool = False) -> Report:
    verifier = Verifier(verifies, None, stated=stated, archives_given=archives_given)
    for segment in segments:
        verifier.begin(segment.name)
        verifier.lines(segment.lines)
        verifier.end(b"", newest=segment is segments[-1])
    return verifier.finish({})


def kinds(report: Report) -> list[Kind]:
    return [finding.kind for finding in report.findings]


def test_verification_goes_on_after_archived_segments_at_the_beginning_and_between() -> None:
    one, two, three, four = chain(4)
    stated = statements_of(archive_event("/a", [one.stated]), archive_event("/b", [two.stated, three.stated]))
    report = walked([four], stated)
    assert kinds(report) == []
    assert report.archived == {"/a": 1, "/b": 2}
    assert kinds(walked([one, four], stated)) == []
    assert kinds(walked([two, four], stated)) == []
    assert kinds(walked([one, two, three, four], stated)) == []


def test_what_was_not_archived_is_missing() -> None:
    one, two, three, four = chain(4)
    stated = statements_of(archive_event("/a", [one.stated, three.stated]))
    assert kinds(walked([three, four], stated)) == [Kind.FILE_MISSING]
    assert kinds(walked([one, two, four], statements_of(archive_event("/a", [one.stated])))) == [Kind.FILE_MISSING]


def test_a_segment_must_go_on_from_the_stated_hash() -> None:
    one, two = chain(2)
    other = msgspec.structs.replace(one.stated, last_hash="0" * 64)
    assert kinds(walked([two], statements_of(archive_event("/a", [other])))) == [Kind.ALTERED]
    longer = msgspec.structs.replace(one.stated, last_sequence=one.stated.last_sequence + 1)
    assert kinds(walked([two], statements_of(archive_event("/a", [longer])))) == [Kind.FILE_MISSING]


def test_a_segment_that_was_archived_cannot_come_back_as_another_one() -> None:
    """Nothing in it goes on after it: the segments between were archived, too."""
    one, two, three = chain(3)
    stated = statements_of(archive_event("/a", [one.stated, two.stated]))
    assert kinds(walked([one, three], stated)) == []
    forged = Segment(Position(WRITER), [b'{"eventName":"Forged"}'] * 4, signed=False)
    assert forged.position.sequence == one.position.sequence
    report = walked([forged, three], stated)
    assert [(each.kind, each.text) for each in report.findings] == [
        (Kind.ALTERED, "the lines up to 5 are not those that were archived")
    ]


def test_with_all_archives_given_only_pruned_segments_may_be_missing() -> None:
    one, two, three = chain(3)
    archived = archive_event("/a", [one.stated, two.stated])
    report = walked([three], statements_of(archived, prune_event("/a", [one.name])), archives_given=True)
    assert kinds(report) == [Kind.FILE_MISSING]
    assert two.name in report.findings[0].text
    assert report.pruned == 1


def test_a_database_that_was_set_back_may_have_its_checkpoint_in_the_archive() -> None:
    one, two, three = chain(3)
    stated = statements_of(archive_event("/a", [one.stated, two.stated]))
    place = Position(WRITER, one.position.sequence - 1, one.lines[-1][-67:-3])
    for signature, expected in ((b"good", []), (b"bad", [Kind.BAD_SIGNATURE])):
        kept = Checkpoint(msgspec.Raw(statement_of(place, NOW)), signature)
        known = {WRITER: KnownWriter(kept, stopped=True)}
        verifier = Verifier(verifies, known, stated=stated)
        verifier.begin(three.name)
        verifier.lines(three.lines)
        verifier.end(b"", newest=True)
        assert kinds(verifier.finish(known)) == expected
    assert stated.covers(WRITER, place.sequence, two.position.sequence)
    assert stated.covers(WRITER, two.position.sequence, two.position.sequence)
    assert not stated.covers(WRITER, 1, three.position.sequence)
    assert not stated.covers(f"{NODE}w1", 1, two.position.sequence)


def test_commands_speak_for_the_workers_of_their_node_only() -> None:
    one, two = chain(2)
    event = archive_event("/a", [one.stated])
    for speaker in ("0" * 12 + "cli", WRITER, "w0", "cli"):
        assert kinds(walked([two], statements_of(event, speaker=speaker))) == [Kind.FILE_MISSING]
    archived = statements_of(event)
    archived.add("0" * 12 + "cli", operator_event(prune_event("/a", [one.name]), AT))
    assert kinds(walked([two], archived, archives_given=True)) == [Kind.FILE_MISSING]
    own = msgspec.structs.replace(one.stated, name=one.name.replace(WRITER, COMMANDS))
    assert statements_of(archive_event("/a", [own])).segments == {}


def test_records_that_only_look_like_statements_say_nothing() -> None:
    (one,) = chain(1)
    event = archive_event("/a", [one.stated])
    for other in (
        msgspec.structs.replace(event, source="kms.amazonaws.com"),
        msgspec.structs.replace(event, name="CreateAccount"),
        msgspec.structs.replace(event, details={"folder": "/a", "segments": [{"name": 5}]}),
    ):
        assert statements_of(other).segments == {}
    stated = Statements()
    stated.add(COMMANDS, b"no json")
    assert stated.segments == {}


def test_only_what_a_checkpoint_of_the_same_segment_covers_is_signed() -> None:
    signed = Segment(Position(COMMANDS), [b'{"eventName":"One"}'])
    (_, record) = signed_records(signed.name, signed.lines, verifies)
    assert record.startswith(b'{"eventName":"One"')
    unsigned = Segment(signed.position, [b'{"eventName":"Two"}'], signed=False)
    assert list(signed_records(unsigned.name, unsigned.lines, verifies)) == []
    assert list(signed_records(signed.name, signed.lines, lambda _message, _signature: False)) == []
    added = [*signed.lines, *Segment(signed.position, [b'{"eventName":"Three"}'], signed=False).lines[1:]]
    assert len(list(signed_records(signed.name, added, verifies))) == 2
    altered = [line.replace(b"One", b"Two") for line in signed.lines]
    assert list(signed_records(signed.name, altered, verifies)) == []


def test_the_end_of_a_segment_that_is_whole_and_of_none_else() -> None:
    (one,) = chain(1)
    assert end_of(one.name, one.lines) == one.position
    for lines in (
        [],
        one.lines[1:],
        [*one.lines[:2], *one.lines[3:]],
        [*one.lines, b"{}"],
        [line.replace(b"Encrypt", b"Decrypt") for line in one.lines],
    ):
        with pytest.raises(DamagedSegmentError):
            end_of(one.name, lines)
    with pytest.raises(DamagedSegmentError):
        end_of("other.jsonl", one.lines)
    with pytest.raises(DamagedSegmentError):
        end_of(segment_name(NOW + 1, Position(WRITER)), one.lines)
