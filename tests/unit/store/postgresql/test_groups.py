"""Writes that share a commit: each gets its own result, whatever becomes of the others."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from commit_proxy import AtCommit, CommitProxy
from keys_builder import make_key
from postgresql import SERVER, Cluster
from strongroom.entropy import system_entropy
from strongroom.errors import DependencyTimeoutException, WriteOutcomeUnknown
from strongroom.keys.arns import AliasLocator
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.groups import Groups
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.protocol import Transaction
from strongroom.store.records import AccountRecord, AliasRecord
from strongroom.store.retries import WriteConflict
from strongroom.store.scopes import AccountScope, Scope

NOW = 1_790_000_000.0
Act = Callable[[Transaction], object]


@pytest.fixture
def database(postgresql: Cluster) -> Iterator[str]:
    with postgresql.database() as name:
        yield name


@pytest.fixture
def store(postgresql: Cluster, database: str) -> Iterator[PostgresqlStore]:
    with closing(postgresql.store(database)) as store:
        yield store


def add(number: int, transaction: Transaction) -> int:
    transaction.add_account(AccountRecord(f"{number:012}", NOW))
    return number


def refuse(transaction: Transaction) -> None:
    """Fail for what an earlier write of the group has made."""
    if transaction.account(f"{1:012}") is not None:
        raise LookupError


def change_and_fail(transaction: Transaction) -> None:
    transaction.add_account(AccountRecord("999999999999", NOW))
    raise ZeroDivisionError


def together(store: PostgresqlStore, *acts: Act) -> list[Future[object]]:
    """Have all these writes wait for one that is slow, and so become one group."""
    begun, waited = threading.Event(), threading.Event()

    def be_slow(_: Transaction) -> None:
        begun.set()
        waited.wait(20)

    with ThreadPoolExecutor(len(acts) + 1) as threads:
        slow = threads.submit(store.write, be_slow)
        begun.wait(20)
        futures = []
        for act in acts:
            futures.append(threads.submit(store.write, act))
            while len(store._groups._waiting) < len(futures):
                threading.Event().wait(0.001)
        waited.set()
        slow.result(20)
    return futures


@contextmanager
def counted(store: PostgresqlStore) -> Iterator[list[int]]:
    """Count the transactions: SQLAlchemy takes a connection for each."""
    taken: list[int] = []

    def count(*_: object) -> None:
        taken.append(1)

    event.listen(store._database.engine, "checkout", count)
    yield taken
    event.remove(store._database.engine, "checkout", count)


def accounts(store: PostgresqlStore) -> set[int]:
    with store.read() as reader:
        return {int(record.account) for record in reader.accounts()}


def test_writes_that_wait_share_a_commit(store: PostgresqlStore) -> None:
    with counted(store) as transactions:
        done = together(store, *(partial(add, number) for number in range(1, 9)))
    assert [each.result() for each in done] == list(range(1, 9))
    assert accounts(store) == set(range(1, 9))
    assert len(transactions) == 2
    assert [entry.sequence for entry in store.changes(0).entries] == list(range(1, 9))


def test_a_refusal_does_not_disturb_the_others(store: PostgresqlStore) -> None:
    with counted(store) as transactions:
        first, refused, last = together(store, partial(add, 1), refuse, partial(add, 2))
    assert isinstance(refused.exception(), LookupError)
    assert (first.result(), last.result()) == (1, 2)
    assert len(transactions) == 2
    assert accounts(store) == {1, 2}


def test_a_refusal_by_a_statement_that_has_changed_nothing_does_not_disturb_the_others(store: PostgresqlStore) -> None:
    """As CreateAlias, whose name is taken: only its INSERT knows that."""
    key = make_key(1)
    taken = AliasRecord(AliasLocator(key.account, "us-east-1", "alias/taken"), key.key_id, NOW, NOW)
    store.write(lambda transaction: (transaction.add_key(key), transaction.put_alias(taken, None)))

    def take_again(transaction: Transaction) -> None:
        if not transaction.add_alias(taken, 50):
            raise LookupError

    with counted(store) as transactions:
        first, refused, last = together(store, partial(add, 1), take_again, partial(add, 2))
    assert isinstance(refused.exception(), LookupError)
    assert (first.result(), last.result()) == (1, 2)
    assert len(transactions) == 2
    assert accounts(store) == {1, 2}


def update_and_refuse(transaction: Transaction) -> None:
    """Change a row, and then run a statement that changes none."""
    key = make_key(1)
    transaction.save_key(key, replace(key, description="changed"))
    taken = AliasRecord(AliasLocator(key.account, "us-east-1", "alias/taken"), key.key_id, NOW, NOW)
    assert not transaction.add_alias(taken, 0)
    raise LookupError


def test_a_statement_that_changes_nothing_does_not_hide_one_before_it_that_did(store: PostgresqlStore) -> None:
    key = make_key(1)
    store.write(lambda transaction: transaction.add_key(key))
    futures = together(store, partial(add, 1), update_and_refuse, partial(add, 2))
    assert isinstance(futures[1].exception(), LookupError)
    assert accounts(store) == {1, 2}
    assert store.load_key(key.locator) == key


@pytest.mark.parametrize(("act", "error"), [(change_and_fail, ZeroDivisionError), (partial(add, 1), IntegrityError)])
def test_what_a_failed_write_has_changed_is_rolled_back(store: PostgresqlStore, act: Act, error: type) -> None:
    store.write(partial(add, 1))
    futures = together(store, partial(add, 2), act, partial(add, 3))
    assert isinstance(futures[1].exception(), error)
    assert [futures[0].result(), futures[2].result()] == [2, 3]
    assert accounts(store) == {1, 2, 3}


@pytest.mark.parametrize("how", [AtCommit.LOSE, AtCommit.LOSE_ANSWER])
def test_the_unknown_commit_of_a_group_is_settled_for_all(postgresql: Cluster, database: str, how: AtCommit) -> None:
    with CommitProxy(postgresql.port) as proxy, closing(postgresql.store(database, port=proxy.port)) as store:
        failures = [how]

        def lose_commit(transaction: Transaction) -> int:
            if failures:
                proxy.at_commit = failures.pop()
            return add(1, transaction)

        store.write(partial(add, 9))
        done = together(store, lose_commit, partial(add, 2))
        assert [each.result() for each in done] == [1, 2]
        assert accounts(store) == {1, 2, 9}


def test_a_group_fails_as_a_whole_if_the_database_is_away(postgresql: Cluster, database: str) -> None:
    with closing(postgresql.store(database, time_limit=0.5)) as store:
        store.write(partial(add, 1))

        def stop(transaction: Transaction) -> None:
            add(2, transaction)
            postgresql.stop()

        try:
            futures = together(store, partial(add, 3), stop, partial(add, 4))
            assert {str(each.exception()) for each in futures} == {"The key store cannot be reached now."}
            assert not any(isinstance(each.exception(), WriteOutcomeUnknown) for each in futures)
        finally:
            postgresql.start()
        assert accounts(store) == {1}


def test_writes_of_a_failed_group_leave_connections_to_reads(postgresql: Cluster, database: str) -> None:
    """As when each waits for a lock: all of them together would take the whole pool."""
    pool = open_postgresql(postgresql.address(database, SERVER), size=8, wait=0.1)
    with closing(PostgresqlStore(pool, system_entropy)) as store:
        begun: list[int] = []
        open_now: list[int] = []
        enough, released = threading.Event(), threading.Event()

        def hold(number: int, _: Transaction) -> int:
            begun.append(number)
            open_now.append(pool.in_use)
            if len(begun) == 2:
                enough.set()
            released.wait(20)
            return number

        def fail_once(transaction: Transaction) -> None:
            """Fail after a statement, so that the group is rolled back, and end its own run."""
            transaction.add_account(AccountRecord("999999999999", NOW))
            transaction.account("999999999999")
            raise ZeroDivisionError

        def read_meanwhile() -> set[int]:
            enough.wait(20)
            try:
                return accounts(store)
            finally:
                released.set()

        store.write(partial(add, 1))
        with ThreadPoolExecutor(1) as reader:
            read = reader.submit(read_meanwhile)
            futures = together(store, fail_once, *(partial(hold, number) for number in range(9)))
            assert read.result(20) == {1}
        assert [each.result() for each in futures[1:]] == list(range(9))
        assert max(open_now) <= 3  # with that of the read


def test_a_write_of_a_failed_group_does_not_wait_for_the_others_without_end() -> None:
    released = threading.Event()

    def run(act: Callable[[Any], Any], _scopes: Sequence[Scope], *, again: bool = True) -> Any:
        if not again:
            raise WriteConflict
        return act(None)

    groups = Groups(run, 1, lambda: 0.1)
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(groups.write, lambda _: released.wait(20), ())
        while groups._alone._value:
            threading.Event().wait(0.001)
        with pytest.raises(DependencyTimeoutException, match="did not answer in time"):
            groups.write(lambda _: None, ())
        released.set()
        assert held.result(20)


def test_writes_of_no_account_share_no_commit(store: PostgresqlStore) -> None:
    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(store.write, partial(add, number), AccountScope("")) for number in range(1, 5)]
    assert [each.result() for each in done] == [1, 2, 3, 4]
    assert store.write(lambda transaction: transaction.add_key(make_key(1)))


def test_a_write_that_waits_for_a_lock_does_not_keep_others_waiting(postgresql: Cluster, database: str) -> None:
    with closing(postgresql.store(database, time_limit=60)) as store:
        store.write(partial(add, 1))
        with closing(psycopg.connect(postgresql.address(database))) as holder:
            holder.execute("SELECT 1 FROM account FOR UPDATE")
            with ThreadPoolExecutor(2) as threads:
                locked = threads.submit(store.write, lambda _: "locked", AccountScope(f"{1:012}"))
                other = threads.submit(store.write, partial(add, 2))
                # After the lock timeout of the role.
                assert other.result(30) == 2
                assert not locked.done()
                holder.rollback()
                assert locked.result(60) == "locked"
