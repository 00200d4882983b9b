import itertools
import os
import stat
from pathlib import Path
from threading import Thread

import pytest

from audit_disk import Disk, broken
from server_processes import wait_until
from shipping import MemoryDestination, content_of, fill, ship, ship_to_folder, shipper_of
from strongroom.clock import SystemClock
from strongroom.errors import KMSInternalException
from strongroom.shipping.folder import MARK, FolderDestination
from strongroom.shipping.progress import DamagedProgressError, Progress, has_taken
from strongroom.store.audit.end_file import read_end
from strongroom.store.audit.segment_source import CutSegment, Source
from strongroom.store.audit.segments import segments_of


def test_a_folder_becomes_byte_for_byte_the_log(disk: Disk, copy: Path) -> None:
    logs = [disk.open(size=4096, writer=writer) for writer in ("w0", "w1", "a1b2c3d4e5f6cli")]
    for round_ in range(5):
        for log in logs:
            fill(disk, log, 10 * round_ + 1)
        disk.clock.advance(3)
        assert ship_to_folder(disk, copy) == ""
        assert content_of(copy) == content_of(disk.folder)
    for log in logs:
        log.close()
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == content_of(disk.folder)
    assert len(content_of(copy)) > 6
    modes = {stat.S_IMODE(path.stat().st_mode) for path in copy.iterdir()}
    assert modes == {0o600}


def test_lines_of_a_flush_that_failed_are_not_shipped(disk: Disk, copy: Path) -> None:
    log = disk.open()
    disk.write(log, "before")
    path = segments_of(disk.folder)[0].path
    committed = path.read_bytes()
    # As while a write goes on that will fail: whole lines are in the file that the writer will cut off again.
    shown = committed.splitlines(keepends=True)[-1].replace(b'"sequence":2', b'"sequence":3')
    path.write_bytes(committed + shown)
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == {path.name: committed}
    path.write_bytes(committed)
    with broken(log), pytest.raises(KMSInternalException):
        disk.write(log, "fails")
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == {path.name: committed}
    disk.write(log, "after")
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == content_of(disk.folder)


def test_without_a_noted_end_a_file_that_is_written_is_not_shipped_before_it_rests(disk: Disk, copy: Path) -> None:
    log = disk.open()
    disk.write(log, "event")
    (disk.folder / "w0.end").unlink()
    path = segments_of(disk.folder)[0].path
    os.utime(path, (disk.clock.now(), disk.clock.now()))
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == {}
    disk.clock.advance(120)
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == content_of(disk.folder)


def test_what_a_crash_of_the_machine_has_taken_from_the_log_is_kept_beside_the_copy(disk: Disk, copy: Path) -> None:
    log = disk.open()
    fill(disk, log, 20)
    assert ship_to_folder(disk, copy) == ""
    path = segments_of(disk.folder)[0].path
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    kept = b"".join(lines[:12])
    # The machine fails: the last lines were not on disk.
    path.write_bytes(kept)
    disk.clock.restart(60)
    again = disk.open()
    fill(disk, again, 3)
    assert ship_to_folder(disk, copy) == ""
    again.close()
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == content_of(disk.folder)
    lost = [each for each in copy.iterdir() if ".cut-off-" in each.name]
    assert [each.read_bytes() for each in lost] == [b"".join(lines[12:])]


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_what_a_crash_of_the_machine_has_taken_from_the_log_does_not_count_as_taken(
    disk: Disk, copy: Path, damage: str
) -> None:
    """Also where the file keeps its length, and lines that cannot be read are at its end."""
    log = disk.open()
    fill(disk, log, 20)
    shipper = shipper_of(disk.folder, copy.parent / "state", FolderDestination(copy), disk.clock)
    ship(shipper)
    segment, last = log.last_line_place()
    assert shipper.taken("w0", segment) == last
    path = disk.folder / segment
    lines = path.read_bytes().splitlines(keepends=True)
    lost = [] if damage == "cut" else [b"\0" * (len(each) - 1) + b"\n" for each in lines[12:]]
    path.write_bytes(b"".join([*lines[:12], *lost]))
    disk.clock.restart(60)
    again = disk.open()
    fill(disk, again, 3)
    after = shipper_of(disk.folder, copy.parent / "state", FolderDestination(copy), disk.clock)
    assert again.last_line() < log.last_line()
    assert after.taken("w0", again.last_line_place()[0]) == 0
    ship(after)
    assert after.taken("w0", again.last_line_place()[0]) == again.last_line()


