"""The audit log notes the position of the database, and its newest note is found again at a start."""

from pathlib import Path

import msgspec
import pytest

from audit_disk import Disk
from strongroom.audit.database_history import DatabasePosition
from strongroom.audit.report import Kind
from strongroom.audit.verification import Verifier
from strongroom.crypto.audit_key import AuditKey
from strongroom.store.audit.segment_reader import walk
from strongroom.store.audit.segments import copies_of_segments, newest_notes, segments_of


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path / "audit", monkeypatch)


def commit(disk: Disk, change: int) -> None:
    disk.signer.position = msgspec.structs.replace(disk.signer.position, change=change)


def noted(disk: Disk) -> list[int]:
    return [note.position.change for note in newest_notes(disk.folder)]


def test_a_segment_begins_with_the_position_and_each_flush_after_a_commit_adds_it(disk: Disk) -> None:
    log = disk.open()
    disk.write(log, "Encrypt", "Decrypt")
    commit(disk, 8)
    disk.write(log, "CreateKey")
    disk.write(log, "Encrypt")
    commit(disk, 9)
    log.checkpoint()
    log.close()
    (lines,) = disk.files()
    kinds = [next(iter(line)) for line in lines]
    assert kinds == [
        "segment",
        "eventName",
        "eventName",
        "eventName",
        "database",
        "eventName",
        "database",
        "checkpoint",
    ]
    assert lines[0]["segment"]["database"]["position"]["change"] == 7
    assert lines[4]["database"] == {
        "position": {"history": 1, "historyId": "0123456789abcdef", "change": 8},
        "time": "2026-09-21T12:00:00Z",
    }
    assert lines[6]["database"]["position"]["change"] == 9
    report = disk.verified()
    assert report.records == 4


def test_the_newest_note_of_each_writer_is_found(disk: Disk) -> None:
    for writer, change in (("w0", 20), ("w1", 10)):
        log = disk.open(writer=writer)
        disk.write(log, "Encrypt")
        commit(disk, change)
        disk.write(log, "CreateKey")
        log.close()
    assert noted(disk) == [20, 10]


def test_the_header_of_a_new_segment_is_enough(disk: Disk) -> None:
    log = disk.open(size=4096)
    commit(disk, 30)
    for _ in range(9):
        disk.write(log, "x" * 1000)
    log.close()
    assert len(segments_of(disk.folder)) > 1
    assert noted(disk) == [30]


def test_segments_that_a_crash_left_without_a_header_are_passed_over(disk: Disk) -> None:
    disk.write(disk.open(), "Encrypt")
    for number in (50, 60):
        (disk.folder / f"2026-09-22T000000Z-w0-{number:012}.jsonl").write_bytes(b'{"segment":{"na')
    assert noted(disk) == [7]


@pytest.mark.parametrize("place", [b'"change":9', b'"change":', b'"hash":"'])
def test_a_note_that_was_altered_is_passed_over(disk: Disk, place: bytes) -> None:
    log = disk.open()
    disk.write(log, "Encrypt")
    commit(disk, 9)
    log.flush()
    (segment,) = segments_of(disk.folder)
    content = bytearray(segment.path.read_bytes())
    content[content.rfind(place) + len(place) - 1] ^= 1
    segment.path.write_bytes(content)
    assert noted(disk) == [7]
    (finding, *_) = disk.findings()
    assert finding.kind is Kind.ALTERED


def test_a_folder_without_notes_has_none(disk: Disk, tmp_path: Path) -> None:
    disk.folder.mkdir()
    assert noted(disk) == []
    assert newest_notes(tmp_path / "missing") == []


@pytest.mark.parametrize(("change", "findings"), [(9, []), (8, [Kind.SET_BACK])])
def test_verification_compares_the_database(disk: Disk, change: int, findings: list[Kind]) -> None:
    log = disk.open()
    disk.write(log, "Encrypt")
    commit(disk, 9)
    log.close()
    verifier = Verifier(AuditKey(bytes(32)).public().verifies, disk.signer.writers)
    walk(copies_of_segments([disk.folder]), verifier, lambda _: None)
    position = DatabasePosition(1, "0123456789abcdef", change)
    assert [each.kind for each in verifier.finish(disk.signer.writers, position).findings] == findings
