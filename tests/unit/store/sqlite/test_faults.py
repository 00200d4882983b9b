"""Which faults SQLite reports, and which of them allow a write to be run again."""

import errno
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from grants_builder import make_grant
from keys_builder import make_key
from strongroom.errors import DependencyTimeoutException, NotFoundException, TargetChanged, WriteOutcomeUnknown
from strongroom.store.faults import FaultKind, StoreDamaged, StoreFault
from strongroom.store.protocol import Transaction
from strongroom.store.retries import Fault, WriteConflict
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.faults import TransactionRolledBack, fault_met, fault_of
from strongroom.store.sqlite.store import SqlStore


def error_of(connection: Connection, statement: str) -> Exception:
    with pytest.raises(DBAPIError) as caught:
        connection.exec_driver_sql(statement)
    return caught.value


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("INSERT INTO parent VALUES (1, 2, 1)", Fault.CONFLICT),
        ("INSERT INTO parent VALUES (2, 1, 1)", Fault.CONFLICT),
        ("INSERT INTO child VALUES (9)", Fault.CONFLICT),
        ("INSERT INTO parent VALUES (2, 2, NULL)", None),
        ("INSERT INTO parent VALUES (2, 2, -1)", None),
        ("INSERT INTO nothing VALUES (1)", None),
    ],
)
def test_a_row_that_another_writer_was_faster_to_insert_is_a_conflict(
    tmp_path: Path, statement: str, fault: Fault | None
) -> None:
    engine = open_sqlite(tmp_path / "db")
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY, name INTEGER UNIQUE, size INTEGER NOT NULL CHECK (size > 0))"
        )
        connection.exec_driver_sql("CREATE TABLE child (id INTEGER REFERENCES parent)")
        connection.exec_driver_sql("INSERT INTO parent VALUES (1, 1, 1)")
        assert fault_of(error_of(connection, statement)) is fault
    engine.dispose()


def test_a_locked_database_is_a_transient_fault_and_one_that_cannot_be_written_is_not(tmp_path: Path) -> None:
    engine, other = open_sqlite(tmp_path / "db"), sqlite3.connect(tmp_path / "db", isolation_level=None)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER)")
        connection.commit()
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
        connection.rollback()
        other.execute("BEGIN IMMEDIATE")
        assert fault_of(error_of(connection, "INSERT INTO t VALUES (1)")) is Fault.TRANSIENT
        other.execute("ROLLBACK")
        connection.exec_driver_sql("PRAGMA query_only=ON")
        assert fault_of(error_of(connection, "INSERT INTO t VALUES (1)")) is None
    other.close()
    engine.dispose()


def test_an_unknown_outcome_is_not_retried() -> None:
    assert fault_of(TransactionRolledBack("rolled back")) is Fault.TRANSIENT
    assert fault_of(WriteConflict("conflict")) is Fault.CONFLICT
    assert fault_of(WriteOutcomeUnknown("unknown")) is None
    assert fault_of(DependencyTimeoutException("timeout")) is None


def test_a_conflict_runs_the_write_again_and_leaves_nothing_of_the_first_attempt(store: SqlStore) -> None:
    attempts: list[int] = []

    def add(transaction: Transaction) -> int:
        attempts.append(1)
        transaction.add_key(make_key(len(attempts)))
        if len(attempts) == 1:
            transaction.add_grant(make_grant(1, key=9))
        return len(attempts)

    assert store.write(add) == 2
    with store.read() as reader:
        assert reader.key(make_key(1).locator) is None
        assert reader.key(make_key(2).locator) is not None
    assert len(store.changes(0).entries) == 1
    assert sum(store.counters.faults.values()) == 0


def test_a_conflict_that_remains_is_a_typed_fault(store: SqlStore) -> None:
    with pytest.raises(DependencyTimeoutException):
        store.write(lambda transaction: transaction.remove_grant(make_grant(1)))
    assert sum(store.counters.faults.values()) == 1


MET: dict[str, tuple[FaultKind, str, str]] = {
    "SELECT * FROM absent": (FaultKind.SCHEMA, "SQLITE_ERROR: no such table: absent", "reading absent"),
    "SELECT absent FROM t": (FaultKind.SCHEMA, "SQLITE_ERROR: no such column: absent", "reading t"),
    "INSERT INTO t VALUES (1)": (FaultKind.CONFLICT, "SQLITE_CONSTRAINT_PRIMARYKEY", "reading t"),
    "SELECT abs(-9223372036854775808) FROM t": (FaultKind.OTHER, "SQLITE_ERROR: integer overflow", "reading t"),
}


