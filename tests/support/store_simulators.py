"""Stores that treat a write as a database with several writers would, around a real store."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import NullPool, create_engine, event
from typing_extensions import override

from strongroom.audit.database_history import DatabasePosition
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Reader, Store, Transaction
from strongroom.store.records import Change, ChangeKind, Changes
from strongroom.store.retries import run_with_retries
from strongroom.store.scopes import AccountScope, KeyScope, Scope
from strongroom.store.sql.transaction import SqlTransaction
from strongroom.store.sqlite.faults import fault_of

T = TypeVar("T")


class WrappedStore:
    """A store that hands everything to another one."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.settling = store.settling

    def write(self, act: Callable[[Transaction], T], *scopes: Scope) -> T:
        return self.store.write(act, *scopes)

    def read(self) -> AbstractContextManager[Reader]:
        return self.store.read()

    def load_key(self, locator: KeyLocator) -> KmsKey | None:
        return self.store.load_key(locator)

    def version(self) -> bytes:
        return self.store.version()

    def time(self) -> float | None:
        return self.store.time()

    def take_turn(self, holder: str, seconds: float) -> bool:
        return self.store.take_turn(holder, seconds)

    def require_answers(self) -> None:
        self.store.require_answers()

    def confirm(self) -> None:
        self.store.confirm()

    def retry_writes(self) -> None:
        self.store.retry_writes()

    def try_write(self) -> None:
        self.store.try_write()

    def check(self) -> None:
        self.store.check()

    def position(self) -> DatabasePosition:
        return self.store.position()

    def changes(self, after: int) -> Changes:
        return self.store.changes(after)

    def scrub(self) -> bool:
        return self.store.scrub()

    def trim_changes(self, keep: int) -> None:
        self.store.trim_changes(keep)

    def close(self) -> None:
        self.store.close()


class SerializationFailure(Exception):
    """What a database says when it rolled a transaction back and the same one may succeed the next time."""


class RerunningStore(WrappedStore):
    """A store in which every write fails after it has run, is rolled back, and is run again."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.reruns = 0

    @override
    def write(self, act: Callable[[Transaction], T], *scopes: Scope) -> T:
        def act_and_fail(transaction: Transaction) -> None:
            act(transaction)
            raise SerializationFailure

        try:
            self.store.write(act_and_fail, *scopes)
        except SerializationFailure:
            self.reruns += 1
        return self.store.write(act, *scopes)


class ScopeCheckingStore(WrappedStore):
    """A store that fails a write that changes something outside the scopes that it declares."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.checked = 0

    @override
    def write(self, act: Callable[[Transaction], T], *scopes: Scope) -> T:
        start = self.store.changes(0).last
        with self.store.read() as before:
            before.accounts()  # from here on this reader sees the state before the write
            result = self.store.write(act, *scopes)
            for change in self.store.changes(start).entries:
                assert is_covered(change, scopes, before), f"{change} is outside {scopes}"
                self.checked += 1
        return result


def is_covered(change: Change, scopes: tuple[Scope, ...], before: Reader) -> bool:
    """Tell whether a change is of something in one of some scopes, given the state before it."""
    owner = AccountScope(change.account)
    match change.kind:
        case ChangeKind.KEY | ChangeKind.GRANT:
            key_id = change.name.partition("/")[0]
            if KeyScope(change.account, key_id) in scopes:
                return True
            # A new key has no row to lock yet; what it could conflict with is the quota of its account.
            is_new = before.key(KeyLocator(change.account, change.region, key_id)) is None
            return is_new and owner in scopes
        case ChangeKind.ALIAS:
            # The aliases of a key go with it when it is erased.
            record = before.alias(AliasLocator(change.account, change.region, change.name))
            return owner in scopes or (record is not None and KeyScope(change.account, record.key_id) in scopes)
        case ChangeKind.ACCOUNT | ChangeKind.XKS_PROXY:
            return AccountScope("") in scopes
        case ChangeKind.IDENTITY | ChangeKind.ACCESS_KEY | ChangeKind.CUSTOM_KEY_STORE | ChangeKind.DOMAIN_KEY:
            return owner in scopes


class RacingStore(WrappedStore):
    """A store in which another writer commits between the last read and the first change of a write.

    Neither a lock nor a transaction keeps the two apart. Each statement sees what is committed, as at READ COMMITTED
    without row locks, so only constraints and guarded statements are left to refuse one of the two.
    """

    def __init__(self, store: Store, database: Path) -> None:
        super().__init__(store)
        self.other_writer: Callable[[], object] | None = None
        """Runs once, before the next change of a write."""
        self._engine = create_engine(f"sqlite:///{database}", poolclass=NullPool)
        event.listen(self._engine, "connect", _commit_each_statement)
        event.listen(self._engine, "before_cursor_execute", self._before_statement)

    @override
    def write(self, act: Callable[[Transaction], T], *scopes: Scope) -> T:
        def attempt() -> T:
            with self._engine.connect() as connection:
                return act(SqlTransaction(connection, self.store.guard))  # type: ignore[attr-defined]

        return run_with_retries(attempt, fault_of, 10.0, time.monotonic)

    def _before_statement(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if self.other_writer is not None and not statement.startswith("SELECT"):
            other_writer, self.other_writer = self.other_writer, None
            other_writer()


class InterposingStore(WrappedStore):
    """A store in which another writer commits just before a write begins: after all that comes before the write."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.other_writers: list[Callable[[], object]] = []
        """One of them runs before each of the next writes."""

    @override
    def write(self, act: Callable[[Transaction], T], *scopes: Scope) -> T:
        if self.other_writers:
            self.other_writers.pop(0)()
        return self.store.write(act, *scopes)


def _commit_each_statement(connection: sqlite3.Connection, _entry: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")
