"""Opens the database for a process that may only read its files. It writes, upgrades and creates nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from strongroom.store.sql.reader import SqlReader
from strongroom.store.sqlite.engine import BUSY_TIMEOUT, decode_text
from strongroom.store.sqlite.schema_version import require_this_schema


class UnreadableStoreError(Exception):
    """The database cannot be read; the message says why."""


class ReadOnlyStore:
    """Reads of a database, also while servers write to it. See ``protocol.Readable``."""

    def __init__(self, path: Path) -> None:
        self._engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=NullPool)

    @contextmanager
    def read(self) -> Iterator[SqlReader]:
        """Open a consistent read; raises UnreadableStoreError."""
        with self.connect() as connection:
            yield SqlReader(connection)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection that sees one state; raises UnreadableStoreError."""
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                yield connection
        except (DBAPIError, sqlite3.Error) as error:
            raise UnreadableStoreError(str(error.orig if isinstance(error, DBAPIError) else error)) from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def open_read_only(path: Path) -> ReadOnlyStore:
    """Open a database that has this release's schema; raises UnreadableStoreError, UnknownSchemaError."""
    store = ReadOnlyStore(path)
    try:
        with store.connect() as connection:
            require_this_schema(connection)
    except BaseException:
        store.close()
        raise
    return store


def _connect(path: Path) -> sqlite3.Connection:
    address = path.resolve().as_uri()
    try:
        return _open_readable(f"{address}?mode=ro")
    except sqlite3.OperationalError:
        # In WAL mode there is a file beside the database, made on opening if it is not there (sqlite.org/wal.html, 5).
        # A process that may not create it can still read a database that no process has open: then everything is in the
        # database file itself.
        if path.with_name(f"{path.name}-wal").exists():
            raise
        return _open_readable(f"{address}?mode=ro&immutable=1")


def _open_readable(uri: str) -> sqlite3.Connection:
    """Return a connection that can be read from; raises sqlite3.Error."""
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    connection.text_factory = decode_text
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection
