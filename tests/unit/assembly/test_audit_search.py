"""Searches over the chains of several processes: by time, and without reading what is too old."""

from pathlib import Path

import msgspec
import pytest

from audit_disk import NOON, Disk
from strongroom.assembly.audit import search_log
from strongroom.audit.record import event_time
from strongroom.audit.search import Query
from strongroom.store.audit_files import segments_of


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Return a log of three hours, by two writers who begin a segment each hour and take turns every minute."""
    disk = Disk(tmp_path / "audit", monkeypatch)
    for _ in range(3):
        logs = [disk.open(writer=writer) for writer in ("w0", "w1")]
        for minute in range(60):
            at = event_time(disk.clock.now())
            logs[minute % 2].append(msgspec.json.encode({"eventTime": at, "eventName": "Encrypt"}))
            logs[minute % 2].flush()
            disk.clock.advance(60)
        for log in logs:
            log.close()
    return disk


def minutes(disk: Disk, query: Query) -> list[int]:
    """Return when the records found were made, in minutes from the beginning."""
    known = {event_time(NOON + 60 * minute): minute for minute in range(180)}
    return [known[record.event_time] for record, _ in search_log(disk.folder, query)]


def test_records_of_all_writers_come_by_time(disk: Disk) -> None:
    assert len(segments_of(disk.folder)) == 6
    assert minutes(disk, Query()) == list(range(180))


@pytest.mark.parametrize(("since", "until"), [(0, 180), (59, 61), (60, 120), (61, 62), (119, 180), (179, 180)])
def test_the_first_moment_is_included_and_the_last_is_not(disk: Disk, since: int, until: int) -> None:
    query = Query(since=event_time(NOON + 60 * since), until=event_time(NOON + 60 * until))
    assert minutes(disk, query) == list(range(since, until))


def test_files_that_are_too_old_are_not_read(disk: Disk) -> None:
    oldest = [segment.path for segment in segments_of(disk.folder) if segment.first == 1]
    for path in oldest:
        path.unlink()
        path.mkdir()
    assert minutes(disk, Query(since=event_time(NOON + 60 * 125))) == list(range(125, 180))
    with pytest.raises(IsADirectoryError):
        minutes(disk, Query(since=event_time(NOON + 60 * 5)))


def test_what_is_no_record_is_passed_over(disk: Disk) -> None:
    with segments_of(disk.folder)[-1].path.open("ab") as file:
        file.write(b'not json\n{"eventName":5}\n{"eventN')
    assert minutes(disk, Query()) == list(range(180))
