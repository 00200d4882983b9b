"""Copies of segments in an archive: what may be moved, and that only a verified copy gets its name."""

import gzip
import os
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from audit_disk import Disk
from strongroom.audit.archive import DamagedSegmentError
from strongroom.audit.chain import CHECKPOINT, Position, link, name_time
from strongroom.audit.search import Query
from strongroom.audit.sink import AuditMark
from strongroom.store.audit.archiving import (
    ArchiveError,
    complete_before,
    copy_segment,
    is_same_folder,
    make_folder,
    require_covered,
)
from strongroom.store.audit.search import search_log
from strongroom.store.audit.segment_reader import UnreadableSegmentError, lines_of, open_plain
from strongroom.store.audit.segments import Segment, copies_of_segments, segments_of


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Return a log of four segments, begun a minute apart."""
    disk = Disk(tmp_path / "audit", monkeypatch)
    for _ in range(4):
        log = disk.open()
        disk.write(log, "One", "Two")
        log.close()
        disk.clock.advance(60)
    return disk


def due(disk: Disk, *, covered: int = 1000, marked: int = 3, before: float = 1e10) -> int:
    """Return how many segments may be moved, with the mark in the segment of that number."""
    chain = segments_of(disk.folder)
    mark = AuditMark("w0", chain[marked].path.name if marked >= 0 else "", 0)
    return len(complete_before(chain, covered, mark, name_time(before)))


def test_the_newest_segment_stays_and_so_does_what_a_start_needs(disk: Disk) -> None:
    second, third = segments_of(disk.folder)[1:3]
    assert due(disk) == 3
    assert due(disk, covered=third.first) == 2
    assert due(disk, covered=third.first - 1) == 1
    assert due(disk, covered=0) == 0
    assert due(disk, marked=1) == 1
    assert due(disk, marked=0) == due(disk, marked=-1) == 0
    begun = disk.clock.now() - 4 * 60
    assert [due(disk, before=begun + 60 * minutes) for minutes in range(5)] == [0, 1, 2, 3, 3]
    assert second.begun == name_time(begun + 60)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_segment_is_no_copy_of_itself(disk: Disk, tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    segment = segments_of(disk.folder)[0]
    link(segment.path, tmp_path / segment.path.name)
    with pytest.raises(ArchiveError, match="itself, and no copy; remove that link"):
        copy_segment(segment, tmp_path, compress=False, progress=lambda _: None)


@pytest.mark.parametrize("has_numbers", [True, False], ids=["one device number", "two device numbers"])
def test_a_folder_is_found_to_be_the_same_under_another_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_numbers: bool
) -> None:
    """A link that is not resolved is to the file system what a second mount is."""
    folder, other, mount = tmp_path / "folder", tmp_path / "other", tmp_path / "mount"
    folder.mkdir()
    other.mkdir()
    mount.symlink_to("folder")
    if not has_numbers:
        monkeypatch.setattr(Path, "samefile", lambda *_: False)
    assert is_same_folder(mount, folder)
    assert not is_same_folder(mount, other)
    assert [*folder.iterdir(), *other.iterdir()] == []


@pytest.mark.parametrize("compress", [True, False])
def test_a_copy_is_the_same_and_is_made_once(disk: Disk, tmp_path: Path, *, compress: bool) -> None:
    to, segment = tmp_path / "some" / "archive", segments_of(disk.folder)[0]
    make_folder(to)
    assert to.stat().st_mode & 0o777 == to.parent.stat().st_mode & 0o777 == 0o700
    sizes = list[int]()
    end = copy_segment(segment, to, compress=compress, progress=sizes.append)
    (path,) = to.iterdir()
    assert list(lines_of(path)) == segment.path.read_bytes().splitlines()
    with open_plain(path) as file:
        assert file.read() == segment.path.read_bytes()
    assert sum(sizes) == segment.path.stat().st_size
    assert end.sequence == segments_of(disk.folder)[1].first - 1
    before = path.stat()
    assert copy_segment(segment, to, compress=not compress, progress=sizes.append) == end
    assert (path.stat().st_mtime_ns, list(to.iterdir())) == (before.st_mtime_ns, [path])
    ((_, other), *_) = copies_of_segments([disk.folder, to])
    assert (other.path, other.name) == (path, segment.name)


def test_a_damaged_segment_is_not_copied_and_another_file_is_not_replaced(disk: Disk, tmp_path: Path) -> None:
    to = tmp_path / "archive"
    to.mkdir()
    first, second, *_ = segments_of(disk.folder)
    first.path.write_bytes(first.path.read_bytes().replace(b'"One"', b'"Six"'))
    with pytest.raises(DamagedSegmentError):
        copy_segment(first, to, compress=False, progress=lambda _: None)
    (to / f"{second.name}.gz").write_bytes(gzip.compress(b"{}\n"))
    with pytest.raises(ArchiveError):
        copy_segment(second, to, compress=False, progress=lambda _: None)
    assert [path.name for path in to.iterdir()] == [f"{second.name}.gz"]


def chained_anew(segment: Segment, *, without_checkpoint: bool) -> None:
    """Alter a record and chain the segment anew, which needs no key."""
    content, position = b"", Position("w0")
    for line in lines_of(segment.path):
        body = line[: line.rindex(b',"chain":')].replace(b'"One"', b'"Six"') + b"}"
        if not (without_checkpoint and body.startswith(CHECKPOINT)):
            linked, position = link([body], position)
            content += linked
    segment.path.write_bytes(content)


@pytest.mark.parametrize("without_checkpoint", [True, False])
def test_a_segment_that_was_chained_anew_is_not_archived(disk: Disk, *, without_checkpoint: bool) -> None:
    first, *others = segments_of(disk.folder)
    require_covered(first, disk.signer.verifies)
    chained_anew(first, without_checkpoint=without_checkpoint)
    with pytest.raises(DamagedSegmentError, match="it does not go on where the segment before it ends"):
        require_covered(first, disk.signer.verifies)
    for each in others:
        each.path.unlink()
    with pytest.raises(DamagedSegmentError, match="no signed checkpoint covers its end"):
        require_covered(first, disk.signer.verifies)


def test_segments_that_kills_have_ended_are_covered_by_a_later_checkpoint(disk: Disk) -> None:
    for _ in range(3):
        disk.write(disk.open(), "killed")
        disk.clock.advance(60)
    *_, first, second, third = segments_of(disk.folder)
    with pytest.raises(DamagedSegmentError, match=f"{first.name}: no signed checkpoint covers its end"):
        require_covered(first, disk.signer.verifies)
    disk.open().checkpoint()
    for each in (first, second, third):
        require_covered(each, disk.signer.verifies)


def test_a_full_disk_leaves_no_half_copy(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    to = tmp_path / "archive"
    to.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            copy_segment(segments_of(disk.folder)[0], to, compress=True, progress=lambda _: None)
    assert list(to.iterdir()) == []


def test_a_copy_that_was_there_is_synced_before_it_is_relied_on(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)

    synced, segment = list[int](), segments_of(disk.folder)[0]
    copy = tmp_path / segment.name
    copy.write_bytes(segment.path.read_bytes())
    monkeypatch.setattr(os, "fsync", noted)
    copy_segment(segment, tmp_path, compress=True, progress=lambda _: None)
    assert synced == [copy.stat().st_ino]


def test_a_file_that_was_moved_meanwhile_is_named(disk: Disk) -> None:
    path = segments_of(disk.folder)[0].path
    searching = search_log((disk.folder,), Query())
    next(searching)
    path.unlink()
    for read in (lambda: list(lines_of(path)), lambda: open_plain(path)):
        with pytest.raises(UnreadableSegmentError, match="was moved while the log was read; run this again"):
            read()


def test_only_names_of_segments_are_listed(tmp_path: Path) -> None:
    name = "2026-01-01T000000Z-w0-000000000001.jsonl"
    for each in (name, f"{name}.gz", f"{name}.gz.partial", f"{name}.zst", "other.jsonl.gz"):
        (tmp_path / each).touch()
    assert [each.path.name for each in segments_of(tmp_path)] == [name]
    plain = Segment(tmp_path / name, "2026-01-01T000000Z", "w0", 1)
    packed = Segment(tmp_path / f"{name}.gz", "2026-01-01T000000Z", "w0", 1)
    assert copies_of_segments([tmp_path]) == [[plain, packed]]


def test_a_full_disk_is_named(disk: Disk, tmp_path: Path) -> None:
    segment = segments_of(disk.folder)[0]
    to = tmp_path / "archive"
    make_folder(to)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    earlier = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, most))
    try:
        with pytest.raises(OSError, match=re.escape(str(to / segment.name))):
            copy_segment(segment, to, compress=False, progress=int)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, earlier)
    assert list(to.iterdir()) == []
