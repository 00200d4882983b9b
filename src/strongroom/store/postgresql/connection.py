"""A connection to PostgreSQL on which every statement has a deadline of this process's own.

The server's ``statement_timeout`` ends neither a COMMIT that waits for a standby nor a statement on a server that is
frozen: its kernel goes on to acknowledge packets, so keepalives do not end it either.
"""

from typing import TypeVar

from psycopg import Connection, OperationalError, errors
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic
from psycopg.rows import TupleRow
from typing_extensions import override

T = TypeVar("T")

STATEMENT_LIMIT = 5.0
"""How long a statement or a COMMIT may take, seconds."""

_WAKE_UP = 0.1
_WARNING = "01000"


class PoolerBetweenError(OperationalError):
    """The connection leads to a pooler, where it must lead to the server itself."""

    def __init__(self) -> None:
        super().__init__(
            "a pooler is between, which may send each statement to another server: give the address of the database "
            "server itself in `store-direct`"
        )


class DeadlineError(OperationalError):
    """The server has not answered in time. The connection was closed."""


class NotConfirmed(OperationalError):
    """COMMIT has returned, but no standby has confirmed it: it proves nothing, and a failover may lose it."""

    def __init__(self) -> None:
        super().__init__("no standby has confirmed the commit")


class StoreConnection(Connection[TupleRow]):
    """A connection in autocommit mode: transactions begin and end with statements."""

    limit = STATEMENT_LIMIT
    """How long each following statement may take, seconds."""
    has_warned = False
    """Whether the server has warned, since this was reset: such as that COMMIT did not wait for the standby."""

    @override
    def wait(self, gen: PQGen[T], interval: float = _WAKE_UP, timeout: float | None = None) -> T:
        """Wait for the server; raises DeadlineError after ``limit`` seconds."""
        try:
            return super().wait(gen, interval, self.limit if timeout is None else timeout)
        except errors._WaitTimeout as error:  # noqa: SLF001 - psycopg has no public name for it
            # What the server answers later would be taken for the answer to the next statement.
            self.close()
            raise DeadlineError(f"no answer within {self.limit:g} seconds") from error

    def require_direct(self) -> None:
        """Refuse a pooler; raises PoolerBetweenError.

        It is told by the process id: what a client is told when it connects comes from the pooler then, and what a
        statement finds out comes from a server. A proxy that passes on bytes makes no difference.
        """
        row = self.execute("SELECT pg_backend_pid()").fetchone()
        if row is None or row[0] != self.info.backend_pid:
            raise PoolerBetweenError

    def watch_warnings(self) -> None:
        """Note warnings of the server from now on, in ``has_warned``."""
        self.add_notice_handler(self._note_warning)

    def _note_warning(self, notice: Diagnostic) -> None:
        self.has_warned = self.has_warned or notice.sqlstate == _WARNING
