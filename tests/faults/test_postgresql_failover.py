"""A primary that freezes, and a standby that takes over: nothing acknowledged is lost, and nothing is done twice."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import psycopg
import pytest

from postgresql import SERVER, Cluster, prepared_cluster
from strongroom.entropy import system_entropy
from strongroom.errors import DependencyTimeoutException
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.records import AccountRecord, Change

NOW = 1_790_000_000.0
WRITERS = 4


@pytest.fixture
def primary() -> Iterator[Cluster]:
    with prepared_cluster() as cluster:
        yield cluster


@pytest.fixture
def standby(primary: Cluster) -> Iterator[Cluster]:
    cluster = Cluster(standby_of=primary)
    try:
        primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        deadline = time.monotonic() + 20
        with closing(psycopg.connect(primary.address(), autocommit=True)) as connection:
            while connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall() != [("sync",)]:
                assert time.monotonic() < deadline
                time.sleep(0.05)
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
        time.sleep(1)
        with primary.frozen():
            before = len(acknowledged)
            standby.promote()
            deadline = time.monotonic() + 20
            while len(acknowledged) < before + 50:
                assert time.monotonic() < deadline, "writes do not go on"
                time.sleep(0.05)
            ended.set()
            for thread in threads:
                thread.join(30)
            with store.read() as reader:
                accounts = {int(record.account) for record in reader.accounts()}
            changes = store.changes(0)
            seen: list[Change] = [*changes.entries]
    assert before > 10
    assert set(acknowledged) <= accounts
    assert changes.complete
    assert sorted(int(entry.name) for entry in seen) == sorted(accounts)
