"""Runs one write until it is committed, has failed, or its time is over.

Before its COMMIT is sent, a write whose connection is lost has changed nothing and is run again. Afterwards its outcome
is unknown, and it is settled by its receipt, a row with a random tag that it inserts: the write is run again with the
same tag. If the first attempt has committed, the receipt is there. If it is still in flight, the insert waits for it.
Otherwise the insert keeps it from committing later, and the second attempt counts.

What a write refuses is proved by a commit as well: a refusal may rest on a change that a failover loses, or on what a
former primary still has.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec
import psycopg
from sqlalchemy import Connection

from strongroom.errors import KmsError, WriteOutcomeUnknown
from strongroom.store.postgresql.batched_inserts import refusal_of_rows
from strongroom.store.postgresql.change_log import CollectedChanges
from strongroom.store.postgresql.connection import NotConfirmed, StoreConnection
from strongroom.store.postgresql.engine import DATABASE_ERRORS, Database, driver_of
from strongroom.store.postgresql.faults import Retry, is_refusal, retry_of
from strongroom.store.postgresql.statements import Begun, Committed, Receipt, begin_write, claim, commit, confirm, prove
from strongroom.store.postgresql.transaction import PostgresqlTransaction
from strongroom.store.retries import MAX_RETRIES, Fault
from strongroom.store.scopes import Scope

T = TypeVar("T")

logger = logging.getLogger(__name__)

SETTLED_WITHIN = 1800.0
"""How long after its first attempt a write may be settled, seconds.

Later its receipt may be removed (``change_log``), and a process that was stopped meanwhile would run it twice.
"""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_FAILURES = 500
"""The lowest status of an error that is no refusal of what was asked for."""


class Timing(msgspec.Struct, frozen=True):
    """How long a write is tried: ``limit`` seconds, and as long again to find out whether it has committed.

    ``timer`` counts seconds, ``pause`` waits for some.
    """

    timer: Callable[[], float]
    pause: Callable[[float], object]
    limit: float


class UnknownCommitError(Exception):
    """Whether a commit has happened, or is durable, is not known; the cause says what was lost."""


class Write(Generic[T]):
    """One write with a random ``tag``, which needs the locks of ``scopes``.

    ``act`` gets the transaction that ``open_transaction`` makes of a connection, a change log, and what was found when
    the transaction began. ``committed`` gets the position of the database after the commit.
    """

    def __init__(
        self,
        database: Database,
        act: Callable[[PostgresqlTransaction], T],
        scopes: Sequence[Scope],
        open_transaction: Callable[[Connection, CollectedChanges, Begun], PostgresqlTransaction],
        tag: bytes,
        committed: Callable[[Committed], None],
    ) -> None:
        self._database = database
        self._act = act
        self._scopes = scopes
        self._open = open_transaction
        self._receipt = Receipt(tag, 0)
        self._committed = committed
        self._results: dict[int, T] = {}
        """The results of attempts whose outcome is unknown, by their numbers."""
        self._changes: list[CollectedChanges] = []
        """Those of each attempt."""
        self._refusal: Exception | None = None
        """Why the write fails, if none of these attempts has committed."""

    def run(self, timing: Timing, *, again: bool = True) -> T:
        """Run the write; return its result once it is durable. Without ``again``, its first failure is final.

        Raises WriteOutcomeUnknown if that could not be found out in time; what ``act`` raises; and what the database
        raised last, if it has failed.
        """
        begun = timing.timer()
        deadline = begun + timing.limit
        conflicts = 0
        pause = _FIRST_PAUSE
        while True:
            was_unknown = bool(self._results)
            if was_unknown and timing.timer() >= begun + SETTLED_WITHIN:
                # This process was stopped during the pause.
                raise WriteOutcomeUnknown("The key store did not answer in time.")
            try:
                return self._settle() if was_unknown else self._attempt()
            except Exception as error:  # noqa: BLE001 - it is raised again, unless it is one of a few
                if self._results and not was_unknown:
                    deadline = timing.timer() + timing.limit
                retry = Retry.LOST if isinstance(error, UnknownCommitError) else retry_of(error)
                conflicts += retry is Retry.CONFLICT
                is_final = retry is None or conflicts > MAX_RETRIES[Fault.CONFLICT]
                now = timing.timer()
                is_over = now >= deadline or now >= begun + SETTLED_WITHIN or not (again or self._results)
                self._go_on(error, is_final=is_final, is_over=is_over)
                # The error itself is not logged: its text may have values of the row.
                logger.info("retrying a write (%s)", type(error).__name__)
            if retry in {Retry.LOST, Retry.ROLLED_BACK}:
                timing.pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _go_on(self, error: Exception, *, is_final: bool, is_over: bool) -> None:
        """Raise what the write ends with, unless there is something left to do after an error."""
        if self._results and is_over:
            raise WriteOutcomeUnknown("The key store did not answer in time.") from (error.__cause__ or error)
        if is_over or (is_final and not self._results):
            raise error
        if is_final:
            self._refusal = error

    def _attempt(self) -> T:
        with self._database.connect() as connection:
            return self._run(connection, begun=False)

    def _settle(self) -> T:
        """Return the result of an attempt that has committed; if none has, make sure that none ever does.

        Then the write is run again, or raises what makes it fail.
        """
        with self._database.connect() as connection:
            driver = driver_of(connection)
            self._count()
            if not claim(driver, self._receipt):
                return self._conclude(confirm(driver, self._receipt))
            if self._refusal is None:
                return self._run(connection, begun=True)
            # The receipt alone: no earlier attempt can commit any more.
            return self._conclude(commit(driver, self._receipt, (), claimed=True))

    def _run(self, connection: Connection, *, begun: bool) -> T:
        driver = driver_of(connection)
        if not begun:
            self._count()
        found = begin_write(driver, self._scopes, begun=begun)
        changes = CollectedChanges()
        self._changes.append(changes)
        transaction = self._open(connection, changes, found)
        try:
            result = self._act(transaction)
        except KmsError as error:
            if not begun and error.status < _FAILURES and retry_of(error) is None:
                self._prove_refusal(driver)
            raise
        inserts = transaction.inserts.take()
        # Nothing may have been asked of the server for a while. From here on, a loss leaves the outcome unknown.
        driver.require_open()
        self._results[self._receipt.attempt] = result
        try:
            return self._conclude(commit(driver, self._receipt, changes.entries, inserts, claimed=begun))
        except DATABASE_ERRORS as error:
            if is_refusal(error) and not driver.closed:
                del self._results[self._receipt.attempt]
                raise (refusal_of_rows(error) if inserts and isinstance(error, psycopg.Error) else error) from error
            raise UnknownCommitError from error

    def _prove_refusal(self, driver: StoreConnection) -> None:
        """Make sure that what a refusal rests on is durable, and was read from the primary; raises psycopg.Error."""
        done = prove(driver)
        if not done.is_durable:
            raise NotConfirmed
        self._note(done)

    def _note(self, done: Committed) -> None:
        for changes in self._changes:
            changes.committed = done.generation
        self._committed(done)

    def _count(self) -> None:
        """Begin the next attempt."""
        self._receipt = Receipt(self._receipt.tag, self._receipt.attempt + 1)

    def _conclude(self, done: Committed) -> T:
        if not done.is_durable:
            raise UnknownCommitError
        self._note(done)
        if self._refusal is not None and done.attempt not in self._results:
            self._results = {}
            raise self._refusal
        return self._results[done.attempt]
