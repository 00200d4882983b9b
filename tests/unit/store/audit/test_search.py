"""Searches over the chains of several processes: in the order of time, and without reading files that are too old."""

from pathlib import Path

import msgspec
import pytest

from audit_disk import NOON, Disk
from strongroom.audit.cloudtrail import event_time
from strongroom.audit.search import Query
from strongroom.store.audit.search import search_log
from strongroom.store.audit.segments import segments_of


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
    return [known[record.event_time] for record, _ in search_log((disk.folder,), query)]


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
    with pytest.raises(OSError, match="it is not a regular file"):
        minutes(disk, Query(since=event_time(NOON + 60 * 5)))


def test_lines_that_are_no_records_are_skipped(disk: Disk) -> None:
    with segments_of(disk.folder)[-1].path.open("ab") as file:
        file.write(b'not json\n{"eventName":5}\n{"eventN')
    assert minutes(disk, Query()) == list(range(180))


def test_calls_that_took_long_and_clocks_set_back_come_by_their_times(disk: Disk) -> None:
    # An hour back, in the middle of a file: one more of the second hour, of the third, of the first.
    log = disk.open(writer="w1")
    for minute in (179, 100, 130, 20, 179):
        record = {"eventTime": event_time(NOON + 60 * minute), "eventName": "Encrypt"}
        log.append(msgspec.json.encode(record))
        log.flush()
    log.close()
    disk.clock.step(-7200)
    log = disk.open(writer="w0")
    log.append(msgspec.json.encode({"eventTime": event_time(NOON + 60 * 60), "eventName": "Encrypt"}))
    log.close()
    expected = sorted([*range(180), 179, 100, 130, 20, 179, 60])
    assert minutes(disk, Query()) == expected
    since = Query(since=event_time(NOON + 60 * 90))
    assert minutes(disk, since) == [minute for minute in expected if minute >= 90]
    found = [line for _, line in search_log((disk.folder,), Query())]
    assert sorted(found) == sorted(line for line in raw_lines(disk) if b'"eventTime"' in line)


def raw_lines(disk: Disk) -> list[bytes]:
    return [line for segment in segments_of(disk.folder) for line in segment.path.read_bytes().splitlines()]


def test_a_file_is_left_out_only_if_its_successor_is_much_older_than_the_question(disk: Disk) -> None:
    first, second, third = (segment.path for segment in segments_of(disk.folder) if segment.writer == "w0")
    # The second was begun at 13:00, by a clock that had been set back and recorded 13:59 in the first.
    with first.open("ab") as file:
        file.write(msgspec.json.encode({"eventTime": event_time(NOON + 60 * 119), "eventName": "Encrypt"}) + b"\n")
    assert minutes(disk, Query(since=event_time(NOON + 60 * 119))) == [119, *range(119, 180)]
    assert (second.name[11:15], third.name[11:15]) == ("1300", "1400")


def test_no_more_files_are_open_than_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path / "many", monkeypatch)
    log = disk.open(size=1)
    for number in range(40):
        log.append(msgspec.json.encode({"eventTime": event_time(NOON + number), "eventName": "Encrypt"}))
        log.flush()
        disk.clock.advance(1)
    log.close()
    before = open_files()
    most = max(open_files() for _ in search_log((disk.folder,), Query()))
    assert most <= before + 2
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
