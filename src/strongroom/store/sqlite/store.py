"""The store over SQLite."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from strongroom.audit.database_history import DatabasePosition
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.problems import Problems
from strongroom.store.counters import StoreCounters
from strongroom.store.fault_watch import FaultWatch
from strongroom.store.faults import FaultKind
from strongroom.store.integrity import IntegrityWatch
from strongroom.store.quarantine import Quarantine
from strongroom.store.records import Changes
from strongroom.store.retries import run_with_retries
from strongroom.store.row_authenticator import RowAuthenticator
from strongroom.store.scopes import Scope
from strongroom.store.sql.change_log import newest_change, read_changes, remove_in_slices, trim_oldest
from strongroom.store.sql.domain_keys import newest_version
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.sections import TableReader
from strongroom.store.sql.transaction import SqlTransaction
from strongroom.store.sqlite.engine import BUSY_TIMEOUT, truncate_log
from strongroom.store.sqlite.faults import fault_met, fault_of
from strongroom.store.sqlite.group_commit import GroupCommit
from strongroom.store.sqlite.integrity import check_integrity
from strongroom.store.sqlite.wal_index import WalIndex
from strongroom.store.sqlite.write_ahead_log import WriteAheadLog
from strongroom.store.sqlite.write_lock import WriteLock
from strongroom.store.unsettled import Settling

T = TypeVar("T")

_NUMBERS = 1 << 31


class SqlStore:
    """Durable state in SQLite, for one of the processes that share it. See ``protocol.Store``."""

    def __init__(
        self, engine: Engine, timer: Callable[[], float] = time.perf_counter, problems: Problems | None = None
    ) -> None:
        """Use the database of ``engine``, which has this release's schema.

        ``problems`` takes what an operator must know.
        """
        self.settling: Settling | None = None
        self._engine = engine
        path = Path(str(engine.url.database))
        self._wal_index = WalIndex(path)
        self.version = self._wal_index.version
        """Returns bytes that differ after every commit. It is read at the start of every call, so without a wrapper."""
        self._lock = WriteLock(Path(f"{engine.url.database}-writer"), BUSY_TIMEOUT)
        self._group: GroupCommit | None = None
        self._position: DatabasePosition | None = None
        self._newest_change = 0
        self._timer = timer
        self.counters = StoreCounters()
        self._counting = threading.Lock()
        problems = problems or Problems()
        self._faults = FaultWatch(path.name, problems, self.counters, timer)
        self._integrity = IntegrityWatch(
            path.name, partial(check_integrity, path), problems, self.counters, timer, self._faults.found_whole
        )
        self._log = WriteAheadLog(path, problems, self.counters, timer)
        self.quarantine = Quarantine()
        self.guard = RowGuard(self.quarantine)
        # The last process may have ended between an erasure and the next scrub.
        self._scrubbed = False

    def authenticate(self, authenticator: RowAuthenticator, problems: Problems) -> None:
        """Authenticate rows from now on. Before that, only what is protected in other ways may be read."""
        self.quarantine = Quarantine(problems, self._count_quarantined)
        self.guard = RowGuard(self.quarantine, authenticator)

    @contextmanager
    def read(self) -> Iterator[SqlReader]:
        """Open a consistent read."""
        with self._counting:
            self.counters.reads += 1
        with self._typed_faults(writing=False), self._engine.connect() as connection:
            yield SqlReader(connection, self.guard)

    def load_key(self, locator: KeyLocator) -> KmsKey | None:
        """Return a key."""
        with self.read() as reader:
            return reader.key(locator)

    @contextmanager
    def read_tables(self) -> Iterator[TableReader]:
        """Open a consistent read of whole tables, for a backup. Writers go on meanwhile."""
        with self._typed_faults(writing=False), self._engine.connect() as connection:
            yield TableReader(connection)

    def write(self, act: Callable[[SqlTransaction], T], *_scopes: Scope) -> T:
        """Run ``act`` in a write transaction. SQLite has one writer, so it needs no lock for a scope."""

        def attempt() -> T:
            with self._transaction() as transaction:
                return act(transaction)

        with self._typed_faults(writing=True):
            return run_with_retries(attempt, fault_of, BUSY_TIMEOUT, self._timer)

    @contextmanager
    def _transaction(self) -> Iterator[SqlTransaction]:
        with self._write() as connection:
            if self.guard.authenticator is not None:
                self.guard.require_newest(newest_version(connection, IAM_SCOPE))
            transaction = SqlTransaction(connection, self.guard)
            try:
                yield transaction
            finally:
                if transaction.erased:
                    self._scrubbed = False
                if transaction.is_last and self._group is not None:
                    # A domain key that is not committed cannot be read by this process's other connections.
                    self._group.takes_no_more = True

    def position(self) -> DatabasePosition:
        """Return the newest position of the database that this process has committed or found."""
        return self._position or self._find_position()

    def _find_position(self) -> DatabasePosition:
        with self.read() as reader:
            found = reader.database_position()
        with self._counting:
            # This process may have committed since the read began.
            newest = max(found.change, self._newest_change)
            self._position = self._position or msgspec.structs.replace(found, change=newest)
            return self._position

    def _committed(self, history: int, change: int) -> None:
        """Note the position of the database after a commit. Called in the order of the commits."""
        with self._counting:
            self._newest_change = change
            position = self._position
            if position is not None and (position.history, position.change) != (history, change):
                # The id of another history is read when it is asked for.
                of_same = position.history == history
                self._position = msgspec.structs.replace(position, change=change) if of_same else None

    def hurry(self, limit: float) -> None:
        """Do nothing: this waits for other processes of the machine only, and briefly."""

    def time(self) -> None:
        """Return None: the database is on this machine."""

    def take_turn(self, holder: str, seconds: float) -> bool:  # noqa: ARG002 - see the protocol
        """Return True: no other node has this database."""
        return True

    def require_answers(self) -> None:
        """Make sure that the database is where it was, and can be read."""
        self.confirm()
        self.version()
        with self.read() as reader:
            reader.domain_keys()

    def confirm(self) -> None:
        """Check whether the database was moved, replaced or removed. If so, every later call fails.

        It also says which faults have ended.
        """
        if not self._wal_index.is_in_place():
            if not self._wal_index.is_invalid:
                self._faults.note(self._wal_index.invalidate())
            return
        if self._faults.has_damage():
            self.check()
        self._faults.settle()

    def retry_writes(self) -> None:
        """If writes have failed, find out whether they succeed again; raises KmsError if not."""
        if self._faults.has_open_writes():
            self.try_write()

    def try_write(self) -> None:
        """Commit something that is of no consequence, to learn whether writes succeed now; raises KmsError."""
        with self._typed_faults(writing=True), self._write() as connection:
            # SQLite keeps this number for applications, and this one does not use it (sqlite.org/pragma.html).
            number: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            connection.exec_driver_sql(f"PRAGMA user_version={(number + 1) % _NUMBERS}")
        self._faults.wrote()
        self._faults.settle()

    def check(self) -> None:
        """Begin to check the whole database in the background; what is found is logged, and reported as a problem."""
        self._integrity.request()

    def changes(self, after: int) -> Changes:
        """Return the change log after a sequence number. A damaged entry is like one that was trimmed."""
        with self._typed_faults(writing=False), self._engine.connect() as connection:
            try:
                return read_changes(connection, after)
            except (ValueError, DBAPIError) as error:
                fault = fault_met(error, writing=False)
                if fault is None or fault.kind is not FaultKind.ROW:
                    raise
                self._faults.note(fault)
                # Read before anything is forgotten: what is committed later is found by the next call.
                return Changes(entries=(), last=newest_change(connection), complete=False)

    def scrub(self) -> bool:
        """Overwrite erased key material in free pages and logs; return False if open reads prevent it."""
        with self._typed_faults(writing=True), self._exclusive():
            scrubbed = self._scrubbed = self._scrubbed or truncate_log(self._engine)
        self._log.watch(is_scrubbed=scrubbed)
        return scrubbed

    def trim_changes(self, keep: int) -> None:
        """Remove all but the newest ``keep`` entries of the change log. The newest one stays: it is the position."""

        def remove(most: int) -> int:
            with self._write() as connection:
                return trim_oldest(connection, newest_change(connection) - max(1, keep) + 1, most)

        with self._typed_faults(writing=True):
            remove_in_slices(remove)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
        self._wal_index.close()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        self._wal_index.require_in_place()
        begun = self._timer()
        self._lock.acquire()
        try:
            group = self._group = self._group or GroupCommit(self._engine, self._committed)
        except BaseException:
            self._lock.release()
            raise
        has_written = False
        try:
            with group.join() as connection:
                yield connection
            has_written = True
        finally:
            if group.is_rolled_back or group.takes_no_more or not self._lock.release_to_waiting_thread():
                try:
                    self._commit_group()
                finally:
                    self._lock.release()
            group.wait(has_written=has_written)
            with self._counting:
                self.counters.transactions.note(self._timer() - begun)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keep other writers out until the end of the block, after committing the open group."""
        with self._lock.held():
            self._commit_group()
            yield

    def _commit_group(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            group.commit()

    def _typed_faults(self, *, writing: bool) -> AbstractContextManager[None]:
        """Turn faults of the database into typed errors, as ``FaultWatch.typed`` says."""
        where = str(self._engine.url.database)
        return self._faults.typed(partial(fault_met, writing=writing), where, self._integrity.request)

    def _count_quarantined(self, number: int) -> None:
        self.counters.quarantined = number
