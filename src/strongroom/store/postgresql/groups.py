"""Group commit: writes that wait at the same time become durable with one COMMIT.

While one thread runs a transaction, others queue; the next one runs all their writes in one transaction, which locks
all their scopes in order. A write that fails is left out, if nothing that it has inserted was sent yet. There are no
savepoints, which other databases lack: if the database has changed something for it, the transaction is rolled back and
each write is run alone, a few at a time: reads need connections of the pool, too. No write returns before the COMMIT;
what a write refuses may rest on one before it in the group, so it is answered after the COMMIT as well.
"""

import logging
from collections.abc import Callable, Sequence
from enum import Enum
from threading import BoundedSemaphore, Event, Lock
from typing import Any, Generic, Protocol, TypeVar

from strongroom.errors import DependencyTimeoutException, WriteOutcomeUnknown
from strongroom.store.postgresql.faults import Retry, retry_of
from strongroom.store.postgresql.transaction import PostgresqlTransaction
from strongroom.store.scopes import AccountScope, Scope

T = TypeVar("T")

logger = logging.getLogger(__name__)

_MOST = 64


class RunWrite(Protocol):
    """Runs one write until it is durable or has failed."""

    def __call__(
        self, act: Callable[[PostgresqlTransaction], T], scopes: Sequence[Scope], /, *, again: bool = True
    ) -> T:
        """Run ``act``; see ``writes.Write``. Without ``again``, once, unless its outcome is not known."""
        ...


class Turn(Enum):
    """Why a thread that has waited goes on."""

    LEAD = "lead"
    """It runs the next group, with its own write."""
    ALONE = "alone"
    """It runs its own write by itself: the group has failed."""
    DONE = "done"


class Member(Generic[T]):
    """A write that waits for its group."""

    def __init__(self, act: Callable[[PostgresqlTransaction], T], scopes: Sequence[Scope]) -> None:
        self.act = act
        self.scopes = scopes
        self.woken = Event()
        self.turn = Turn.DONE
        self._result: list[T] = []
        self._error: Exception | None = None

    def run(self, transaction: PostgresqlTransaction) -> None:
        """Run the write as one of a group, and keep its result or error.

        Raises MemberFailedError if the transaction cannot be committed without it any more.
        """
        self._result, self._error = [], None
        transaction.begin_member()
        try:
            self._result = [self.act(transaction)]
        except Exception as error:
            retry = retry_of(error)
            if retry in {Retry.LOST, Retry.ROLLED_BACK}:
                raise
            if retry is Retry.CONFLICT or not transaction.undo_member():
                raise MemberFailedError from error
            self._error = error

    def lead(self, run: RunWrite) -> Turn:
        """Run the write as the only one of its group; return whether it must be run again."""
        try:
            self._result = [run(self.act, self.scopes, again=False)]
        except Exception as error:
            if isinstance(error, WriteOutcomeUnknown) or retry_of(error) is None:
                raise
            return Turn.ALONE
        return Turn.DONE

    @property
    def outcome(self) -> tuple[list[T], Exception | None]:
        """What ``run`` has kept. Each run keeps another one: the last need not be the one that was committed."""
        return self._result, self._error

    def take(self, outcome: tuple[list[T], Exception | None]) -> None:
        """Take the outcome of the run that was committed."""
        self._result, self._error = outcome

    def fail(self, error: Exception) -> None:
        """Take the error of the whole group."""
        self._error = error

    def result(self) -> T:
        """Return or raise what the write has returned or raised."""
        if self._error is not None:
            raise self._error
        return self._result[0]


class MemberFailedError(Exception):
    """A write of a group has failed, and what it has changed cannot be rolled back without the others."""


class Groups:
    """Brings the writes of the threads of a process together.

    ``run`` runs one write. After a group has failed, ``alone`` of its writes run at a time; each waits at most
    ``patience()`` seconds to be one of them.
    """

    def __init__(self, run: RunWrite, alone: int, patience: Callable[[], float]) -> None:
        self._run = run
        self._alone = BoundedSemaphore(alone)
        self._patience = patience
        self._lock = Lock()
        self._waiting: list[Member[Any]] = []
        self._is_led = False

    def write(self, act: Callable[[PostgresqlTransaction], T], scopes: Sequence[Scope]) -> T:
        """Run a write with others that wait at the same time; return its result once it is durable.

        Raises what ``run`` raises, and DependencyTimeoutException if others of a group that has failed take too long.
        """
        if AccountScope("") in scopes:
            # Rare, and some of them change what other writes make codes with.
            return self._run(act, scopes)
        member = Member(act, scopes)
        with self._lock:
            leads = not self._is_led
            self._is_led = True
            if not leads:
                self._waiting.append(member)
        if leads:
            self._lead(member)
        else:
            member.woken.wait()
            if member.turn is Turn.LEAD:
                self._lead(member)
        return self._run_alone(act, scopes) if member.turn is Turn.ALONE else member.result()

    def _run_alone(self, act: Callable[[PostgresqlTransaction], T], scopes: Sequence[Scope]) -> T:
        if not self._alone.acquire(timeout=self._patience()):
            raise DependencyTimeoutException("The key store did not answer in time.")
        try:
            return self._run(act, scopes)
        finally:
            self._alone.release()

    def _lead(self, leader: Member[Any]) -> None:
        """Run the write of the leader with all that wait, then wake them, and the thread that leads next."""
        with self._lock:
            group = [leader, *self._waiting[: _MOST - 1]]
            del self._waiting[: _MOST - 1]
        turn = Turn.DONE
        try:
            turn = self._run_group(group)
        except Exception as error:  # noqa: BLE001 - each member raises it
            for member in group:
                member.fail(error)
        except BaseException:
            # What ends this thread is not the others' to raise.
            for member in group:
                member.fail(WriteOutcomeUnknown("The key store did not answer in time."))
            raise
        finally:
            self._hand_over()
            for member in group:
                member.turn = turn
                member.woken.set()

    def _hand_over(self) -> None:
        with self._lock:
            if self._waiting:
                following = self._waiting.pop(0)
                following.turn = Turn.LEAD
                following.woken.set()
            else:
                self._is_led = False

    def _run_group(self, group: Sequence[Member[Any]]) -> Turn:
        """Run a group, and try no second time: one that waits for a lock must not keep all others waiting."""
        if len(group) == 1:
            return group[0].lead(self._run)

        def act(transaction: PostgresqlTransaction) -> list[tuple[list[Any], Exception | None]]:
            for member in group:
                member.run(transaction)
            return [member.outcome for member in group]

        try:
            outcomes = self._run(act, [scope for member in group for scope in member.scopes], again=False)
        except WriteOutcomeUnknown:
            raise
        except Exception as error:  # noqa: BLE001 - nothing was committed, and each meets it again by itself
            logger.info("running %d writes alone (%s)", len(group), type(error).__name__)
            return Turn.ALONE
        for member, outcome in zip(group, outcomes, strict=True):
            member.take(outcome)
        return Turn.DONE
