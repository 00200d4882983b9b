"""Opening the database file."""

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from keys_builder import make_key
from strongroom.store.sql.transaction import SqlTransaction
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.migrate import migrate
from strongroom.store.sqlite.read_only import open_read_only
from strongroom.store.sqlite.store import SqlStore

MEGABYTE = 1024 * 1024


@pytest.mark.parametrize("name", ["what?", "100%", "a%20b", "k=v&l#m", "file:x?mode=memory"])
def test_a_path_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    engine = open_sqlite(folder / "strongroom.db")
    migrate(engine)
    with closing(SqlStore(engine)) as store:
        store.write(lambda transaction: transaction.add_key(make_key()))
        with closing(open_read_only(folder / "strongroom.db")) as copy, copy.read() as reader:
            assert reader.key(make_key().locator) is not None
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert {each.name for each in folder.iterdir()} == {"strongroom.db", "strongroom.db-writer"}


def test_a_connection_is_there_for_every_thread(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "strongroom.db")
    migrate(engine)
    with closing(SqlStore(engine)) as store, ExitStack() as threads:
        for _ in range(50):
            threads.enter_context(store.read())
        # The event loop reads the change log; it would wait here for as long as another thread reads.
        assert store.changes(0).complete


def test_a_log_that_a_reader_let_grow_is_cut(store: SqlStore, tmp_path: Path) -> None:
    path = tmp_path / "strongroom.db-wal"

    def grow(transaction: SqlTransaction) -> None:
        transaction._connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS large (content)")
        transaction._connection.exec_driver_sql("INSERT INTO large VALUES (zeroblob(?))", (10 * MEGABYTE,))

    with closing(sqlite3.connect(tmp_path / "strongroom.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM kms_key").fetchone()
        for _ in range(3):
            store.write(grow)
        assert path.stat().st_size > 30 * MEGABYTE
    # One write moves the log into the database, and the next one begins at its start.
    store.try_write()
    store.try_write()
    assert path.stat().st_size <= 16 * MEGABYTE
