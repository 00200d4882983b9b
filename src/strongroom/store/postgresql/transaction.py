"""Reads and writes on one connection to PostgreSQL."""

from collections.abc import Mapping, Sequence

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, Table, event, select
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext
from typing_extensions import override

from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.store.leases.generation import Generation
from strongroom.store.postgresql.batched_inserts import BatchedInserts
from strongroom.store.postgresql.change_log import CollectedChanges
from strongroom.store.postgresql.engine import driver_of
from strongroom.store.postgresql.key_statement import read_key_rows
from strongroom.store.postgresql.members import read_members
from strongroom.store.postgresql.statements import Begun
from strongroom.store.records import MemberRecord
from strongroom.store.sql.key_rows import KeyRows
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.schema import database_history, key_count
from strongroom.store.sql.statements import of, where
from strongroom.store.sql.transaction import SqlTransaction

_HISTORIES = select(database_history.c.ordinal, database_history.c.history_id).order_by(database_history.c.ordinal)
_LOCKED_COUNT = select(key_count.c.customer_keys).where(where(key_count, "account", "region")).with_for_update()
_HAS_WRITTEN, _HAD_WRITTEN = "has_written", "had_written"


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
    """One write transaction, which has ``begun``.

    Its entries of the change log are collected in ``changes``, and its plain INSERTs in ``inserts``: those are sent
    before the next statement that may depend on them, or with the COMMIT.
    """

    def __init__(self, connection: Connection, guard: RowGuard, changes: CollectedChanges, begun: Begun) -> None:
        self._direct = connection
        self.inserts = BatchedInserts(driver_of(connection))
        self._customer_keys = dict(begun.customer_keys)
        """How many keys there are without those that wait to be inserted, by account and Region, in locked rows."""
        super().__init__(connection, guard, changes)
        self._found_domain_keys |= begun.domain_keys
        self.changes = changes
        self._kept = changes.size

    # mypy does not see the decorator `override` of a property that has a setter.
    @property  # type: ignore[explicit-override]
    def _connection(self) -> Connection:
        """The connection, for any statement: what waits is sent before."""
        if self.inserts:
            self._has_written = self._has_written or self.inserts.has_own
            # They count the keys that wait.
            self._customer_keys.clear()
            self.inserts.send()
        return self._direct

    @_connection.setter
    def _connection(self, connection: Connection) -> None:
        self._direct = connection

    @property
    @override
    def _unaffected(self) -> Connection:
        return self._direct

    @override
    def _insert(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        self.inserts.add(table.name, rows)

    @override
    def customer_keys(self, account: str, region: str) -> int:
        """Count an account's customer managed keys in a Region. Until the transaction ends, no other one changes that.

        For a group of writes that is asked once.
        """
        place = account, region
        if place not in self._customer_keys:
            found = self._direct.execute(_LOCKED_COUNT, of(account=account, region=region)).scalar_one_or_none()
            if found is None:
                # There is nothing that could be locked yet.
                return super().customer_keys(account, region)
            self._customer_keys[place] = found
        return self._customer_keys[place] + self.inserts.new_keys(*place)

    @override
    def _count_customer_key(self, key: KmsKey, limit: int | None) -> bool:
        count = self.customer_keys(key.account, key.region)
        place = key.account, key.region
        if place not in self._customer_keys:
            return super()._count_customer_key(key, limit)
        if limit is not None and count >= limit:
            return False
        self.inserts.count_key(*place)
        return True

    @override
    def erase_key(self, key: KmsKey) -> None:
        """Remove a key with its materials, tags and aliases."""
        super().erase_key(key)
        self._customer_keys.clear()

    @override
    def erase_damaged_key(self, locator: KeyLocator) -> None:
        """Remove all records of a key, also those that are quarantined."""
        super().erase_damaged_key(locator)
        self._customer_keys.clear()

    @override
    def _key_rows(self, locator: KeyLocator) -> KeyRows | None:
        return read_key_rows(driver_of(self._connection), locator)

    @override
    def members(self) -> Sequence[MemberRecord]:
        """Return the nodes that may serve the database."""
        return read_members(self._connection)

    def begin_member(self) -> None:
        """Begin the next write of a group."""
        self.inserts.keep()
        self._has_written = False
        self._kept = self.changes.size

    def undo_member(self) -> bool:
        """Undo what the present write of a group has done, if nothing of that is in the database yet.

        Otherwise, and if the database refuses whatever follows, return False.
        """
        if self._has_written or driver_of(self._direct).info.transaction_status is not TransactionStatus.INTRANS:
            return False
        self.inserts.drop()
        self.changes.cut(self._kept)
        return True

    @property
    def _has_written(self) -> bool:
        """Whether a statement was run that has written, or may have, since this was set to False."""
        return bool(self._direct.info.get(_HAS_WRITTEN))

    @_has_written.setter
    def _has_written(self, value: bool) -> None:
        self._direct.info[_HAS_WRITTEN] = value


def watch_writing(engine: Engine) -> None:
    """Take note, for each connection of an engine, of statements that write or of which it is not known.

    That is noted before a statement is run, and taken back if it has changed no row: one that fails may have changed
    some.
    """
    event.listen(engine, "before_cursor_execute", _note_writing)
    event.listen(engine, "after_cursor_execute", _note_nothing_written)


def _note_writing(
    connection: Connection,
    _cursor: object,
    _statement: str,
    _parameters: object,
    context: ExecutionContext | None,
    _executemany: bool,  # noqa: FBT001 - passed by position
) -> None:
    connection.info[_HAD_WRITTEN] = connection.info.get(_HAS_WRITTEN)
    statement = None if context is None else context.invoked_statement
    if statement is None or not statement.is_select:
        connection.info[_HAS_WRITTEN] = True


def _note_nothing_written(
    connection: Connection,
    cursor: DBAPICursor,
    _statement: str,
    _parameters: object,
    context: ExecutionContext | None,
    _executemany: bool,  # noqa: FBT001 - passed by position
) -> None:
    # Of a text, such as a SELECT, the number of rows says nothing about what was changed.
    if cursor.rowcount == 0 and context is not None and context.invoked_statement is not None:
        connection.info[_HAS_WRITTEN] = connection.info[_HAD_WRITTEN]
