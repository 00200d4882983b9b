"""Transactions of several threads that become durable together: one commit, one wait for the disk.

Who comes while another still writes goes on in the same transaction of the database, in a savepoint of its own: what it
has written is undone if it fails, and nothing else. Nobody is told anything before all is on disk; if that fails, it
fails for all.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event

from sqlalchemy import Connection, Engine

from strongroom.errors import DependencyTimeoutException
from strongroom.store.sqlite.engine import WRITE, commit, is_writing


class GroupCommit:
    """One transaction of the database, begun; its parts come one after the other."""

    def __init__(self, engine: Engine) -> None:
        with ExitStack() as stack:
            self.connection: Connection = stack.enter_context(engine.connect().execution_options(**WRITE))
            self._transaction = self.connection.begin()
            self._closing = stack.pop_all()
        self._is_first = True
        self._ended = Event()
        self._fault: BaseException | None = None
        self.is_broken = False
        """Whether nobody may go on with it."""

    @contextmanager
    def part(self) -> Iterator[Connection]:
        """Write something; undone when the block raises."""
        try:
            with self._undoing():
                yield self.connection
        finally:
            # SQLite answers some troubles (a full disk) by undoing everything.
            self.is_broken = not is_writing(self.connection)

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        if not self._is_first:
            with self.connection.begin_nested():
                yield
            return
        self._is_first = False
        try:
            yield
        except BaseException:
            # Nobody else has written yet: all of it goes, which is cheaper than a savepoint.
            self._transaction.rollback()
            raise

    def end(self) -> None:
        """Commit, and let everybody who waits go on. Raises only what ends the thread or the process."""
        try:
            with self._closing:
                self._commit()
        except BaseException as error:
            # Each of the parts raises it.
            self._fault = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._ended.set()

    def _commit(self) -> None:
        if not self._transaction.is_active:
            return
        try:
            commit(self.connection, self._transaction)
        except BaseException:
            # Nobody gets this connection again, whatever state it is in.
            self.connection.invalidate()
            raise

    def wait(self) -> None:
        """Wait for the end; raises DependencyTimeoutException if nothing was made durable."""
        self._ended.wait()
        if self._fault is not None:
            raise DependencyTimeoutException("The key store could not write.") from self._fault
