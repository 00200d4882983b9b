"""Faults of PostgreSQL: what a write or a read gets, what is counted, and that it ends without a restart."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

import psycopg
import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hasty_stores import eventually, hastily_opened
from keys_builder import make_key
from postgresql import SERVER, Cluster
from server_processes import PATIENCE, wait_until
from strongroom.entropy import system_entropy
from strongroom.errors import DependencyTimeoutException, ValidationException
from strongroom.keys.kms_key import KmsKey
from strongroom.problems import Problems
from strongroom.store.faults import FaultKind, StoreDamaged, StoreUnavailable
from strongroom.store.integrity import UncheckedError
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.postgresql.verification import check_tables
from strongroom.store.protocol import Transaction
from strongroom.store.records import AccountRecord, KeyUse
from strongroom.store.scopes import AccountScope, KeyScope

NOW = 1_790_000_000.0
ACCOUNT = "111122223333"
KEY = make_key(1)
MORE = 10
"""So many changes more show that writes go on."""
LATE, UNREACHABLE = "The key store did not answer in time.", "The key store cannot be reached now."
CROWDED = "The key store has no free connection now."
TERMINATE = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{SERVER}'"  # noqa: S608 - our own name


@pytest.fixture
def database(postgresql: Cluster) -> Iterator[str]:
    with postgresql.database() as name, closing(postgresql.store(name)) as store:
        store.write(lambda transaction: transaction.add_key(KEY))
        store.write(lambda transaction: transaction.add_account(AccountRecord(ACCOUNT, NOW)))
        yield name
        postgresql.run(f"ALTER ROLE {SERVER} IN DATABASE {name} RESET ALL")


def opened(cluster: Cluster, database: str) -> PostgresqlStore:
    """Open a store that gives no call up for being slow, as on a busy machine."""
    pool = open_postgresql(cluster.address(database, SERVER), size=4, wait=PATIENCE, statement_limit=PATIENCE)
    return PostgresqlStore(pool, system_entropy, time_limit=PATIENCE, problems=Problems())


@pytest.fixture
def store(postgresql: Cluster, database: str) -> Iterator[PostgresqlStore]:
    with closing(opened(postgresql, database)) as store:
        assert load(store) == KEY
        yield store


@pytest.fixture
def hasty(postgresql: Cluster, database: str) -> Iterator[PostgresqlStore]:
    """Return a store that gives calls up soon. What succeeds with it does so ``eventually``: it may be too slow."""
    with closing(hastily_opened(postgresql, database)) as store:
        assert eventually(lambda: load(store)) == KEY
        yield store


def load(store: PostgresqlStore) -> KmsKey | None:
    with store.read() as reader:
        return reader.key(KEY.locator)


def change(transaction: Transaction) -> str:
    before = transaction.key(KEY.locator)
    assert before is not None
    after = replace(before, description=before.description + "x")
    transaction.save_key(before, after)
    return after.description


def write(store: PostgresqlStore) -> str:
    return store.write(change, KeyScope(KEY.account, KEY.key_id))


def assert_fails(call: Callable[[], object], store: PostgresqlStore, kind: FaultKind, message: str) -> None:
    """Call something that must fail with a typed error and be counted, within the limits of time."""
    counted, begun = store.counters.faults[kind], time.monotonic()
    with pytest.raises((StoreUnavailable, StoreDamaged)) as caught:
        call()
    assert time.monotonic() - begun < PATIENCE / 2
    assert str(caught.value.message).startswith(message)
    assert store.counters.faults[kind] > counted, store.counters.faults


def test_acknowledged_changes_outlive_a_crash_of_the_database_and_each_is_made_once(
    postgresql: Cluster, database: str
) -> None:
    with closing(postgresql.store(database)) as store:
        ended = threading.Event()
        acknowledged: list[int] = []

        def fill(first: int) -> None:
            number = first
            while not ended.is_set():
                record = AccountRecord(f"{number:012}", NOW)
                with suppress(DependencyTimeoutException):
                    store.write(lambda t: t.add_account(record), AccountScope(""))  # noqa: B023 - run at once
                    acknowledged.append(number)
                number += 4

        def go_on() -> None:
            before = len(acknowledged)
            wait_until(lambda: len(acknowledged) > before + MORE)

        with ThreadPoolExecutor(4) as threads:
            fillers = [threads.submit(fill, number) for number in range(1, 5)]
            try:
                for mode in ("immediate", "fast"):
                    go_on()
                    postgresql.stop(mode)
                    postgresql.start()
                go_on()
            finally:
                ended.set()
            for filler in fillers:
                filler.result(PATIENCE)
        with store.read() as reader:
            accounts = {int(record.account) for record in reader.accounts()} - {int(ACCOUNT)}
        assert set(acknowledged) <= accounts
        changes = store.changes(0)
        assert changes.complete
        names = [entry.name for entry in changes.entries]
        assert len(names) == len(set(names))


def test_connections_that_the_server_has_ended_are_replaced(postgresql: Cluster, store: PostgresqlStore) -> None:
    with ExitStack() as open_reads:
        for _ in range(4):
            open_reads.enter_context(store.read())
    postgresql.run(TERMINATE)
    assert write(store) == "x"
    # One that has ended says that all have.
    with ExitStack() as open_connections:
        for _ in range(4):
            connection = open_connections.enter_context(store._database.connect())
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    postgresql.run(TERMINATE)
    assert load(store)
    attempts: list[int] = []

    def end_then_change(transaction: Transaction) -> str:
        attempts.append(1)
        if len(attempts) == 1:
            postgresql.run(TERMINATE)
        return change(transaction)

    assert store.write(end_then_change) == "xx"
    assert len(attempts) == 2
    assert_fails(lambda: read_while(store, lambda: postgresql.run(TERMINATE)), store, FaultKind.CONNECTION, UNREACHABLE)
    assert load(store)


def read_while(store: PostgresqlStore, happens: Callable[[], object]) -> None:
    with store.read() as reader:
        reader.key(KEY.locator)
        happens()
        reader.key(KEY.locator)


def test_a_database_that_is_down_is_said_and_used_again_when_it_is_back(
    postgresql: Cluster, hasty: PostgresqlStore
) -> None:
    postgresql.stop("fast")
    try:
        for call in (lambda: load(hasty), lambda: write(hasty), hasty.version, lambda: hasty.changes(0)):
            assert_fails(call, hasty, FaultKind.CONNECTION, UNREACHABLE)
    finally:
        postgresql.start()
    assert eventually(lambda: write(hasty)) == "x"
    hasty.retry_writes()


def test_a_frozen_server_holds_no_call_longer_than_the_limits(postgresql: Cluster, hasty: PostgresqlStore) -> None:
    """Its kernel goes on to acknowledge packets, and to accept connections."""
    reading = ExitStack()
    reader = reading.enter_context(hasty.read())
    with postgresql.frozen():
        # The deadline ends the statement, and that of connecting the next attempt.
        assert_fails(lambda: write(hasty), hasty, FaultKind.CONNECTION, UNREACHABLE)
        assert_fails(lambda: load(hasty), hasty, FaultKind.CONNECTION, UNREACHABLE)
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable), reading:
            reader.key(KEY.locator)
        assert time.monotonic() - begun < PATIENCE / 2
    postgresql.until_ready()
    assert eventually(lambda: write(hasty)) in {"x", "xx"}


def test_a_database_that_may_only_be_read(postgresql: Cluster, database: str, hasty: PostgresqlStore) -> None:
    setting = f"ALTER ROLE {SERVER} IN DATABASE {database}"
    postgresql.run(f"{setting} SET default_transaction_read_only = on", TERMINATE)
    assert_fails(lambda: write(hasty), hasty, FaultKind.STANDBY, "The key store cannot be written now.")
    assert eventually(lambda: load(hasty)) == KEY
    postgresql.run(f"{setting} RESET ALL")
    # The next failed attempt has closed the connections, so that another host could be found.
    assert eventually(lambda: write(hasty)) == "x"
    hasty.retry_writes()


def test_a_pool_without_a_free_connection(postgresql: Cluster, database: str) -> None:
    with closing(hastily_opened(postgresql, database, size=1, statement_limit=PATIENCE)) as store:
        with store.read() as reader:
            assert_fails(lambda: write(store), store, FaultKind.CROWDED, CROWDED)
            assert reader.key(KEY.locator) == KEY
        assert eventually(lambda: write(store)) == "x"


def test_a_server_without_a_free_connection(postgresql: Cluster, hasty: PostgresqlStore) -> None:
    postgresql.run(f"ALTER ROLE {SERVER} CONNECTION LIMIT 0", TERMINATE)
    try:
        assert_fails(lambda: write(hasty), hasty, FaultKind.CROWDED, CROWDED)
    finally:
        postgresql.run(f"ALTER ROLE {SERVER} CONNECTION LIMIT -1")
    assert eventually(lambda: write(hasty)) == "x"


def test_a_node_that_pauses_in_a_transaction_does_not_keep_its_locks(
    postgresql: Cluster, database: str, store: PostgresqlStore
) -> None:
    postgresql.run(f"ALTER ROLE {SERVER} IN DATABASE {database} SET idle_in_transaction_session_timeout = '200ms'")
    postgresql.run(TERMINATE)
    attempts: list[int] = []

    def pause_then_change(transaction: Transaction) -> str:
        attempts.append(1)
        time.sleep(0.5 if len(attempts) == 1 else 0)
        return change(transaction)

    assert store.write(pause_then_change, KeyScope(KEY.account, KEY.key_id)) == "x"
    # On a busy machine the next attempt may pause for as long.
    assert len(attempts) > 1


def test_a_lock_is_waited_for_and_then_given_up(
    postgresql: Cluster, database: str, store: PostgresqlStore, hasty: PostgresqlStore
) -> None:
    limit = f"ALTER ROLE {SERVER} IN DATABASE {database} SET lock_timeout = '200ms'"
    postgresql.run(limit, TERMINATE)
    with closing(psycopg.connect(postgresql.address(database))) as holder:
        holder.execute("SELECT 1 FROM kms_key FOR UPDATE")
        assert_fails(lambda: write(hasty), hasty, FaultKind.BUSY, LATE)
        assert eventually(lambda: load(hasty)) == KEY
        # It was the fault of no server, so the connections are kept, and the lock may come in time.
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(write, store)
            try:
                wait_until(lambda: waits_for_a_lock(postgresql))
            finally:
                holder.rollback()
            assert waiting.result(PATIENCE) == "x"


def waits_for_a_lock(cluster: Cluster) -> bool:
    with closing(psycopg.connect(cluster.address())) as connection:
        found = connection.execute("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
    return found is not None


def test_a_deadlock_is_run_again(postgresql: Cluster, database: str, store: PostgresqlStore) -> None:
    other = make_key(2)
    store.write(lambda transaction: transaction.add_key(other))
    meeting = threading.Barrier(2)
    attempts: list[int] = []

    def both(first: KmsKey, second: KmsKey) -> Callable[[Transaction], None]:
        def act(transaction: Transaction) -> None:
            attempts.append(1)
            for key in (first, second):
                found = transaction.key(key.locator)
                assert found is not None
                transaction.save_key(found, replace(found, description=found.description + "x"))
                if key is first and len(attempts) <= 2:
                    with suppress(threading.BrokenBarrierError):
                        meeting.wait(PATIENCE)

        return act

    with closing(opened(postgresql, database)) as second, ThreadPoolExecutor(2) as threads:
        writing = threads.submit(store.write, both(KEY, other)), threads.submit(second.write, both(other, KEY))
        for done in writing:
            done.result(PATIENCE)
    # On a busy machine, what is run again may have to wait longer than a lock may take, and is run once more.
    assert len(attempts) > 2


def test_a_statement_that_takes_too_long(postgresql: Cluster, database: str, hasty: PostgresqlStore) -> None:
    def sleep(transaction: Transaction) -> None:
        transaction._connection.exec_driver_sql("SELECT pg_sleep(60)")  # type: ignore[attr-defined]

    # Our own limit, and that of the server.
    assert_fails(lambda: hasty.write(sleep), hasty, FaultKind.BUSY, LATE)
    postgresql.run(f"ALTER ROLE {SERVER} IN DATABASE {database} SET statement_timeout = '200ms'", TERMINATE)
    assert_fails(lambda: hasty.write(sleep), hasty, FaultKind.BUSY, LATE)


def test_rights_and_tables_that_are_missing(postgresql: Cluster, database: str, store: PostgresqlStore) -> None:
    postgresql.run(f"REVOKE UPDATE ON kms_key FROM {SERVER}", database=database)
    assert_fails(lambda: write(store), store, FaultKind.DENIED, "The key store cannot be used now.")
    postgresql.run(f"GRANT UPDATE ON kms_key TO {SERVER}", database=database)
    postgresql.run("ALTER TABLE kms_key RENAME TO elsewhere", database=database)
    try:
        assert_fails(lambda: load(store), store, FaultKind.SCHEMA, "The key store is damaged")
    finally:
        postgresql.run("ALTER TABLE elsewhere RENAME TO kms_key", database=database)
    assert write(store) == "x"


def test_values_that_postgresql_cannot_hold_are_refused(store: PostgresqlStore) -> None:
    for value in ("a\0b", "\0"):
        with pytest.raises(ValidationException):
            store.write(lambda t: t.save_key(KEY, replace(KEY, description=value)))  # noqa: B023 - run at once
    with pytest.raises(ValidationException):
        store.write(lambda t: t.note_key_uses([KeyUse(KEY.locator, "E" * 65, NOW, "e", "r")], NOW))
    assert load(store) == KEY
    assert sum(store.counters.faults.values()) == 0


def test_a_damaged_page_is_met_and_found_by_the_check(postgresql: Cluster) -> None:
    """The database is not used again."""
    with postgresql.scratch() as name, closing(opened(postgresql, name)) as store:
        store.write(lambda transaction: transaction.add_key(KEY))
        store.check()
        store._integrity.wait(PATIENCE)
        assert store.counters.checks == {"whole": 1, "damaged": 0, "failed": 0}
        postgresql.zero_bytes("kms_key", name)
        assert_fails(lambda: load(store), store, FaultKind.DAMAGED, "The key store is damaged")
        found = check_tables(store._database)
        assert found.findings == ("kms_key: XX001: DataCorrupted",)


def test_a_check_of_a_database_that_is_away_finds_nothing(postgresql: Cluster, hasty: PostgresqlStore) -> None:
    postgresql.stop("fast")
    try:
        with pytest.raises(UncheckedError, match="cannot be reached"):
            check_tables(hasty._database)
    finally:
        postgresql.start()
    wait_until(lambda: check_tables(hasty._database).is_whole)


def test_a_generation_that_was_lowered_is_found(postgresql: Cluster) -> None:
    with postgresql.scratch() as name, closing(opened(postgresql, name)) as store:
        store.write(lambda transaction: transaction.add_account(AccountRecord("123456789012", 0)))
        assert check_tables(store._database).is_whole
        postgresql.run("UPDATE generation SET number = number - 1", database=name)
        assert check_tables(store._database).findings == ("generation: it ends with change 0, but there is change 1",)
        # A write would get a number that there is already.
        assert_fails(lambda: store.write(lambda t: t.add_key(KEY)), store, FaultKind.ROW, "An entry of the key store")
        assert load(store) is None


def test_a_database_without_its_generation(postgresql: Cluster) -> None:
    with postgresql.scratch() as name, closing(opened(postgresql, name)) as store:
        assert load(store) is None
        postgresql.run("DELETE FROM generation", database=name)
        assert_fails(lambda: load(store), store, FaultKind.EMPTIED, "The key store is damaged")
        assert check_tables(store._database).findings == ("generation: it has no row",)
        assert_fails(lambda: store.trim_changes(1), store, FaultKind.EMPTIED, "The key store is damaged")
        # Nothing is written without a number.
        assert_fails(lambda: store.write(lambda t: t.add_key(KEY)), store, FaultKind.EMPTIED, "The key store is dam")
        postgresql.run("INSERT INTO generation (number, tag) VALUES (0, '\\x00')", database=name)
        assert load(store) is None


# psycopg warns of a cursor that it could not close.
@pytest.mark.filterwarnings("ignore:<psycopg.ServerCursor:ResourceWarning")
def test_a_cursor_of_a_lost_connection_is_closed_without_a_traceback(
    postgresql: Cluster, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = open_postgresql(postgresql.address(database, SERVER))
    numbers = text("SELECT generate_series(1, 1000)")
    with suppress(DBAPIError), pool.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        rows = connection.execute(numbers, execution_options={"yield_per": 10})
        assert rows.fetchmany(10)[0] == (1,)
        postgresql.run(TERMINATE)
        rows.close()
    pool.close()
    assert not [record for record in caplog.records if record.exc_info]
