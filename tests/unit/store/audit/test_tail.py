"""The newest lines of a chain, found from its end."""

from pathlib import Path

import pytest

from strongroom.audit.sink import AuditMark
from strongroom.store.audit.tail import AuditTail

FIRST = "2026-11-25T101500Z-w0-000000000001.jsonl"
SECOND = "2026-11-25T101600Z-w0-000000000004.jsonl"
OTHER = "2026-11-25T101700Z-w1-000000000001.jsonl"


def write(folder: Path) -> AuditTail:
    (folder / FIRST).write_bytes(b"one key\ntwo key key\nthree\n")
    (folder / SECOND).write_bytes(b"four key\nfive\nsix key, which is not whole")
    (folder / OTHER).write_bytes(b"of another key\n")
    return AuditTail(folder)


def test_lines_after_a_mark_come_newest_first(tmp_path: Path) -> None:
    tail = write(tmp_path)
    assert list(tail.since(AuditMark("w0", FIRST, 0), b"key")) == [b"four key", b"two key key", b"one key"]
    assert list(tail.since(AuditMark("w0", FIRST, len("one key\n")), b"key")) == [b"four key", b"two key key"]
    assert list(tail.since(AuditMark("w0", SECOND, 0), b"key")) == [b"four key"]
    assert list(tail.since(AuditMark("w0", SECOND, len("four key\n")), b"key")) == []
    assert list(tail.since(AuditMark("w0", SECOND, 9999), b"key")) == []
    assert list(tail.since(AuditMark("w1", "", 0), b"key")) == [b"of another key"]
    assert list(tail.since(AuditMark("w0", "", 0), b"five")) == [b"five"]


def test_a_folder_without_records_has_no_lines(tmp_path: Path) -> None:
    assert list(AuditTail(tmp_path / "missing").since(AuditMark("w0", "", 0), b"key")) == []
    (tmp_path / FIRST).write_bytes(b"")
    assert list(AuditTail(tmp_path).since(AuditMark("w0", "", 0), b"key")) == []


def test_a_clock_that_was_set_back_hides_nothing(tmp_path: Path) -> None:
    earlier, later = "2026-11-25T101500Z-w0-000000000001.jsonl", "2026-11-25T091500Z-w0-000000000003.jsonl"
    (tmp_path / earlier).write_bytes(b"one key\ntwo key\n")
    (tmp_path / later).write_bytes(b"three key\n")
    tail = AuditTail(tmp_path)
    assert list(tail.since(AuditMark("w0", earlier, 8), b"key")) == [b"three key", b"two key"]
    assert list(tail.since(AuditMark("w0", later, 0), b"key")) == [b"three key"]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 16, 50])
def test_lines_that_lie_in_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("strongroom.store.audit.tail._BLOCK", block)
    tail = write(tmp_path)
    assert list(tail.since(AuditMark("w0", FIRST, 8), b"key")) == [b"four key", b"two key key"]
    assert list(tail.since(AuditMark("w0", FIRST, 0), b"e")) == [
        b"five",
        b"four key",
        b"three",
        b"two key key",
        b"one key",
    ]
