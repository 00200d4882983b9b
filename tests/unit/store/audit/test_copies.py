"""Copies of segments that are shipped while they are written: verified with the log that they are copies of."""

import gzip
import shutil
from pathlib import Path

import pytest

from audit_disk import Disk
from strongroom.audit.report import Kind, Report
from strongroom.audit.search import Query
from strongroom.audit.verification import Verifier
from strongroom.store.audit.search import search_log
from strongroom.store.audit.segment_reader import walk
from strongroom.store.audit.segments import copies_of_segments, fullest_first, segments_of


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Return a log of three segments, and copies of them in a folder ``shipped`` beside it."""
    disk = Disk(tmp_path / "audit", monkeypatch)
    for _ in range(3):
        log = disk.open()
        disk.write(log, "One", "Two")
        log.close()
        disk.clock.advance(60)
    shutil.copytree(disk.folder, tmp_path / "shipped", ignore=shutil.ignore_patterns("*.end"))
    return disk


def verify(disk: Disk, *folders: Path, originals: tuple[Path, ...] = ()) -> Report:
    verifier = Verifier(disk.signer.verifies, disk.signer.writers)
    walk(fullest_first(copies_of_segments(folders), originals), verifier, lambda _: None)
    return verifier.finish(disk.signer.writers)


def cut(path: Path, size: int) -> None:
    """Cut a file after so many bytes."""
    path.write_bytes(path.read_bytes()[:size])


def copies(disk: Disk) -> list[Path]:
    return [each.path for each in segments_of(disk.folder.parent / "shipped")]


def verify_both(disk: Disk) -> Report:
    return verify(disk, disk.folder, disk.folder.parent / "shipped", originals=(disk.folder,))


def test_copies_that_are_whole_say_nothing(disk: Disk) -> None:
    report = verify_both(disk)
    assert (report.findings, report.partial_copies, report.segments) == ([], 0, 3)


@pytest.mark.parametrize("size", [0, 1, 300])
def test_the_newest_copy_may_end_early(disk: Disk, size: int) -> None:
    cut(copies(disk)[-1], size)
    report = verify_both(disk)
    assert (report.findings, report.partial_copies) == ([], 1)


def test_an_older_copy_may_not_and_neither_may_be_another_file(disk: Disk) -> None:
    first, second, third = copies(disk)
    cut(first, 300)
    second.write_bytes(second.read_bytes().replace(b"One", b"Two", 1))
    third.write_bytes(third.read_bytes()[:300].replace(b"segment", b"Segment"))
    assert [each.kind for each in verify_both(disk).findings] == [Kind.TRUNCATED, Kind.ALTERED, Kind.ALTERED]


def test_a_log_that_was_cut_off_is_found_by_its_copy(disk: Disk) -> None:
    cut(segments_of(disk.folder)[1].path, 300)
    texts = [each.text for each in verify_both(disk).findings]
    assert any("ends before its copy" in text for text in texts)


def test_without_the_log_the_longest_copy_is_verified(disk: Disk, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "shipped", tmp_path / "other")
    cut(copies(disk)[-1], 300)
    for folders in (("shipped", "other"), ("other", "shipped")):
        report = verify(disk, *(tmp_path / each for each in folders))
        assert (report.findings, report.partial_copies) == ([], 1)


def test_a_compressed_copy_must_be_like_the_log(disk: Disk) -> None:
    first, _, third = copies(disk)
    for path in (first, third):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert verify_both(disk).findings == []
    path = first.with_name(first.name + ".gz")
    path.write_bytes(path.read_bytes()[:-20])
    assert [each.kind for each in verify_both(disk).findings] == [Kind.ALTERED]


def test_a_search_reads_the_longest_copy_once(disk: Disk, tmp_path: Path) -> None:
    query = Query(event="Two")
    whole = [line for _, line in search_log([disk.folder], query)]
    assert len(whole) == 3
    cut(copies(disk)[-1], 300)
    assert [line for _, line in search_log([tmp_path / "shipped", disk.folder], query)] == whole
