"""A primary that freezes, and a standby that takes over: nothing acknowledged is lost, and nothing is done twice."""

import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import psycopg
import pytest

from postgresql import SERVER, Cluster, prepared_cluster
from server_processes import PATIENCE, wait_until
from strongroom.entropy import system_entropy
from strongroom.errors import DependencyTimeoutException
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.records import AccountRecord, Changes

NOW = 1_790_000_000.0
WRITERS = 4
SOME = 30
"""So many writes show that they go on."""


@pytest.fixture
def primary() -> Iterator[Cluster]:
    with prepared_cluster() as cluster:
        yield cluster


@pytest.fixture
def standby(primary: Cluster) -> Iterator[Cluster]:
    cluster = Cluster(standby_of=primary)
    try:
        primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        with closing(psycopg.connect(primary.address(), autocommit=True)) as connection:
            state = "SELECT sync_state FROM pg_stat_replication"
            wait_until(lambda: connection.execute(state).fetchall() == [("sync",)])
        yield cluster
    finally:
        cluster.remove()


def opened(primary: Cluster, standby: Cluster, database: str) -> PostgresqlStore:
    address = (
        f"host=127.0.0.1,127.0.0.1 port={primary.port},{standby.port} dbname={database} user={SERVER} "
        "target_session_attrs=read-write connect_timeout=2"
    )
    return PostgresqlStore(open_postgresql(address, statement_limit=1), system_entropy, time_limit=15)


def test_a_standby_takes_over_from_a_frozen_primary(primary: Cluster, standby: Cluster) -> None:
    acknowledged: list[int] = []
    ended = threading.Event()
    with closing(opened(primary, standby, primary.copy())) as store:

        def fill(first: int) -> None:
            number = first
            while not ended.is_set():
                record = AccountRecord(f"{number:012}", NOW)
                with suppress(DependencyTimeoutException):
                    store.write(lambda t: t.add_account(record))  # noqa: B023 - run at once
                    acknowledged.append(number)
                number += WRITERS

        threads = [threading.Thread(target=fill, args=(number,)) for number in range(1, WRITERS + 1)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: len(acknowledged) > SOME)
            with primary.frozen():
                before = len(acknowledged)
                standby.promote()
                wait_until(lambda: len(acknowledged) > before + SOME)
                ended.set()
                for thread in threads:
                    thread.join(PATIENCE)
                accounts, changes = found(store)
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    assert set(acknowledged) <= accounts
    assert changes.complete
    assert sorted(int(entry.name) for entry in changes.entries) == sorted(accounts)


def found(store: PostgresqlStore) -> tuple[set[int], Changes]:
    """Return the numbers of all accounts, and what has changed since the beginning."""
    with store.read() as reader:
        accounts = {int(record.account) for record in reader.accounts()}
    return accounts, store.changes(0)
