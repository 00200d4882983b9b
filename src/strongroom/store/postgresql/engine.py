"""The pool of connections to a PostgreSQL database.

A connection has no state that a statement of this service leaves behind: no settings, prepared transactions, temporary
tables or advisory locks. So a pooler that gives each transaction another connection can be between, if ``prepare`` is
False.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from strongroom.histogram import Histogram
from strongroom.store.postgresql.address import Address
from strongroom.store.postgresql.connection import STATEMENT_LIMIT, StoreConnection

DATABASE_ERRORS = (DBAPIError, psycopg.Error, PoolTimeoutError)
"""What a statement, or a connection that was asked for, raises if the database fails."""

POOL_SIZE = 16
"""How many connections a process keeps open at most."""

POOL_TIMEOUT = 5.0
"""How long a thread waits for a connection that another one returns, seconds."""

_MOST_LOST = 2
"""After so many connections that were lost, or could not be made, a process that is about to end gives up."""

SCAN_LIMIT = 3600.0
"""How long a statement that reads a whole table may take, seconds."""

CONNECT_TIMEOUT = 3
"""How long connecting to one address may take, with authentication, whole seconds."""


# The pool logs a traceback if it cannot close a cursor of a lost connection. The statement that used it fails, too.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


class GivenUpError(psycopg.InterfaceError):
    """The database was not asked: it had not answered before, and there is no time left."""


class Database:
    """A database and the pool of connections to it. Safe to use from several threads.

    ``name`` is for people.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self._epoch = 0
        self._limit = math.inf
        self._lost_in_a_hurry = 0
        self._ending = ExitStack()
        self._counting = Lock()
        self.waits = Histogram()
        """How long threads waited for a connection, in seconds."""
        event.listen(engine, "connect", self._note_epoch)
        event.listen(engine, "checkout", self._require_epoch)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Take a connection of the pool. What the block leaves open is rolled back.

        A connection that was lost, or on which the end of a transaction is not known, is closed. So are then all others
        before they are used again: if the server has ended, it has ended all.
        """
        connection = self._checked_out()
        driver = driver_of(connection)
        try:
            yield connection
        except BaseException as error:
            if connection.invalidated or driver.closed or _is_read_only(error):
                self.renew()
                self._lost()
                connection.invalidate()
            elif not isinstance(error, Exception):
                connection.invalidate()
            raise
        finally:
            with suppress(*DATABASE_ERRORS):
                connection.close()

    @property
    def in_use(self) -> int:
        """How many connections are in use now."""
        pool = self.engine.pool
        return pool.checkedout() if isinstance(pool, QueuePool) else 0

    def _checked_out(self) -> Connection:
        if self._lost_in_a_hurry >= _MOST_LOST:
            raise GivenUpError("the database has not answered, and this process is about to end")
        began = time.perf_counter()
        try:
            return self.engine.connect()
        except DATABASE_ERRORS:
            self._lost()
            raise
        finally:
            waited = time.perf_counter() - began
            with self._counting:
                self.waits.note(waited)

    def hurry(self, limit: float) -> None:
        """Give statements on connections that are taken from now on ``limit`` seconds at most.

        When connections are lost again and again, nothing more is tried.
        """
        self._limit = limit

    def _lost(self) -> None:
        self._lost_in_a_hurry += self._limit < math.inf

    def renew(self) -> None:
        """Have every connection closed before it is used again."""
        self._epoch += 1

    def on_close(self, act: Callable[[], object]) -> None:
        """Have ``act`` called before the connections are closed, after what was given later."""
        self._ending.callback(act)

    def close(self) -> None:
        """Close all connections."""
        self._ending.close()
        self.engine.dispose()

    def _note_epoch(self, _connection: StoreConnection, record: ConnectionPoolEntry) -> None:
        record.info["epoch"] = self._epoch

    def _require_epoch(self, connection: StoreConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        if record.info["epoch"] != self._epoch:
            raise DisconnectionError
        connection.limit = min(connection.limit, self._limit)


def open_postgresql(
    address: str | Address,
    *,
    size: int = POOL_SIZE,
    wait: float = POOL_TIMEOUT,
    statement_limit: float = STATEMENT_LIMIT,
    prepare: bool = True,
) -> Database:
    """Return the database at ``address``, or at a connection string or URI of libpq. It connects when it is used.

    An address may name several hosts; with ``target_session_attrs=read-write`` the first that is writable is used
    (postgresql.org, "Connection Strings"). At most ``size`` connections are open; a thread waits ``wait`` seconds for
    one. ``statement_limit`` is the deadline of a statement, in seconds. ``prepare`` keeps statements that are used
    often prepared on the server, which some poolers do not support.

    Raises AddressError for a text that is no connection string.
    """
    place = Address(address) if isinstance(address, str) else address
    # Values in the address count.
    timeout = place.parts.get("connect_timeout", CONNECT_TIMEOUT)

    def connect() -> StoreConnection:
        connection = StoreConnection.connect(
            place.conninfo(),
            autocommit=True,
            prepare_threshold=5 if prepare else None,
            connect_timeout=timeout,
            fallback_application_name="strongroom",
            client_encoding="UTF8",
        )
        connection.limit = statement_limit
        connection.watch_warnings()
        return connection

    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=size,
        max_overflow=0,
        pool_timeout=wait,
        # The newest connection first, so that those above the usual load end.
        pool_use_lifo=True,
        # Statements that insert below a limit tell by it whether they have.
        execution_options={"preserve_rowcount": True},
        # Types that this service does not use, and would be asked for in the database.
        use_native_hstore=False,
        # Errors show no values of rows: they get into logs.
        hide_parameters=True,
    )
    return Database(engine, place.name)


@contextmanager
def long_statements(connection: Connection) -> Iterator[None]:
    """Let statements that read whole tables take ``SCAN_LIMIT`` seconds, in the transaction that has begun."""
    driver = driver_of(connection)
    usual, driver.limit = driver.limit, SCAN_LIMIT
    try:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        # What reads whole tables may write for long what it has read, before it reads on.
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{int(SCAN_LIMIT)}s'")
        yield
    finally:
        driver.limit = usual


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Run a block in one READ COMMITTED transaction, which is committed when the block ends.

    Connections are in autocommit mode, so ``Engine.begin`` begins none.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


def driver_of(connection: Connection) -> StoreConnection:
    """Return the driver's connection behind one of SQLAlchemy; raises an error of SQLAlchemy if it was lost."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, StoreConnection):
        raise InvalidRequestError("the connection was lost")
    return driver


def _is_read_only(error: BaseException) -> bool:
    """Tell whether the server was asked to write and may only be read: another host may be the primary now."""
    raised = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(raised, psycopg.errors.ReadOnlySqlTransaction)
