"""Commits whose outcome is unknown: the write is settled by its receipt, done once or not at all, never twice."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import NoReturn

import psycopg
import pytest
from msgspec.structs import replace

from commit_proxy import AtCommit, CommitProxy
from keys_builder import make_key
from postgresql import SERVER, Cluster
from server_processes import PATIENCE, wait_until
from strongroom.errors import AlreadyExistsException, WriteOutcomeUnknown
from strongroom.keys.kms_key import KmsKey
from strongroom.store.postgresql import change_log
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.postgresql.writes import SETTLED_WITHIN
from strongroom.store.protocol import Transaction
from strongroom.store.scopes import KeyScope

KEY = make_key(1)
SCOPE = KeyScope(KEY.account, KEY.key_id)


@pytest.fixture
def database(postgresql: Cluster) -> Iterator[str]:
    with postgresql.database() as name, closing(postgresql.store(name)) as store:
        store.write(lambda transaction: transaction.add_key(KEY))
        # What a lost connection keeps locked is free after that.
        setting = f"ALTER ROLE {SERVER} IN DATABASE {name}"
        postgresql.run(f"{setting} SET idle_in_transaction_session_timeout = '500ms'")
        yield name
        postgresql.run(f"{setting} RESET ALL")


@pytest.fixture
def proxy(postgresql: Cluster) -> Iterator[CommitProxy]:
    with CommitProxy(postgresql.port) as proxy:
        yield proxy


@pytest.fixture
def store(postgresql: Cluster, database: str, proxy: CommitProxy) -> Iterator[PostgresqlStore]:
    with closing(postgresql.store(database, time_limit=PATIENCE, port=proxy.port)) as store:
        store.version()
        yield store


def current(transaction: Transaction) -> KmsKey:
    found = transaction.key(KEY.locator)
    assert found is not None
    return found


def add_letter(transaction: Transaction) -> str:
    """Make the description longer: a write that is done twice shows."""
    before = current(transaction)
    after = replace(before, description=before.description + "x")
    transaction.save_key(before, after)
    return after.description


def description(cluster: Cluster, database: str) -> str:
    with closing(cluster.store(database)) as store, store.read() as reader:
        found = reader.key(KEY.locator)
    assert found is not None
    return found.description


@pytest.mark.parametrize("how", [AtCommit.LOSE, AtCommit.LOSE_ANSWER, AtCommit.DELAY])
def test_a_commit_whose_connection_is_lost_is_done_once(
    postgresql: Cluster, database: str, proxy: CommitProxy, store: PostgresqlStore, how: AtCommit
) -> None:
    before = store.position().change
    proxy.at_commit = how
    assert store.write(add_letter, SCOPE) == "x"
    proxy.deliver()
    assert description(postgresql, database) == "x"
    assert store.position().change == before + 1
    assert store.write(add_letter, SCOPE) == "xx"


def test_a_commit_is_not_settled_when_its_receipt_may_have_been_removed(
    postgresql: Cluster,
    database: str,
    proxy: CommitProxy,
    store: PostgresqlStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As of a process on a machine that was suspended for hours before it met the loss of its connection."""
    suspended, awake = 0.0, time.clock_gettime

    def clock_gettime(which: int) -> float:
        return awake(which) + (suspended if which == time.CLOCK_BOOTTIME else 0.0)

    def add(transaction: Transaction) -> str:
        nonlocal suspended
        suspended = 2 * change_log.RECEIPTS_KEPT
        return add_letter(transaction)

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    proxy.at_commit = AtCommit.LOSE_ANSWER
    with pytest.raises(WriteOutcomeUnknown):
        store.write(add, SCOPE)
    assert description(postgresql, database) == "x"
    assert SETTLED_WITHIN < change_log.RECEIPTS_KEPT


@pytest.mark.parametrize("of_receipt", [AtCommit.PASS, AtCommit.LOSE, AtCommit.LOSE_ANSWER])
def test_a_delayed_commit_does_not_come_after_the_refusal_of_the_second_attempt(
    postgresql: Cluster, database: str, proxy: CommitProxy, store: PostgresqlStore, of_receipt: AtCommit
) -> None:
    """Also if the commit of the receipt, which keeps it from coming, is lost too."""
    attempts: list[str] = []

    def add_once(transaction: Transaction) -> str:
        attempts.append("")
        if len(attempts) > 1:
            proxy.at_commit = of_receipt
            raise LookupError
        return add_letter(transaction)

    proxy.at_commit = AtCommit.DELAY
    with pytest.raises(LookupError):
        # Without a scope, it does not wait for the locks of the first attempt.
        store.write(add_once)
    proxy.deliver()
    assert description(postgresql, database) == ""


