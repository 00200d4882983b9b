"""Opens the database for a process that may only read its files. It writes, upgrades and creates nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from strongroom.store.quarantine import Quarantine
from strongroom.store.row_authenticator import RowAuthenticator
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sqlite.engine import BUSY_TIMEOUT, decode_text
from strongroom.store.sqlite.faults import fault_of_sqlite
from strongroom.store.sqlite.schema_version import require_this_schema


class UnreadableStoreError(Exception):
    """The database cannot be read; the message says why."""

    def __init__(self, error: DBAPIError | sqlite3.Error) -> None:
        super().__init__(str(error.orig if isinstance(error, DBAPIError) else error))
        self.kind = fault_of_sqlite(error, writing=False).kind
        """The kind of the fault."""


class ReadOnlyStore:
    """Reads of a database, also while servers write to it. See ``protocol.Readable``."""

    def __init__(self, path: Path, *, untouched: bool = False) -> None:
        """Read the database file ``path``. For ``untouched``, see ``connect_read_only``."""
        self._engine = create_engine(
            "sqlite://", creator=lambda: connect_read_only(path, untouched=untouched), poolclass=NullPool
        )
        self._authenticator: RowAuthenticator | None = None

    def authenticate(self, authenticator: RowAuthenticator) -> None:
        """Authenticate rows from now on."""
        self._authenticator = authenticator

    @contextmanager
    def read(self) -> Iterator[SqlReader]:
        """Open a consistent read; raises UnreadableStoreError."""
        with self.connect() as connection:
            yield SqlReader(connection, RowGuard(Quarantine(), self._authenticator))

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection that sees one state; raises UnreadableStoreError."""
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                yield connection
        except (DBAPIError, sqlite3.Error) as error:
            raise UnreadableStoreError(error) from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def open_read_only(path: Path, *, untouched: bool = False) -> ReadOnlyStore:
    """Open a database that has this release's schema; raises UnreadableStoreError, UnknownSchemaError."""
    store = ReadOnlyStore(path, untouched=untouched)
    try:
        with store.connect() as connection:
            require_this_schema(connection)
    except BaseException:
        store.close()
        raise
    return store


def is_unused(path: Path) -> bool:
    """Tell whether no process has a database open, so that all of it is in the database file itself."""
    return not path.with_name(f"{path.name}-wal").exists()


def connect_read_only(path: Path, *, untouched: bool = False) -> sqlite3.Connection:
    """Return a connection that only reads; raises sqlite3.Error.

    ``untouched`` leaves also the folder of a database as it is that no process has open: SQLite then makes no file
    beside it. If a process opens the database later, what is read is not to be relied upon.
    """
    address = path.resolve().as_uri()
    if untouched and is_unused(path):
        return _open_readable(f"{address}?mode=ro&immutable=1")
    try:
        return _open_readable(f"{address}?mode=ro")
    except sqlite3.OperationalError:
        # In WAL mode there is a file beside the database, made on opening if it is not there (sqlite.org/wal.html, 5).
        # A process that may not create it can still read a database that no process has open: then everything is in the
        # database file itself.
        if not is_unused(path):
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
