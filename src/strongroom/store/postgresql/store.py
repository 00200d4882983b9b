"""The store over PostgreSQL."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TypeVar

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from strongroom.audit.database_history import DatabasePosition
from strongroom.clock import SystemClock
from strongroom.entropy import Entropy
from strongroom.errors import KmsError
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.problems import Problems
from strongroom.store.counters import StoreCounters
from strongroom.store.fault_watch import FaultWatch
from strongroom.store.faults import FaultKind
from strongroom.store.integrity import IntegrityWatch
from strongroom.store.leases.generation import NO_GENERATION, Generation
from strongroom.store.postgresql import keeper_turn
from strongroom.store.postgresql.change_log import CollectedChanges, SeenChanges, trim
from strongroom.store.postgresql.connection import StoreConnection
from strongroom.store.postgresql.engine import Database, driver_of, long_statements
from strongroom.store.postgresql.faults import Retry, fault_met, retry_of, unfit_value
from strongroom.store.postgresql.groups import Groups
from strongroom.store.postgresql.key_statement import load_key_rows
from strongroom.store.postgresql.statements import Begun, Committed, begin_read
from strongroom.store.postgresql.transaction import PostgresqlReader, PostgresqlTransaction, watch_writing
from strongroom.store.postgresql.verification import check_tables
from strongroom.store.postgresql.writes import Timing, Write
from strongroom.store.quarantine import Quarantine
from strongroom.store.records import Changes
from strongroom.store.row_authenticator import RowAuthenticator
from strongroom.store.scopes import Scope
from strongroom.store.sql.key_rows import key_of
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.sections import TableReader
from strongroom.store.unsettled import Settling

T = TypeVar("T")

TIME_LIMIT = 10.0
"""How long a read tries to begin, and a write to commit, seconds."""

# While the machine is suspended, time passes for the database, which removes receipts, too.
_UPTIME = SystemClock().uptime
_PAUSE = 0.1
_LAST_CHECK = 5.0
_TAG_LENGTH = 8


class PostgresqlStore:
    """Durable state in PostgreSQL, for one of the processes that share it. See ``protocol.Store``."""

    def __init__(
        self,
        database: Database,
        entropy: Entropy,
        *,
        timer: Callable[[], float] = _UPTIME,
        time_limit: float = TIME_LIMIT,
        problems: Problems | None = None,
    ) -> None:
        """Use a database that has this release's schema (``schema_version.require_this_schema``).

        ``problems`` takes what an operator must know. ``time_limit`` is in seconds, as ``timer`` counts them.
        """
        self.settling: Settling | None = None
        self._database = database
        self._entropy = entropy
        self._timing = Timing(timer, time.sleep, time_limit)
        # A write that waits for a lock keeps its connection. Most of the pool is left to reads.
        self._groups = Groups(self._run, max(1, database.size // 4), lambda: self._timing.limit)
        watch_writing(database.engine)
        self._position: DatabasePosition | None = None
        self._is_other_history = False
        self._newest = Committed(NO_GENERATION, 0, 0, is_durable=True)
        self._seen = SeenChanges()
        self.counters = StoreCounters()
        self._counting = threading.Lock()
        problems = problems or Problems()
        self._faults = FaultWatch(database.name, problems, self.counters, timer)
        check = partial(check_tables, database)
        self._integrity = IntegrityWatch(database.name, check, problems, self.counters, timer, self._faults.found_whole)
        self.quarantine = Quarantine()
        self.guard = RowGuard(self.quarantine)

    def authenticate(self, authenticator: RowAuthenticator, problems: Problems) -> None:
        """Authenticate rows from now on. Before that, only what is protected in other ways may be read."""
        self.quarantine = Quarantine(problems, self._count_quarantined)
        self.guard = RowGuard(self.quarantine, authenticator)

    @contextmanager
    def read(self) -> Iterator[PostgresqlReader]:
        """Open a consistent read. It begins again if the connection was lost."""
        with self._counting:
            self.counters.reads += 1
        with self._typed_faults(writing=False), self._begun_read() as (connection, generation):
            yield PostgresqlReader(connection, self.guard, generation)

    def load_key(self, locator: KeyLocator) -> KmsKey | None:
        """Return a key, which is asked for in one message."""
        with self._counting:
            self.counters.reads += 1
        with self._typed_faults(writing=False):
            with ExitStack() as stack:
                _, _, found = self._begin(stack, partial(load_key_rows, locator=locator))
            return key_of(self.guard, locator, found)

    @contextmanager
    def read_tables(self) -> Iterator[TableReader]:
        """Open a consistent read of whole tables, for a backup. Writers go on meanwhile."""
        with self._typed_faults(writing=False), self._begun_read() as (connection, _), long_statements(connection):
            yield TableReader(connection)

    @contextmanager
    def _begun_read(self) -> Iterator[tuple[Connection, Generation]]:
        with ExitStack() as stack:
            yield self._begin_read(stack)

    def _begin_read(self, stack: ExitStack) -> tuple[Connection, Generation]:
        return self._begin(stack, lambda driver: (begin_read(driver), None))[:2]

    def _begin(
        self, stack: ExitStack, begin: Callable[[StoreConnection], tuple[Generation, T]]
    ) -> tuple[Connection, Generation, T]:
        """Begin to read one state of the database; return the connection, the generation, and what was read so far."""
        deadline = self._timing.timer() + self._timing.limit
        while True:
            try:
                with ExitStack() as trial:
                    connection = trial.enter_context(self._database.connect())
                    generation, found = begin(driver_of(connection))
                    stack.push(trial.pop_all())
                    return connection, generation, found
            except Exception as error:
                if retry_of(error) is not Retry.LOST or self._timing.timer() >= deadline:
                    raise
            self._timing.pause(_PAUSE)

    def write(self, act: Callable[[PostgresqlTransaction], T], *scopes: Scope) -> T:
        """Run ``act`` in a write transaction after locking the rows of ``scopes``, perhaps with others (``groups``)."""
        begun = self._timing.timer()
        try:
            with self._typed_faults(writing=True):
                result = self._groups.write(act, scopes)
        finally:
            with self._counting:
                self.counters.transactions.note(self._timing.timer() - begun)
        if self._is_other_history:
            # Here, where it may wait: the position is asked for on the event loop. The next write tries again.
            with suppress(KmsError):
                self._find_position()
        return result

    def _run(self, act: Callable[[PostgresqlTransaction], T], scopes: Sequence[Scope], /, *, again: bool = True) -> T:
        tag = self._entropy(_TAG_LENGTH)
        return Write(self._database, act, scopes, self._open, tag, self._committed).run(self._timing, again=again)

    def _open(self, connection: Connection, changes: CollectedChanges, begun: Begun) -> PostgresqlTransaction:
        """Return a transaction that makes codes with the newest domain key; raises StoreUnavailable."""
        self.guard.require_newest(begun.code_key)
        return PostgresqlTransaction(connection, self.guard, changes, begun)

    def position(self) -> DatabasePosition:
        """Return the newest position of the database that this process has committed or found."""
        return self._position or self._find_position()

    def _find_position(self) -> DatabasePosition:
        with self.read() as reader:
            found = reader.database_position()
        with self._counting:
            # This process may have committed since the read began.
            newest = self._newest.change if self._newest.history == found.history else 0
            if self._position is None or self._is_other_history:
                self._position = msgspec.structs.replace(found, change=max(found.change, newest))
                self._is_other_history = self._newest.history > found.history
            return self._position

    def _committed(self, done: Committed) -> None:
        """Note the position of the database after a commit. Threads call it in any order."""
        with self._counting:
            if (done.history, done.change) <= (self._newest.history, self._newest.change):
                return
            self._newest = done
            position = self._position
            if position is not None and (position.history, position.change) != (done.history, done.change):
                if position.history == done.history:
                    self._position = msgspec.structs.replace(position, change=done.change)
                else:
                    # It stays until the id of the other history has been read.
                    self._is_other_history = True

    def version(self) -> bytes:
        """Return the newest number and tag of the change log. It asks the database."""
        with self._typed_faults(writing=False), self._begun_read() as (_, generation):
            return generation.number.to_bytes(8, "big") + generation.tag

    def hurry(self, limit: float) -> None:
        """Give reads and writes ``limit`` seconds from now on, and each statement as long."""
        self._timing = msgspec.structs.replace(self._timing, limit=limit)
        self._database.hurry(limit)

    def time(self) -> float:
        """Return the time by the clock of the database, epoch seconds."""
        with self._typed_faults(writing=False), self._database.connect() as connection:
            return keeper_turn.now(connection)

    def take_turn(self, holder: str, seconds: float) -> bool:
        """Have ``holder`` do the keeper's work for some seconds, by the database's clock."""
        with self._typed_faults(writing=True), self._database.connect() as connection:
            return keeper_turn.take(connection, holder, seconds)

    def require_answers(self) -> None:
        """Make sure that the database can be read."""
        self.confirm()
        with self.read() as reader:
            reader.domain_keys()

    def confirm(self) -> None:
        """Say which faults of the database have ended."""
        if self._faults.has_damage():
            self.check()
        self._faults.settle()

    def check(self) -> None:
        """Begin to check the whole database in the background; what is found is logged, and reported as a problem."""
        self._integrity.request()

    def retry_writes(self) -> None:
        """If writes have failed, find out whether they succeed again; raises KmsError if not."""
        if self._faults.has_open_writes():
            self.try_write()

    def try_write(self) -> None:
        """Commit a receipt that belongs to nothing, to learn whether writes succeed now; raises KmsError."""
        self.write(lambda _: None)
        self._faults.wrote()
        self._faults.settle()

    def changes(self, after: int) -> Changes:
        """Return the change log after a sequence number. A damaged entry is like one that was trimmed."""
        with self._typed_faults(writing=False), self._begun_read() as (connection, generation):
            try:
                return self._seen.read(connection, generation, after)
            except (ValueError, DBAPIError) as error:
                fault = fault_met(error, writing=False)
                if fault is None or fault.kind is not FaultKind.ROW:
                    raise
                self._faults.note(fault)
                return Changes(entries=(), last=generation.number, complete=False)

    def scrub(self) -> bool:
        """Return True: PostgreSQL cannot overwrite what was erased.

        It stays in dead rows until they are vacuumed, and longer in the write-ahead log, standbys and backups.
        """
        return True

    def trim_changes(self, keep: int) -> None:
        """Remove all but the newest ``keep`` entries of the change log."""
        with self._typed_faults(writing=True), self._database.connect() as connection:
            trim(connection, keep)

    def close(self) -> None:
        """Close all connections, after waiting a moment for a check that uses one."""
        self._integrity.wait(_LAST_CHECK)
        self._database.close()

    @contextmanager
    def _typed_faults(self, *, writing: bool) -> Iterator[None]:
        """Turn faults of the database into typed errors, as ``FaultWatch.typed`` says.

        A value that PostgreSQL cannot hold becomes ValidationException.
        """
        met = partial(fault_met, writing=writing)
        with self._faults.typed(met, self._database.name, self._integrity.request):
            try:
                yield
            except Exception as error:
                refusal = unfit_value(error)
                if refusal is None:
                    raise
                raise refusal from error

    def _count_quarantined(self, number: int) -> None:
        self.counters.quarantined = number
