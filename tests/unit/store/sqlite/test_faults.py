"""Which of SQLite's faults allow a write to be run again."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from grants_builder import make_grant
from keys_builder import make_key
from strongroom.errors import DependencyTimeoutException, WriteOutcomeUnknown
from strongroom.store.protocol import Transaction
from strongroom.store.retries import Fault, WriteConflict
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.faults import TransactionRolledBack, fault_of
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
    assert store.counters.failures == 0


def test_a_conflict_that_remains_is_a_typed_fault(store: SqlStore) -> None:
    with pytest.raises(DependencyTimeoutException):
        store.write(lambda transaction: transaction.remove_grant(make_grant(1)))
    assert store.counters.failures == 1
