"""Group commit: the transactions of several threads become durable with one COMMIT and one wait for the disk.

A writer that arrives while another one is writing joins its database transaction, in a separate savepoint. If a
writer fails, only its savepoint is rolled back. No writer returns before the COMMIT; if the COMMIT fails, it fails for
all of them.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import cast

from sqlalchemy import Connection, Engine

from strongroom.errors import DependencyTimeoutException, WriteOutcomeUnknown
from strongroom.store.sqlite.engine import WRITE
from strongroom.store.sqlite.faults import TransactionRolledBack

_POSITION = "SELECT max(ordinal), (SELECT coalesce(max(sequence), 0) FROM change) FROM database_history"


class GroupCommit:
    """One open database transaction that writers join one after the other."""

    def __init__(self, engine: Engine, committed: Callable[[int, int], None]) -> None:
        """Begin a transaction.

        After the COMMIT, and before any member is woken, ``committed`` gets the ordinal of the database's history and
        the number of its newest change.
        """
        with ExitStack() as stack:
            self.connection: Connection = stack.enter_context(engine.connect().execution_options(**WRITE))
            self._transaction = self.connection.begin()
            self._closing = stack.pop_all()
        self._committed = committed
        self._is_first = True
        self._ended = Event()
        self._fault: BaseException | None = None
        self.is_rolled_back = False
        """Whether the database transaction is over already, so that no other writer can join it."""
        self.takes_no_more = False
        """Whether it must be committed before another writer begins."""

    @contextmanager
    def join(self) -> Iterator[Connection]:
        """Write as one member of the group; what the block has written is rolled back if it raises."""
        try:
            with self._savepoint():
                yield self.connection
        finally:
            # SQLite answers some faults, such as a full disk, by rolling the whole transaction back.
            self.is_rolled_back = not _is_in_transaction(self.connection)

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        if not self._is_first:
            with self.connection.begin_nested():
                yield
            return
        self._is_first = False
        try:
            yield
        except BaseException:
            # No other writer has joined yet. Rolling back the whole transaction is cheaper than a savepoint.
            self._transaction.rollback()
            raise

    def commit(self) -> None:
        """Commit, and wake all members.

        ``wait`` raises a failure; this raises only exceptions that end the thread or process.
        """
        try:
            with self._closing:
                self._commit()
        except BaseException as error:
            self._fault = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._ended.set()

    def _commit(self) -> None:
        if not self._transaction.is_active:
            return
        try:
            if not _is_in_transaction(self.connection):
                # The driver would find nothing to commit and report success.
                raise TransactionRolledBack("The key store could not write.")  # noqa: TRY301 - the same clean-up
            history, change = self.connection.exec_driver_sql(_POSITION).one()
            self._transaction.commit()
            self._committed(history, change)
        except BaseException:
            # The connection may be in any state, so it does not return to the pool.
            self.connection.invalidate()
            raise

    def wait(self, *, has_written: bool) -> None:
        """Wait for the COMMIT, as a member that has written something or that failed.

        A member that failed waits as well: it may have failed because of what other members had written.

        Raises TransactionRolledBack if SQLite had rolled the transaction back before the COMMIT. If the COMMIT failed,
        raises WriteOutcomeUnknown for a member that has written: SQLite may have written all of the transaction to its
        log before the fault, and a recovery after a crash would then find it. For another member, raises
        DependencyTimeoutException.
        """
        self._ended.wait()
        if isinstance(self._fault, TransactionRolledBack):
            raise TransactionRolledBack(self._fault.message) from self._fault
        if self._fault is not None:
            kind = WriteOutcomeUnknown if has_written else DependencyTimeoutException
            raise kind("The key store could not write.") from self._fault


def _is_in_transaction(connection: Connection) -> bool:
    """Tell whether a transaction is open: after some faults SQLite has rolled it back by itself."""
    return cast("sqlite3.Connection", connection.connection.driver_connection).in_transaction
