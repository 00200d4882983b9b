"""How far a chain had come when its process ended: what a kill, a failure of the machine and damage leave."""

import os
from pathlib import Path

import pytest

from audit_disk import Disk
from strongroom.audit.recorded_end import RecordedEnd
from strongroom.audit.report import Kind
from strongroom.store.audit.end_file import EndFile, read_end
from strongroom.store.audit.segments import segments_of


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path / "audit", monkeypatch)


def killed(disk: Disk, *names: str, durability: str = "write") -> None:
    """Write records, and end without a stop after the checkpoint before them."""
    log = disk.open("fsync" if durability == "fsync" else "write")
    log.checkpoint()
    disk.write(log, *names)


def lose(disk: Disk, count: int) -> None:
    """Cut the last lines off, or remove the segment if it has no more."""
    path = segments_of(disk.folder)[-1].path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-count]))


def goes_on(disk: Disk) -> None:
    """Start and stop a server."""
    disk.clock.advance(1)
    log = disk.open()
    disk.write(log, "later")
    log.close()


def test_after_a_kill_nothing_is_said(disk: Disk) -> None:
    killed(disk, "one", "two")
    assert disk.verified().machine_failures == 0
    goes_on(disk)
    assert disk.verified().machine_failures == 0


def test_lines_that_are_lost_although_the_machine_went_on_are_found(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    killed(disk, "one", "two", "three")
    lose(disk, 2)
    (finding,) = disk.findings()
    assert (finding.kind, finding.text) == (Kind.TRUNCATED, "2 lines that were written before this are missing now")
    goes_on(disk)
    assert "2 lines that audit writer w0 has written after 2 are missing" in caplog.text
    (finding,) = disk.findings()
    assert finding.text == "2 lines that were written before this are missing when a server started"
    goes_on(disk)
    assert len(disk.findings()) == 1


def test_a_removed_segment_is_found(disk: Disk) -> None:
    disk.open().close()
    killed(disk, "one", "two")
    segments_of(disk.folder)[-1].path.unlink()
    (finding,) = disk.findings()
    assert finding.kind is Kind.TRUNCATED
    goes_on(disk)
    assert [finding.kind for finding in disk.findings()] == [Kind.TRUNCATED]


def test_a_failure_of_the_machine_is_a_note(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    killed(disk, "one", "two", "three")
    lose(disk, 2)
    disk.clock.restart()
    report = disk.verified()
    assert (report.machine_failures, report.missing) == (1, 2)
    goes_on(disk)
    assert "its last records may be missing, 2 lines are known to be" in caplog.text
    report = disk.verified()
    assert (report.machine_failures, report.missing) == (1, 2)
    assert disk.files()[-1][0]["segment"]["machineFailed"]
    goes_on(disk)
    assert disk.verified().machine_failures == 1


def test_a_failure_of_the_machine_loses_nothing_that_was_synced(disk: Disk) -> None:
    killed(disk, "one", "two", durability="fsync")
    disk.clock.restart()
    assert disk.verified().machine_failures == 0
    lose(disk, 1)
    assert [finding.kind for finding in disk.findings()] == [Kind.TRUNCATED]


def test_after_a_stop_a_restart_of_the_machine_is_nothing(disk: Disk) -> None:
    goes_on(disk)
    disk.clock.restart()
    goes_on(disk)
    assert disk.verified().machine_failures == 0


def test_a_header_that_cannot_be_written_is_not_counted(disk: Disk) -> None:
    log = disk.open(size=1)
    disk.write(log, "one")
    disk.fill(left=700)
    with pytest.raises(Exception, match="audit record"):
        disk.write(log, "two")
    disk.repair()
    end = read_end(disk.folder, "w0")
    assert end is not None
    assert end.sequence == log._chain.position.sequence


def test_without_a_place_for_the_file_calls_go_on(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.folder.mkdir()
    (disk.folder / "w0.end").mkdir()
    killed(disk, "one")
    assert "the end of the audit log cannot be noted" in caplog.text
    assert disk.events() == ["one"]


def test_a_damaged_file_never_says_that_lines_are_missing(tmp_path: Path) -> None:
    """One flipped bit gives a lower number or the same, another boot, or nothing."""
    file = EndFile(tmp_path, "w0", RecordedEnd(5, "boot 1", synced=False))
    file.record(1000)
    path = tmp_path / "w0.end"
    intact = path.read_bytes()
    for bit in range(8 * len(intact.rstrip(b"\n"))):
        changed = bytearray(intact)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        found = read_end(tmp_path, "w0")
        assert found is None or found.sequence <= 1000
    for size in range(len(intact)):
        path.write_bytes(intact)
        os.truncate(path, size)
        found = read_end(tmp_path, "w0")
        assert found is None or found == RecordedEnd(1000, "boot 1", synced=False)


def damage(disk: Disk, before_end: int) -> None:
    """Make zeros of a part of one of the last lines, as a disk does that has not written all of its sectors."""
    path = segments_of(disk.folder)[-1].path
    lines = path.read_bytes().splitlines(keepends=True)
    line = lines[-before_end]
    lines[-before_end] = bytes(10) + line[10:]
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("durability", ["write", "fsync"])
def test_a_line_that_the_end_of_the_machine_has_damaged_is_a_note(disk: Disk, durability: str) -> None:
    killed(disk, "one", "two", "three", durability=durability)
    damage(disk, 2)
    assert [finding.kind for finding in disk.findings()] == [Kind.ALTERED]
    disk.clock.restart()
    goes_on(disk)
    assert disk.verified().damaged == 2
    goes_on(disk)
    assert disk.verified().damaged == 2
    # Lines before them are not excused, and the damaged ones only as they were found.
    path = segments_of(disk.folder)[0].path
    found = path.read_bytes()
    for name, altered in ((b'"one"', b'"oNe"'), (b'"two"', b'"tWo"'), (b'"three"', b'"tHree"')):
        path.write_bytes(found.replace(name, altered))
        assert {finding.kind for finding in disk.findings()} == {Kind.ALTERED}


def test_damage_over_the_end_of_a_line_is_a_note(disk: Disk) -> None:
    """Two lines have become one, so that the next seems to be one too far."""
    killed(disk, "one", "two", "three", "four", durability="fsync")
    path = segments_of(disk.folder)[-1].path
    *before, two, three, four = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*before, two[:-10], bytes(20), three[10:], four]))
    assert [finding.kind for finding in disk.findings()] == [Kind.REMOVED]
    disk.clock.restart()
    goes_on(disk)
    assert disk.verified().damaged == 2
    # A line that is removed from them is not excused.
    first = segments_of(disk.folder)[0].path
    first.write_bytes(b"".join([*before, two[:-10], bytes(20), three[10:]]))
    assert Kind.REMOVED in {finding.kind for finding in disk.findings()}


