"""A new database whose disk is full is named, with words for the operator."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from strongroom.store.faults import StoreUnavailable
from strongroom.store.sqlite.filling import filled_file

MUCH = "CREATE TABLE much AS SELECT zeroblob(1 << 20) AS bytes"


def by_sqlalchemy(connection: Connection) -> None:
    connection.exec_driver_sql(MUCH)


def by_the_driver(connection: Connection) -> None:
    """Insert as ``SqliteFilling`` does, past SQLAlchemy and its errors."""
    connection.connection.cursor().execute(MUCH)


def fill(path: Path, act: Callable[[Connection], None]) -> None:
    with filled_file(path) as filling:
        # As many pages as there are: as if the disk was full.
        filling._connection.exec_driver_sql("PRAGMA max_page_count=1")
        act(filling._connection)


@pytest.mark.parametrize("act", [by_sqlalchemy, by_the_driver])
def test_a_full_disk_is_said_of_the_new_file(tmp_path: Path, act: Callable[[Connection], None]) -> None:
    path = tmp_path / "moving.db"
    with pytest.raises(StoreUnavailable) as refused:
        fill(path, act)
    assert refused.value.explanation.startswith(f"`{path}` cannot be written: its disk is full (SQLITE_FULL")


def test_a_fault_of_the_database_that_is_read_stays_one(tmp_path: Path) -> None:
    def fail(_connection: Connection) -> None:
        raise OperationalError("SELECT", None, ConnectionError("of another database"))

    with pytest.raises(OperationalError, match="of another database"):
        fill(tmp_path / "moving.db", fail)
