"""Who made a call, by the id of its record."""

import gzip
import json
from datetime import datetime
from pathlib import Path

from strongroom.store.audit.callers import callers_of

DAYS = (1, 5, 9)


def event(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


def moment(day: int, hour: int = 12) -> float:
    return datetime.fromisoformat(f"2026-03-{day:02}T{hour:02}:00:00Z").timestamp()


def line(day: int, number: int, caller: str, **parameters: object) -> bytes:
    record = {
        "eventTime": f"2026-03-{day:02}T12:00:00Z",
        "eventName": "Encrypt",
        "requestParameters": parameters,
        "userIdentity": {"arn": caller},
        "eventID": event(number),
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def written(folder: Path) -> Path:
    """Write three files of a writer, begun at noon of three days, each with one record of that day."""
    for number, day in enumerate(DAYS):
        name = f"2026-03-{day:02}T120000Z-a1b2c3d4e5f6w0-{number * 9 + 1:012}.jsonl"
        (folder / name).write_bytes(line(day, day, f"user/{day}"))
    return folder


def test_callers_are_found_in_the_files_of_the_times(tmp_path: Path) -> None:
    events = {event(day).encode(): moment(day) for day in DAYS}
    assert callers_of([written(tmp_path)], events) == {event(day).encode(): f"user/{day}" for day in DAYS}
    assert callers_of([tmp_path], {}) == {}
    assert callers_of([tmp_path], {event(7).encode(): moment(5)}) == {}


def test_only_files_are_read_that_may_have_the_record(tmp_path: Path) -> None:
    # A file that is compressed and damaged cannot be read: that it is not read shows.
    oldest = min(written(tmp_path).iterdir())
    oldest.rename(oldest.with_name(f"{oldest.name}.gz"))
    assert callers_of([tmp_path], {event(9).encode(): moment(9)}) == {event(9).encode(): "user/9"}
    assert callers_of([tmp_path], {event(5).encode(): moment(6)}) == {event(5).encode(): "user/5"}


def test_a_call_that_began_before_the_file_is_found(tmp_path: Path) -> None:
    at = moment(5, 11) + 60
    assert callers_of([written(tmp_path)], {event(5).encode(): at}) == {event(5).encode(): "user/5"}


def test_archived_files_are_read_too(tmp_path: Path) -> None:
    oldest = min(written(tmp_path).iterdir())
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / f"{oldest.name}.gz").write_bytes(gzip.compress(oldest.read_bytes()))
    oldest.unlink()
    events = {event(1).encode(): moment(1)}
    assert callers_of([tmp_path], events) == {}
    assert callers_of([tmp_path, archive], events) == {event(1).encode(): "user/1"}


def test_what_a_caller_chooses_is_not_taken_for_the_id_of_a_record(tmp_path: Path) -> None:
    name = "2026-03-01T120000Z-a1b2c3d4e5f6w0-000000000001.jsonl"
    forged = line(1, 1, "user/thief", encryptionContext={"eventID": event(2)})
    (tmp_path / name).write_bytes(forged + line(1, 2, "user/owner"))
    assert callers_of([tmp_path], {event(2).encode(): moment(1)}) == {event(2).encode(): "user/owner"}