@pytest.mark.parametrize("left", ["a part of a line", "damaged lines", "nothing"])
def test_the_place_where_a_segment_was_cut_off_has_its_number(disk: Disk, copy: Path, left: str) -> None:
    """Otherwise all lines of the chain would be counted as such that wait, and be shown to the operator."""
    log = disk.open(size=8000)
    fill(disk, log, 100)
    assert ship_to_folder(disk, copy) == ""
    last = segments_of(disk.folder)[-1]
    lines = last.path.read_bytes().splitlines(keepends=True)
    assert len(lines) > 3
    kept = {"a part of a line": b"".join(lines[:3]) + b"{", "damaged lines": b"\0\n", "nothing": b""}[left]
    last.path.write_bytes(kept)
    place = Progress(copy.parent / "state", "there").load()["w0"]
    found = Source(disk.folder, disk.clock.now).next("w0", place, 1 << 20)
    assert isinstance(found, CutSegment)
    assert found.after.offset == found.size == len(kept)
    assert found.after.sequence == (last.first + 2 if left == "a part of a line" else last.first - 1)


def test_another_folder_in_its_place_is_refused_until_it_is_accepted(disk: Disk, copy: Path, tmp_path: Path) -> None:
    log = disk.open(size=4096)
    fill(disk, log, 40)
    assert ship_to_folder(disk, copy) == ""
    copy.rename(tmp_path / "unmounted")
    copy.mkdir()
    fill(disk, log, 40)
    refused = ship_to_folder(disk, copy)
    assert f"run: touch {copy / MARK}" in refused
    assert list(copy.iterdir()) == []
    # Mounted again.
    copy.rmdir()
    (tmp_path / "unmounted").rename(copy)
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == content_of(disk.folder)
    # A new disk, which is to get all of it.
    copy.rename(tmp_path / "old")
    copy.mkdir()
    (copy / MARK).touch()
    assert ship_to_folder(disk, copy) == ""
    fill(disk, log, 1)
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == content_of(disk.folder)


def test_a_missing_folder_is_not_made(disk: Disk, copy: Path) -> None:
    copy.rmdir()
    fill(disk, disk.open(), 1)
    assert "is not there" in ship_to_folder(disk, copy)
    assert not copy.exists()


@pytest.mark.parametrize("damage", ["removed", "cut", "emptied"])
def test_a_copy_that_has_lost_something_gets_it_again(disk: Disk, copy: Path, damage: str) -> None:
    log = disk.open(size=4096)
    fill(disk, log, 60)
    assert ship_to_folder(disk, copy) == ""
    victim = segments_of(copy)[1].path
    match damage:
        case "removed":
            victim.unlink()
        case "cut":
            victim.write_bytes(victim.read_bytes()[:100])
        case _:
            victim.write_bytes(b"")
    fill(disk, log, 1)
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == content_of(disk.folder)


def test_a_damaged_file_with_the_places_is_refused_with_what_to_do(disk: Disk, copy: Path) -> None:
    fill(disk, disk.open(), 1)
    assert ship_to_folder(disk, copy) == ""
    (file,) = (copy.parent / "state").glob("*.json")
    file.write_bytes(b"{")
    with pytest.raises(DamagedProgressError, match="remove it"):
        ship_to_folder(disk, copy)
    file.unlink()
    fill(disk, disk.open(writer="w1"), 1)
    assert ship_to_folder(disk, copy) == ""


def test_a_killed_shipper_ships_again_what_it_had_not_noted(disk: Disk, tmp_path: Path) -> None:
    log = disk.open(size=4096)
    there = MemoryDestination()
    fill(disk, log, 20)
    ship(shipper_of(disk.folder, tmp_path / "state", there, disk.clock))
    before = {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()}
    fill(disk, log, 20)
    ship(shipper_of(disk.folder, tmp_path / "state", there, disk.clock))
    for name, content in before.items():
        (tmp_path / "state" / name).write_bytes(content)
    fill(disk, log, 5)
    ship(shipper_of(disk.folder, tmp_path / "state", there, disk.clock))
    assert there.content() == content_of(disk.folder)


