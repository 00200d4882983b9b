"""Makes a new SQLite database with the tables of another database.

Meanwhile the file has another name, by which no server opens it.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError
from typing_extensions import override

from strongroom.backup.blocks import SectionHead, Value
from strongroom.store.sql.filling import Entry, Filling, UnfitRowsError
from strongroom.store.sql.schema import change
from strongroom.store.sqlite.engine import WRITE, open_sqlite, truncate_log
from strongroom.store.sqlite.faults import fault_of_sqlite
from strongroom.store.sqlite.schema_version import upgrade
from strongroom.whole_files import sync_path

SIDE_FILES = ("-wal", "-shm", "-journal", "-writer")
"""What SQLite, and this service, keep beside a database."""


class SqliteFilling(Filling):
    """See ``Filling``."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)

    @override
    def insert(self, head: SectionHead, rows: Sequence[Sequence[Value]]) -> None:
        if not rows:
            return
        # The names are those of the schema. SQLAlchemy would convert values, and they are to stay as they were.
        names = ", ".join(f'"{name}"' for name in head.columns)
        statement = f'INSERT INTO "{head.name}" ({names}) VALUES ({", ".join("?" * len(head.columns))})'  # noqa: S608
        try:
            self._connection.connection.cursor().executemany(statement, [tuple(row) for row in rows])
        except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError):
            raise UnfitRowsError(head.name) from None

    @override
    def end_log(self, entry: Entry) -> None:
        number, kind, account, region, name = entry
        values = {"kind": kind, "account": account, "region": region, "name": name}
        self._connection.execute(insert(change).values(sequence=number, **values))


@contextmanager
def filled_file(path: Path) -> Iterator[SqliteFilling]:
    """Make the database file ``path``, fill it, and commit when the block ends; then all of it is on disk.

    Raises StoreUnavailable and StoreDamaged for faults of this database, such as a full disk. Those of the database
    that the block reads from stay as they are.
    """
    try:
        with _filled(path) as filling:
            yield filling
    except (DBAPIError, sqlite3.Error) as error:
        if isinstance(error, DBAPIError) and not isinstance(error.orig, sqlite3.Error):
            raise
        raise fault_of_sqlite(error, writing=True).error(str(path)) from error
    sync_path(path)


@contextmanager
def _filled(path: Path) -> Iterator[SqliteFilling]:
    remove_database(path)
    upgrade(path)
    engine = open_sqlite(path)
    try:
        with engine.connect().execution_options(**WRITE) as connection, connection.begin():
            yield SqliteFilling(connection)
        truncate_log(engine)
    finally:
        engine.dispose()


def remove_database(path: Path) -> None:
    """Remove a database file and what is beside it, if they are there; raises OSError."""
    for extra in (*SIDE_FILES, ""):
        path.with_name(path.name + extra).unlink(missing_ok=True)
