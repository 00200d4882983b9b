"""Transactions that are committed together: each fails alone, and none returns before all are on disk."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import event

from keys_builder import locator, make_key
from strongroom.errors import KmsError, NotFoundException, WriteOutcomeUnknown
from strongroom.store.faults import StoreUnavailable
from strongroom.store.protocol import Transaction
from strongroom.store.sqlite.store import SqlStore

THREADS = 6


class Together:
    """Several transactions that meet: the first one writes until all others wait."""

    def __init__(self, store: SqlStore, act: Callable[[int], None]) -> None:
        self.outcomes: dict[int, BaseException | None] = {}
        self._store = store
        self._act = act
        entered = Event()
        self._threads = [Thread(target=self._write, args=(number, entered)) for number in range(THREADS)]
        self._threads[0].start()
        assert entered.wait(60)
        for thread in self._threads[1:]:
            thread.start()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _write(self, number: int, entered: Event) -> None:
        def add(transaction: Transaction) -> None:
            transaction.add_key(make_key(number))
            if number == 0 and not entered.is_set():
                entered.set()
                while self._store._lock._waiting < THREADS - 1:
                    pass
                # The time slice begins when the lock is taken.
                self._store._lock._slice_ends += 10
            self._act(number)

        try:
            self._store.write(add)
        except (KmsError, sqlite3.Error, SystemExit) as error:
            self.outcomes[number] = error
        else:
            self.outcomes[number] = None


def keys(store: SqlStore) -> set[int]:
    with store.read() as reader:
        return {number for number in range(THREADS) if reader.key(locator(number)) is not None}


@pytest.fixture
def commits(store: SqlStore) -> list[bool]:
    found: list[bool] = []
    event.listen(store._engine, "commit", lambda _: found.append(True))
    return found


def test_those_that_meet_share_a_commit(store: SqlStore, commits: list[bool]) -> None:
    version = store.version()
    together = Together(store, lambda _: None)
    assert set(together.outcomes.values()) == {None}
    assert keys(store) == set(range(THREADS))
    assert len(commits) == 1
    assert store.version() != version
    with store.read() as reader:
        assert reader.customer_keys(locator(0).account, locator(0).region) == THREADS
    assert [each.name for each in store.changes(0).entries] != []


@pytest.mark.parametrize("failing", [0, 2, THREADS - 1])
def test_one_that_fails_undoes_nothing_of_the_others(store: SqlStore, failing: int) -> None:
    def act(number: int) -> None:
        if number == failing:
            raise NotFoundException(None)

    together = Together(store, act)
    assert {number for number, outcome in together.outcomes.items() if outcome is not None} == {failing}
    assert isinstance(together.outcomes[failing], NotFoundException)
    assert keys(store) == set(range(THREADS)) - {failing}
    assert len(store.changes(0).entries) == THREADS - 1


def test_a_commit_that_fails_fails_for_all_that_share_it(store: SqlStore) -> None:
    def fail(_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    event.listen(store._engine, "commit", fail)
    together = Together(store, lambda _: None)
    event.remove(store._engine, "commit", fail)
    assert {type(outcome) for outcome in together.outcomes.values()} == {WriteOutcomeUnknown}
    assert keys(store) == set()
    store.write(lambda transaction: transaction.add_key(make_key(1)))
    assert keys(store) == {1}


def test_a_commit_during_which_the_thread_ends_fails_for_all_and_lets_go(store: SqlStore) -> None:
    def end(_: object) -> None:
        raise SystemExit

    event.listen(store._engine, "commit", end)
    together = Together(store, lambda _: None)
    event.remove(store._engine, "commit", end)
    found = Counter(type(outcome) for outcome in together.outcomes.values())
    assert found == {SystemExit: 1, WriteOutcomeUnknown: THREADS - 1}
    assert keys(store) == set()
    store.write(lambda transaction: transaction.add_key(make_key(1)))
    assert keys(store) == {1}


def roll_back_as_a_full_disk_does(raw: list[sqlite3.Connection]) -> None:
    next(each for each in raw if each.in_transaction).execute("ROLLBACK")


@pytest.fixture
def raw(store: SqlStore) -> list[sqlite3.Connection]:
    found: list[sqlite3.Connection] = []
    event.listen(store._engine, "checkout", lambda connection, *_: found.append(connection))
    return found


def test_a_transaction_that_sqlite_rolled_back_is_acknowledged_to_no_writer(
    store: SqlStore, raw: list[sqlite3.Connection]
) -> None:
    def act(number: int) -> None:
        if number == THREADS - 2:
            roll_back_as_a_full_disk_does(raw)

    together = Together(store, act)
    failed = {number for number, outcome in together.outcomes.items() if outcome is not None}
    assert failed.isdisjoint(keys(store))
    assert failed | keys(store) == set(range(THREADS))
    assert THREADS - 2 in failed


def test_writers_that_lost_their_writes_to_the_fault_of_another_one_are_run_again(
    store: SqlStore, raw: list[sqlite3.Connection]
) -> None:
    runs: Counter[int] = Counter()

    def act(number: int) -> None:
        runs[number] += 1
        if number == THREADS - 2 and runs[number] == 1:
            roll_back_as_a_full_disk_does(raw)

    together = Together(store, act)
    assert set(together.outcomes.values()) == {None}
    assert keys(store) == set(range(THREADS))
    assert runs[0] == 2
    assert len(store.changes(0).entries) == THREADS


def test_a_refused_writer_whose_group_could_not_commit_knows_that_it_has_written_nothing(store: SqlStore) -> None:
    def fail(_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def act(number: int) -> None:
        if number == 1:
            raise NotFoundException(None)

    event.listen(store._engine, "commit", fail)
    together = Together(store, act)
    event.remove(store._engine, "commit", fail)
    # What it was refused for may have been written by another member, and is not there.
    assert isinstance(together.outcomes.pop(1), StoreUnavailable)
    assert {type(outcome) for outcome in together.outcomes.values()} == {WriteOutcomeUnknown}


def test_to_scrub_ends_what_is_open(store: SqlStore, tmp_path: Path) -> None:
    scrubbed: list[bool] = []
    scrubber = Thread(target=lambda: scrubbed.append(store.scrub()))

    def act(number: int) -> None:
        if number == 0:
            scrubber.start()
            while store._lock._waiting < THREADS:
                pass

    together = Together(store, act)
    scrubber.join(60)
    assert scrubbed == [True]
    assert set(together.outcomes.values()) == {None}
    assert (tmp_path / "strongroom.db").exists()


def test_to_scrub_changes_no_patience_but_its_own(store: SqlStore) -> None:
    def patience() -> list[int]:
        with store._engine.connect() as one, store._engine.connect() as other:
            return [each.exec_driver_sql("PRAGMA busy_timeout").scalar_one() for each in (one, other)]

    before = patience()
    store._scrubbed = False
    assert store.scrub()
    assert patience() == before
