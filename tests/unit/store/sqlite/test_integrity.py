"""The check of a whole database: what it finds, and what it tells when it runs in the background."""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from empty_database import put_empty_database
from faulty_stores import change, empty_log, pages_of, zero_all, zero_page
from keys_builder import make_key
from strongroom.clock import ManualClock
from strongroom.problems import Problems
from strongroom.store.counters import StoreCounters
from strongroom.store.integrity import IntegrityWatch, UncheckedError
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.integrity import check_integrity, size_of
from strongroom.store.sqlite.store import SqlStore


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a database with a key, which no process has open."""
    path = tmp_path / "strongroom.db"
    put_empty_database(path)
    with closing(SqlStore(open_sqlite(path))) as store:
        store.write(lambda transaction: transaction.add_key(make_key()))
    return path


def zero_page_of_keys(database: Path) -> None:
    zero_page(database, pages_of(database, "kms_key")[0])


def zero_page_of_an_index(database: Path) -> None:
    zero_page(database, pages_of(database, "kms_key")[1])


def drop_table(database: Path) -> None:
    change(database, "DROP TABLE custom_key_store")


def drop_column(database: Path) -> None:
    change(database, "ALTER TABLE kms_key DROP COLUMN description")


def cut(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:8192])


def add_trigger(database: Path) -> None:
    change(database, "CREATE TRIGGER keep AFTER DELETE ON key_material BEGIN DELETE FROM key_grant; END")


def replace_table_by_view(database: Path) -> None:
    change(database, "ALTER TABLE key_grant RENAME TO others")
    change(database, "CREATE VIEW key_grant AS SELECT * FROM others WHERE grant_id <> 'x'")


def drop_index(database: Path) -> None:
    change(database, "DROP INDEX identity_unique_id")


def make_unique_index_ordinary(database: Path) -> None:
    change(database, "DROP INDEX account_alias")
    change(database, "CREATE INDEX account_alias ON account (alias)")


def make_index_ignore_case(database: Path) -> None:
    change(database, "DROP INDEX custom_key_store_name")
    change(
        database,
        "CREATE UNIQUE INDEX custom_key_store_name ON custom_key_store (account, region, name COLLATE NOCASE)",
    )


def narrow_index(database: Path) -> None:
    change(database, "DROP INDEX access_key_service")
    change(database, "CREATE UNIQUE INDEX access_key_service ON access_key (principal) WHERE account = '0'")


def drop_primary_key(database: Path) -> None:
    change(database, "CREATE TABLE copy AS SELECT * FROM audit_mark")
    change(database, "DROP TABLE audit_mark")
    change(database, "ALTER TABLE copy RENAME TO audit_mark")


def lose_row_in_index(database: Path) -> None:
    """Insert a row while an index is hidden, so that the index lacks it."""
    with closing(sqlite3.connect(database)) as connection, connection:
        row = connection.execute("SELECT * FROM sqlite_master WHERE name = 'account_alias'").fetchone()
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'account_alias'")
    change(database, "INSERT INTO account (account, created_at, alias) VALUES ('1', 0, 'a')")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)


DAMAGE: dict[Callable[[Path], None], str] = {
    zero_all: "SQLITE_NOTADB: file is not a database",
    zero_page_of_keys: "SQLITE_CORRUPT: database disk image is malformed",
    zero_page_of_an_index: "SQLITE_CORRUPT: database disk image is malformed",
    drop_table: "no such table: custom_key_store",
    drop_column: "no such column: kms_key.description",
    cut: "SQLITE_CORRUPT: database disk image is malformed",
    add_trigger: "a trigger `keep`, which strongroom did not make",
    replace_table_by_view: "a view `key_grant`, which strongroom did not make",
    drop_index: "no such index: identity_unique_id",
    make_unique_index_ordinary: "not the index that strongroom made: account_alias",
    make_index_ignore_case: "not the index that strongroom made: custom_key_store_name",
    narrow_index: "not the index that strongroom made: access_key_service",
    drop_primary_key: "another primary key: audit_mark",
    lose_row_in_index: "row 1 missing from index account_alias",
}

PAGES = {zero_page_of_an_index, zero_page_of_keys, lose_row_in_index}
"""What is found in the pages alone."""


def test_a_whole_database(database: Path) -> None:
    before = database.read_bytes()
    found = check_integrity(database)
    assert found.is_whole
    assert found.findings == ()
    assert found.seconds > 0
    assert database.read_bytes() == before
    assert size_of(database) == len(before)


@pytest.mark.parametrize("harm", DAMAGE)
def test_a_damaged_database(database: Path, harm: Callable[[Path], None]) -> None:
    harm(database)
    found = check_integrity(database)
    assert not found.is_whole
    assert found.findings[0].startswith(DAMAGE[harm])
    assert all("\n" not in finding for finding in found.findings)
    assert check_integrity(database, pages=False).is_whole == (harm in PAGES)


def test_a_database_without_tables_or_of_another_release_is_whole(tmp_path: Path, database: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "empty.db")) as connection:
        connection.execute("VACUUM")
    assert check_integrity(tmp_path / "empty.db").is_whole
    drop_column(database)
    change(database, "UPDATE alembic_version SET version_num = '0001'")
    assert check_integrity(database).is_whole


def test_a_database_that_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(UncheckedError, match="unable to open"):
        check_integrity(tmp_path)


def test_a_database_that_is_gone_is_not_whole_and_not_made_anew(tmp_path: Path) -> None:
    gone = tmp_path / "strongroom 100%?.db"
    with pytest.raises(UncheckedError, match="unable to open"):
        check_integrity(gone)
    assert not gone.exists()
    gone.touch()
    assert check_integrity(gone).is_whole


def test_a_check_in_the_background(database: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    problems, counters = Problems(), StoreCounters()
    whole: list[float] = []
    watch = IntegrityWatch(
        database.name, partial(check_integrity, database), problems, counters, clock.timer, whole.append
    )

    def check() -> None:
        watch.request()
        watch.wait(20)

    with caplog.at_level(logging.INFO):
        check()
        # Faults ask for checks each time they are met; one in ten minutes is enough.
        check()
        assert counters.checks == {"whole": 1, "damaged": 0, "failed": 0}
        assert whole == [clock.timer()]
        assert counters.check_duration > 0
        assert "it is whole" in caplog.messages[0]

        zero_page_of_keys(database)
        clock.advance(601)
        check()
        assert counters.checks == {"whole": 1, "damaged": 1, "failed": 0}
        (problem,) = problems.current()
        assert problem.text.startswith("`strongroom.db` is damaged (SQLITE_CORRUPT: database disk image")

        database.unlink()
        database.mkdir()
        clock.advance(601)
        check()
        assert counters.checks["failed"] == 1
        assert problems.current() == [problem]
        assert "could not be checked" in caplog.messages[-1]


def test_damage_that_a_read_meets_has_the_database_checked(store: SqlStore, tmp_path: Path) -> None:
    change(tmp_path / "strongroom.db", "ALTER TABLE alias RENAME TO elsewhere")
    with pytest.raises(Exception, match="damaged where"), store.read() as reader:
        reader.aliases("1", "us-east-1", None, "", 1)
    store._integrity.wait(20)
    assert store.counters.checks["damaged"] == 1
    # It is put right, and the next check says so.
    change(tmp_path / "strongroom.db", "ALTER TABLE elsewhere RENAME TO alias")
    store._integrity._next = 0.0
    store.confirm()
    store._integrity.wait(20)
    assert store.counters.checks["whole"] == 1
    assert not store._faults.has_damage()
    empty_log(tmp_path / "strongroom.db")
