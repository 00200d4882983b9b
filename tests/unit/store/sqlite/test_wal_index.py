"""Commits of every process are found, and a database that was moved away is not read."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keys_builder import locator, make_key
from strongroom.errors import DependencyTimeoutException
from strongroom.store.faults import StoreUnavailable
from strongroom.store.protocol import Transaction
from strongroom.store.sqlite import wal_index as generation
from strongroom.store.sqlite.store import SqlStore
from strongroom.store.sqlite.wal_index import WalIndex

ELSEWHERE = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 0.1, isolation_level=None).execute(sys.argv[2])"
INSERT = "INSERT INTO account (account, created_at) VALUES ('111122223333', 0)"


def elsewhere(path: Path, statement: str) -> None:
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(path), statement], check=True)


@pytest.fixture
def path(store: SqlStore, tmp_path: Path) -> Path:
    assert store.version()
    return tmp_path / "strongroom.db"


@pytest.mark.parametrize("known", [True, False])
def test_commits_of_other_processes_are_found_also_if_the_format_is_not_known(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    if not known:
        monkeypatch.setattr(generation, "_FORMAT", (b"none",))
    found = WalIndex(path)
    seen = found.version()
    elsewhere(path, "SELECT * FROM account")
    assert found.version() == seen
    elsewhere(path, INSERT)
    assert found.version() != seen
    found.close()


def test_the_format_of_this_sqlite_is_known(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    WalIndex(path).close()
    assert not caplog.messages


def test_a_database_that_cannot_be_opened_once_more_is_a_fault_with_words(path: Path) -> None:
    """As if the disk had become full since it was opened first."""
    with pytest.raises(DependencyTimeoutException) as refused:
        WalIndex(path / "strongroom.db")
    assert isinstance(refused.value, StoreUnavailable)
    assert "or a file beside it cannot be opened" in refused.value.explanation
    assert str(path) in refused.value.explanation


def test_what_is_not_committed_changes_nothing(path: Path) -> None:
    found = WalIndex(path)
    seen = found.version()
    writer = sqlite3.connect(path, isolation_level=None)
    # More than the cache of pages holds, so that some of it comes into the log before the end.
    for statement in ("PRAGMA cache_size=2", "BEGIN IMMEDIATE", "CREATE TABLE many (one)"):
        writer.execute(statement)
    writer.executemany("INSERT INTO many VALUES (?)", [("x" * 1000,)] * 100)
    assert found.version() == seen
    writer.execute("ROLLBACK")
    assert found.version() == seen
    writer.close()
    found.close()


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("harm", [removed, replaced])
def test_a_database_that_others_do_not_share_any_more_is_not_answered_from(
    store: SqlStore, path: Path, suffix: str, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    store.confirm()
    assert store.version()
    # It leaves a connection open, over which the last read of the test goes.
    store.trim_changes(1)
    harm(Path(f"{path}{suffix}"))
    store.confirm()
    assert "is not the database that was opened" in caplog.text
    with pytest.raises(DependencyTimeoutException):
        store.version()
    with pytest.raises(DependencyTimeoutException):
        store.write(lambda transaction: transaction.add_key(make_key(1)))
    with store.read() as reader:
        assert reader.key(locator(1)) is None


def test_looking_takes_no_locks_along(store: SqlStore, path: Path) -> None:
    """While this process writes, no other can, although the files have been looked at."""

    def change(_: Transaction) -> None:
        store.confirm()
        assert store.version()
        with pytest.raises(subprocess.CalledProcessError):
            elsewhere(path, INSERT)

    store.write(change)
