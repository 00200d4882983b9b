"""What is said of a write-ahead log that keeps erased key material, or grows, because of a reader."""

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from child_processes import killed
from strongroom.clock import ManualClock
from strongroom.problems import Problems
from strongroom.store.counters import StoreCounters
from strongroom.store.sqlite import write_ahead_log
from strongroom.store.sqlite.store import SqlStore
from strongroom.store.sqlite.write_ahead_log import WriteAheadLog, readers_of

READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM kms_key").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


@contextmanager
def reading(database: Path) -> Iterator[int]:
    """Have another process read the database; yield its id."""
    command = [sys.executable, "-c", READER, str(database)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        killed(process),
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        yield process.pid
        process.communicate("")


def test_the_readers_of_a_database_are_found(store: SqlStore, tmp_path: Path) -> None:
    database = tmp_path / "strongroom.db"
    store.try_write()
    with reading(database) as pid:
        assert readers_of(database) == [pid]
    assert readers_of(database) == []
    assert readers_of(tmp_path / "none.db") == []
    assert readers_of(database, tmp_path / "no-locks") == []


def test_locks_of_other_files_and_other_locks_are_passed_over(store: SqlStore, tmp_path: Path) -> None:
    store.try_write()
    status = (tmp_path / "strongroom.db-shm").stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    (tmp_path / "locks").write_text(
        f"1: POSIX  ADVISORY  READ 7 {device}:{status.st_ino} 123 123\n"
        f"2: POSIX  ADVISORY  READ 8 {device}:{status.st_ino + 1} 124 124\n"
        f"3: POSIX  ADVISORY  WRITE 9 {device}:{status.st_ino} 120 120\n"
        f"3: -> POSIX  ADVISORY  READ 10 {device}:{status.st_ino} 124 124\n"
        f"4: POSIX  ADVISORY  READ 0 {device}:{status.st_ino} 124 124\n"
        "5: FLOCK  ADVISORY  WRITE 11 00:00:1 0 EOF\n"
    )
    assert readers_of(tmp_path / "strongroom.db", tmp_path / "locks") == [7]


def test_erased_material_that_a_reader_keeps_is_logged_and_then_a_problem(
    store: SqlStore, tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    problems, counters = Problems(), StoreCounters()
    log = WriteAheadLog(tmp_path / "strongroom.db", problems, counters, clock.timer)
    store.try_write()
    size = (tmp_path / "strongroom.db-wal").stat().st_size
    with caplog.at_level(logging.INFO), reading(tmp_path / "strongroom.db") as pid:
        for _ in range(40):
            log.watch(is_scrubbed=False)
            clock.advance(5)
        assert counters.erasure_waits == 195
        assert counters.log_size == size
        reader = f"because a reader needs the log (process {pid})"
        assert caplog.messages == [
            f"erased key material is still in `strongroom.db-wal` ({size} bytes) after 60 s, {reader}",
            f"erased key material has been in `strongroom.db-wal` for more than 3 minutes, {reader}; end the reader",
        ]
        log.watch(is_scrubbed=True)
    assert counters.erasure_waits == 0
    assert problems.current() == []
    assert "the erased key material is overwritten now" in caplog.messages[2:]


def test_a_log_that_has_grown_is_a_problem(
    store: SqlStore, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_ahead_log, "LARGE", 4000)
    problems = Problems()
    log = WriteAheadLog(tmp_path / "strongroom.db", problems, StoreCounters(), clock.timer)
    store.try_write()
    log.watch(is_scrubbed=True)
    assert "has grown to" in problems.current()[0].text
    store._scrubbed = False
    assert store.scrub()
    log.watch(is_scrubbed=True)
    assert problems.current() == []


def test_a_reader_delays_the_scrub_of_the_store(store: SqlStore, tmp_path: Path) -> None:
    assert store.scrub()
    with closing(sqlite3.connect(tmp_path / "strongroom.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        store.try_write()
        reader.execute("SELECT count(*) FROM kms_key").fetchone()
        store._scrubbed = False
        assert not store.scrub()
        assert not store.scrub()
        assert store.counters.erasure_waits > 0
    assert store.scrub()
    assert store.counters.erasure_waits == 0