def test_a_damaged_line_is_not_excused_by_a_kill_nor_after_a_checkpoint(disk: Disk) -> None:
    killed(disk, "one", "two")
    damage(disk, 1)
    goes_on(disk)
    assert [finding.kind for finding in disk.findings()] == [Kind.ALTERED]
    damage(disk, 2)
    disk.clock.restart()
    goes_on(disk)
    assert [finding.kind for finding in disk.findings()] == [Kind.ALTERED, Kind.ALTERED]


def test_damage_that_a_later_start_finds_again_is_still_a_note(disk: Disk) -> None:
    """No checkpoint has covered it meanwhile, and the machine has ended again."""
    killed(disk, "one", "two", "three")
    damage(disk, 2)
    disk.clock.restart()
    disk.write(disk.open(), "four", "five")
    assert disk.verified().damaged == 2
    damage(disk, 1)
    disk.clock.restart()
    goes_on(disk)
    assert disk.verified().damaged == 5


def test_a_damaged_checkpoint_between_two_files_is_a_note(disk: Disk) -> None:
    log = disk.open(size=1)
    disk.write(log, "one")
    disk.write(log, "two")
    path = segments_of(disk.folder)[0].path
    *lines, checkpoint = path.read_bytes().splitlines(keepends=True)
    assert checkpoint.startswith(b'{"checkpoint"')
    path.write_bytes(b"".join([*lines, bytes(10) + checkpoint[10:]]))
    disk.clock.restart()
    goes_on(disk)
    assert disk.verified().damaged == 3
