"""Reads and writes on one connection to PostgreSQL."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select
from sqlalchemy.engine.interfaces import ExecutionContext
from typing_extensions import override

from strongroom.keys.arns import KeyLocator
from strongroom.store.leases.generation import Generation
from strongroom.store.postgresql.change_log import CollectedChanges
from strongroom.store.postgresql.engine import driver_of
from strongroom.store.postgresql.key_statement import read_key_rows
from strongroom.store.postgresql.members import read_members
from strongroom.store.records import MemberRecord
from strongroom.store.sql.key_rows import KeyRows
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.schema import database_history
from strongroom.store.sql.transaction import SqlTransaction

_HISTORIES = select(database_history.c.ordinal, database_history.c.history_id).order_by(database_history.c.ordinal)
_HAS_WRITTEN = "has_written"


class PostgresqlReader(SqlReader):
    """One state of the database, whose generation is ``generation``."""

    def __init__(self, connection: Connection, guard: RowGuard, generation: Generation) -> None:
        super().__init__(connection, guard)
        self.generation = generation

    @override
    def _key_rows(self, locator: KeyLocator) -> KeyRows | None:
        return read_key_rows(driver_of(self._connection), locator)

    @override
    def earlier_histories(self) -> Mapping[int, str]:
        """Return the ids of histories before the present one, by ordinal: logs of other nodes may end in them."""
        found = {row.ordinal: str(row.history_id) for row in self._connection.execute(_HISTORIES)}
        found.popitem()
        return found

    @override
    def members(self) -> Sequence[MemberRecord]:
        """Return the nodes that may serve the database."""
        return read_members(self._connection)


class PostgresqlTransaction(SqlTransaction):
    """One write transaction. Its entries of the change log are collected in ``changes``."""

    def __init__(self, connection: Connection, guard: RowGuard, changes: CollectedChanges) -> None:
        super().__init__(connection, guard, changes)
        self.changes = changes

    @override
    def _key_rows(self, locator: KeyLocator) -> KeyRows | None:
        return read_key_rows(driver_of(self._connection), locator)

    @override
    def members(self) -> Sequence[MemberRecord]:
        """Return the nodes that may serve the database."""
        return read_members(self._connection)

    @property
    def has_written(self) -> bool:
        """Whether a statement that writes was run since this was set to False."""
        return bool(self._connection.info[_HAS_WRITTEN])

    @has_written.setter
    def has_written(self, value: bool) -> None:
        self._connection.info[_HAS_WRITTEN] = value


def note_writing(
    connection: Connection,
    _cursor: object,
    _statement: str,
    _parameters: object,
    context: ExecutionContext | None,
    _executemany: bool,  # noqa: FBT001 - passed by position
) -> None:
    """Take note of a statement that writes, or of which it is not known: a handler of ``before_cursor_execute``."""
    statement = None if context is None else context.invoked_statement
    if statement is None or not statement.is_select:
        connection.info[_HAS_WRITTEN] = True
