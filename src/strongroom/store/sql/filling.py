"""Fills an empty database with the tables of another one, in one transaction: all that it has is there, or nothing."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, delete, func, select

from strongroom.backup.blocks import SectionHead, Value
from strongroom.store.quarantine import Quarantine
from strongroom.store.row_authenticator import RowAuthenticator
from strongroom.store.sql.history import HistoryWrites
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.schema import change, database_history, metadata
from strongroom.store.sql.seals import SealWrites
from strongroom.store.sql.sections import MOVED, TableReader

Entry = tuple[int, str, str, str, str]
"""An entry of the change log: number, kind, account, Region, name."""


class NotEmptyError(Exception):
    """A database that is to be filled has something in it already; the message says what."""


class UnfitRowsError(Exception):
    """A database cannot hold some rows of another one, because they are damaged; the message names their table."""

    def __init__(self, table: str) -> None:
        super().__init__(f"records in `{table}` are damaged so that the database cannot hold them")
        self.table = table


class Filling(HistoryWrites, SealWrites, ABC):
    """An open transaction that fills a database. What it has written can be read through it before it is committed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._authenticator: RowAuthenticator | None = None

    def history_id(self) -> str:
        """Return the id of the newest history that the database has."""
        return self.database_position().history_id

    def begin(self) -> None:
        """Make sure that the database has tables and nothing else; raises NotEmptyError."""
        # A new database has a history, and nothing has happened in it.
        for table in (*(metadata.tables[name] for name in sorted(MOVED - {database_history.name})), change):
            if self._connection.execute(select(func.count()).select_from(table)).scalar_one():
                raise NotEmptyError(f"it has rows in `{table.name}`")
        self._connection.execute(delete(database_history))

    @abstractmethod
    def insert(self, head: SectionHead, rows: Sequence[Sequence[Value]]) -> None:
        """Insert rows as they were stored elsewhere; raises UnfitRowsError."""

    @abstractmethod
    def end_log(self, entry: Entry) -> None:
        """Let the change log end with an entry; the next one gets the number after it."""

    def tables(self) -> TableReader:
        """Return what reads the tables as they are in this transaction."""
        return TableReader(self._connection)

    def authenticate(self, authenticator: RowAuthenticator) -> None:
        """Authenticate rows from now on."""
        self._authenticator = authenticator

    @contextmanager
    def read(self) -> Iterator[SqlReader]:
        """Read records as they are in this transaction. See ``protocol.Readable``."""
        yield SqlReader(self._connection, RowGuard(Quarantine(), self._authenticator))