def test_whole_segments_come_once_and_open_ones_in_parts(disk: Disk, tmp_path: Path) -> None:
    log = disk.open(size=4096)
    there = MemoryDestination(whole=True)
    for _ in range(12):
        fill(disk, log, 3)
        ship(shipper_of(disk.folder, tmp_path / "state", there, disk.clock))
    whole = [piece for piece in there.pieces if piece.after.complete]
    complete = [each.name for each in segments_of(disk.folder)[:-1]]
    assert [piece.segment for piece in whole] == complete
    assert all(piece.after.offset == piece.path.stat().st_size and not piece.data for piece in whole)
    for name, parts in itertools.groupby(
        (piece for piece in there.pieces if not piece.after.complete), lambda piece: piece.segment
    ):
        data = b"".join(piece.data for piece in parts)
        assert (disk.folder / name).read_bytes().startswith(data)


def test_a_segment_is_owed_until_all_of_it_was_taken(disk: Disk, copy: Path) -> None:
    log = disk.open(size=4096)
    fill(disk, log, 2)
    assert ship_to_folder(disk, copy) == ""
    fill(disk, log, 60)
    first, second, *_ = segments_of(disk.folder)
    progress = Progress(copy.parent / "state", "there")
    assert not has_taken(progress.load(), first)
    assert not has_taken({}, first)
    assert ship_to_folder(disk, copy) == ""
    assert has_taken(progress.load(), first)
    assert has_taken(progress.load(), second)
    assert not has_taken(progress.load(), segments_of(disk.folder)[-1])


def test_archived_segments_leave_no_trace(disk: Disk, copy: Path) -> None:
    log = disk.open(size=4096)
    fill(disk, log, 60)
    assert ship_to_folder(disk, copy) == ""
    expected = content_of(disk.folder)
    for segment in segments_of(disk.folder)[:-1]:
        segment.path.unlink()
    fill(disk, log, 60)
    assert ship_to_folder(disk, copy) == ""
    assert content_of(copy) == expected | content_of(disk.folder)


def test_a_destination_that_fails_gets_everything_later(disk: Disk, tmp_path: Path) -> None:
    log = disk.open(size=4096)
    there = MemoryDestination()
    there.fault = "the disk is full"
    shipper = shipper_of(disk.folder, tmp_path / "state", there, SystemClock())
    fill(disk, log, 5)
    thread = Thread(target=shipper.run, daemon=True)
    thread.start()
    wait_until(lambda: shipper.status().failures > 1)
    assert shipper.status().failing == "the disk is full"
    assert shipper.status().lag > 0
    there.fault = ""
    fill(disk, log, 50)
    wait_until(lambda: there.content() == content_of(disk.folder))
    wait_until(lambda: not shipper.status().failing)
    shipper.stop()
    thread.join()
    assert shipper.status().lines == read_end(disk.folder, "w0").sequence  # type: ignore[union-attr]


def test_the_oldest_line_that_waits_is_what_a_destination_lags_by(disk: Disk, tmp_path: Path) -> None:
    log = disk.open()
    log.append(b'{"eventName":"Old","eventTime":"2026-01-01T00:00:00Z"}')
    log.flush()
    there = MemoryDestination()
    there.fault = "no"
    shipper = shipper_of(disk.folder, tmp_path / "state", there, disk.clock)
    ship(shipper)
    # The header says when it was written, too; it comes first.
    assert shipper.status().lag == pytest.approx(0, abs=1)
    disk.clock.advance(500)
    assert shipper.status().lag == pytest.approx(500, abs=1)


def test_a_source_without_a_folder_has_nothing(tmp_path: Path) -> None:
    assert Source(tmp_path / "none", lambda: 0.0).chains() == {}


@pytest.mark.parametrize("instead", ["nothing", "an empty folder", "another folder"])
def test_a_folder_that_is_moved_away_while_it_is_open_is_noticed(disk: Disk, copy: Path, instead: str) -> None:
    log = disk.open()
    there = FolderDestination(copy)
    shipper = shipper_of(disk.folder, copy.parent / "state", there, SystemClock())
    thread = Thread(target=shipper.run, daemon=True)
    thread.start()
    fill(disk, log, 5)
    wait_until(lambda: content_of(copy) == content_of(disk.folder))
    copy.rename(copy.parent / "moved")
    if instead != "nothing":
        copy.mkdir()
    if instead == "another folder":
        (copy / segments_of(disk.folder)[0].name).write_bytes(b"")
    fill(disk, log, 5)
    wait_until(lambda: shipper.status().failing != "")
    if instead != "nothing":
        for path in copy.iterdir():
            assert path.read_bytes() == b""
            path.unlink()
        copy.rmdir()
    (copy.parent / "moved").rename(copy)
    wait_until(lambda: content_of(copy) == content_of(disk.folder))
    shipper.stop()
    thread.join()
