"""After a sync of the audit log that failed, everything since the last good one is written again before the next."""

import os
from pathlib import Path

import pytest

from audit_disk import Disk
from strongroom.store.audit.segments import segments_of

Writes = list[tuple[str, int]]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def watch(monkeypatch: pytest.MonkeyPatch) -> Writes:
    """Return a list of the writes, with their places, and of the syncs from now on."""
    found: Writes = []
    pwrite, fdatasync = os.pwrite, os.fdatasync

    def write(descriptor: int, data: bytes, place: int) -> int:
        found.append(("write", place))
        return pwrite(descriptor, data, place)

    def sync(descriptor: int) -> None:
        found.append(("sync", 0))
        fdatasync(descriptor)

    monkeypatch.setattr(os, "pwrite", write)
    monkeypatch.setattr(os, "fdatasync", sync)
    return found


def test_what_the_kernel_gave_up_is_written_again(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    log = disk.open("write")
    disk.write(log, "one")
    log.checkpoint()
    disk.write(log, "two")
    disk.break_sync()
    with pytest.raises(OSError, match="Input/output error"):
        log.checkpoint()
    disk.repair()
    (segment,) = segments_of(disk.folder)
    before = segment.path.read_bytes()
    found = watch(monkeypatch)
    log.checkpoint()
    assert found.index(("write", 0)) < found.index(("sync", 0))
    assert segment.path.read_bytes().startswith(before)
    found.clear()
    disk.write(log, "three")
    log.checkpoint()
    assert ("write", 0) not in found
    log.close()
    assert disk.events() == ["one", "two", "three"]
    disk.verified()


def test_so_are_segments_that_were_completed_meanwhile(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    log = disk.open("write", size=4096)
    disk.write(log, "one")
    disk.break_sync()
    with pytest.raises(OSError, match="Input/output error"):
        log.checkpoint()
    for number in range(100):
        disk.write(log, f"event {number}")
    disk.repair()
    assert len(segments_of(disk.folder)) > 1
    found = watch(monkeypatch)
    log.checkpoint()
    assert found.count(("write", 0)) >= len(segments_of(disk.folder))
    log.close()
    disk.verified()