def test_the_result_is_that_of_the_attempt_that_has_committed(
    postgresql: Cluster, database: str, proxy: CommitProxy, store: PostgresqlStore
) -> None:
    attempts: list[str] = []
    lost = [AtCommit.DELAY, AtCommit.LOSE]

    def add_letters(transaction: Transaction) -> tuple[int, str]:
        attempts.append("")
        # The commit of the second attempt is lost too. One that pauses for too long does not come to its commit.
        proxy.at_commit = [*lost, AtCommit.PASS][len(proxy.done)]
        return len(attempts), add_letter(transaction)

    assert store.write(add_letters, SCOPE) == (len(attempts), "x")
    assert proxy.done == lost
    proxy.deliver()
    assert description(postgresql, database) == "x"


def test_an_unknown_outcome_is_said_if_the_database_stays_away(postgresql: Cluster, database: str) -> None:
    # A transaction that pauses for a moment must come to its commit.
    postgresql.run(f"ALTER ROLE {SERVER} IN DATABASE {database} RESET ALL")
    with (
        CommitProxy(postgresql.port) as proxy,
        closing(postgresql.store(database, time_limit=0.5, port=proxy.port)) as store,
    ):
        # The connection that this makes is kept.
        store.version()
        postgresql.run(f"ALTER ROLE {SERVER} NOLOGIN")
        proxy.at_commit = AtCommit.LOSE_ANSWER
        try:
            with pytest.raises(WriteOutcomeUnknown, match=r"cannot be reached now\. Whether the change was made"):
                store.write(add_letter, SCOPE)
        finally:
            postgresql.run(f"ALTER ROLE {SERVER} LOGIN")
        assert proxy.done == [AtCommit.LOSE_ANSWER]
    assert description(postgresql, database) in {"", "x"}


def test_a_refusal_waits_for_the_standby(postgresql: Cluster, database: str) -> None:
    """What it rests on might be lost with the primary."""

    def refuse(transaction: Transaction) -> NoReturn:
        raise AlreadyExistsException(current(transaction).description)

    with (
        closing(postgresql.store(database, time_limit=PATIENCE)) as store,
        without_its_standby(postgresql),
        ThreadPoolExecutor() as threads,
    ):
        outcome = threads.submit(store.write, refuse, SCOPE)
        wait_until(lambda: waiting_for_the_standby(postgresql) or outcome.done())
        assert not outcome.done()
        reset_standby(postgresql)
        with pytest.raises(AlreadyExistsException):
            outcome.result(PATIENCE)


def waiting_for_the_standby(cluster: Cluster) -> bool:
    with closing(psycopg.connect(cluster.address())) as connection:
        found = connection.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'").fetchone()
    return found is not None


@contextmanager
def without_its_standby(cluster: Cluster) -> Iterator[None]:
    """Have a server wait for a standby that is not there."""
    cluster.run("ALTER SYSTEM SET synchronous_standby_names = 'none'")
    # Reloading its settings, it would not tell when it has.
    cluster.stop("fast")
    cluster.start()
    try:
        yield
    finally:
        reset_standby(cluster)


def reset_standby(cluster: Cluster) -> None:
    cluster.run("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")


def test_a_commit_that_does_not_wait_for_its_standby_is_not_taken_for_durable(
    postgresql: Cluster, database: str
) -> None:
    """PostgreSQL reports success, with a warning, if the wait for the standby is cancelled."""
    with closing(postgresql.store(database, time_limit=PATIENCE)) as store:
        before = store.version()
        results: list[str] = []
        writer = threading.Thread(target=lambda: results.append(store.write(add_letter, SCOPE)))
        with without_its_standby(postgresql):
            writer.start()
            cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            deadline = time.monotonic() + PATIENCE
            while store.version() == before:
                assert time.monotonic() < deadline
                postgresql.run(cancel)
            # It is committed, and others see it; but it is not answered.
            time.sleep(0.3)
            assert writer.is_alive()
            assert results == []
        writer.join(PATIENCE)
        assert results == ["x"]
        assert description(postgresql, database) == "x"