@pytest.mark.parametrize("statement", MET)
def test_the_kind_of_a_fault_and_what_sqlite_says_of_it(tmp_path: Path, statement: str) -> None:
    engine = open_sqlite(tmp_path / "db")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        with pytest.raises(DBAPIError) as caught:
            connection.exec_driver_sql(statement).all()
    fault = fault_met(caught.value, writing=False)
    kind, reason, place = MET[statement]
    assert fault is not None
    assert (fault.kind, fault.place, fault.writing) == (kind, place, False)
    assert fault.reason.startswith(reason)
    engine.dispose()


def test_a_full_disk_a_file_that_is_no_database_and_one_that_cannot_be_written(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "db")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER)")
        connection.commit()
        connection.exec_driver_sql("PRAGMA max_page_count=1")
        full = fault_met(error_of(connection, "CREATE TABLE more (id INTEGER)"), writing=True)
        connection.exec_driver_sql("PRAGMA query_only=ON")
        unwritable = fault_met(error_of(connection, "DELETE FROM t"), writing=True)
    engine.dispose()
    (tmp_path / "none").write_bytes(b"x" * 5000)
    broken = open_sqlite(tmp_path / "none")
    with pytest.raises(DBAPIError) as caught:
        broken.connect()
    damaged = fault_met(caught.value, writing=False)
    broken.dispose()
    assert full == StoreFault(FaultKind.FULL, "SQLITE_FULL: database or disk is full", "writing", writing=True)
    assert unwritable is not None
    assert (unwritable.kind, unwritable.place) == (FaultKind.UNWRITABLE, "writing t")
    assert damaged == StoreFault(FaultKind.DAMAGED, "SQLITE_NOTADB: file is not a database", "reading", writing=False)


def test_what_is_no_fault_of_the_database() -> None:
    for error in (
        NotFoundException(None),
        ValueError("a defect"),
        TargetChanged(),
        StoreFault(FaultKind.IO, "", "", writing=True).error("db"),
    ):
        assert fault_met(error, writing=True) is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EACCES, "Permission denied"), FaultKind.UNREACHABLE),
        (OSError(errno.ENOSPC, "No space left on device"), FaultKind.FULL),
        (OSError(errno.EROFS, "Read-only file system"), FaultKind.UNWRITABLE),
        (OSError(errno.EAGAIN, "no thread could be started"), FaultKind.STARVED),
        (OSError(errno.EMFILE, "Too many open files"), FaultKind.STARVED),
        (OSError(errno.ENOLCK, "No locks available"), FaultKind.STARVED),
        (TimeoutError(), FaultKind.BUSY),
        (None, FaultKind.BUSY),
    ],
)
def test_the_lock_of_writers_has_faults_too(error: OSError | None, kind: FaultKind) -> None:
    timeout = DependencyTimeoutException("The key store did not answer in time.")
    timeout.__cause__ = error
    fault = fault_met(timeout, writing=True)
    assert fault is not None
    assert fault.kind is kind
    assert ("EACCES: Permission denied" in fault.reason) is (kind is FaultKind.UNREACHABLE)


def test_a_defect_of_the_reader_is_no_fault_of_the_database(store: SqlStore) -> None:
    with pytest.raises(ZeroDivisionError), store.read():
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="planted"), store.read():
        raise ValueError("planted")
    assert sum(store.counters.faults.values()) == 0


def test_writes_are_tried_only_after_they_have_failed(store: SqlStore) -> None:
    store.retry_writes()
    assert store.counters.transactions.total == 0
    begun = store.version()
    store.try_write()
    assert store.version() != begun


def test_errors_show_no_values_of_rows(store: SqlStore) -> None:
    store.write(lambda transaction: transaction.add_key(make_key(1)))
    with pytest.raises(DBAPIError) as caught:
        store.write(lambda transaction: transaction.add_key(make_key(1)))
    assert make_key(1).key_id not in str(caught.value)


def test_a_table_that_was_emptied_is_a_fault_that_names_it(store: SqlStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "strongroom.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM database_history")
    with pytest.raises(StoreDamaged) as caught, store.read() as reader:
        reader.database_position()
    assert "a table that is never empty (database_history, while reading)" in caught.value.explanation
    assert store.counters.faults[FaultKind.EMPTIED] == 1
