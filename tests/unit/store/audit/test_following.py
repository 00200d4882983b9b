"""Following an audit log while it is written."""

import json
from pathlib import Path

from strongroom.audit.search import Query
from strongroom.store.audit.following import Follower
from strongroom.store.audit.search import search_log

FIRST = "2026-03-01T120000Z-a1b2c3d4e5f6w0-000000000001.jsonl"
SECOND = "2026-03-02T120000Z-a1b2c3d4e5f6w0-000000000009.jsonl"


def line(number: int, name: str = "Decrypt") -> bytes:
    record = {"eventTime": f"2026-03-01T12:00:{number:02}Z", "eventName": name, "eventID": str(number)}
    return json.dumps(record).encode() + b"\n"


def ids(found: list[tuple[object, bytes]]) -> list[str]:
    return [json.loads(text)["eventID"] for _, text in found]


def test_each_record_is_found_once_by_the_search_or_afterwards(tmp_path: Path) -> None:
    log = tmp_path / FIRST
    log.write_bytes(line(1) + line(2) + line(3)[:20])
    follower = Follower([tmp_path], Query())
    with log.open("ab") as file:
        file.write(line(3)[20:] + line(4))
    assert ids(list(search_log([tmp_path], Query(), follower.sizes))) == ["1", "2"]
    assert ids(list(follower.added())) == ["3", "4"]
    assert follower.added() == []


def test_a_line_is_found_when_it_is_whole_and_a_new_file_too(tmp_path: Path) -> None:
    log = tmp_path / FIRST
    log.write_bytes(line(1))
    follower = Follower([tmp_path], Query(event="Decrypt"))
    with log.open("ab", buffering=0) as file:
        file.write(line(5) + line(2, "Encrypt") + line(6)[:-1])
        (tmp_path / SECOND).write_bytes(line(3))
        assert ids(list(follower.added())) == ["3", "5"]
        file.write(b"\n")
    assert ids(list(follower.added())) == ["6"]


def test_a_file_that_is_moved_away_ends_nothing(tmp_path: Path) -> None:
    log = tmp_path / FIRST
    log.write_bytes(line(1))
    follower = Follower([tmp_path], Query())
    log.unlink()
    (tmp_path / SECOND).write_bytes(line(2))
    assert ids(list(follower.added())) == ["2"]
