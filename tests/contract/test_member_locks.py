"""The statements that change both rows of a member: in which order they lock them, and that they are durable."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from postgresql import SERVER, Cluster
from running_agent import LEASE, NODE, until
from strongroom.store.leases.requests import About, Join, Leave, Member
from strongroom.store.postgresql.member_connection import MemberConnection

INCARNATION = b"i" * 16
FOUND = Member(NODE, INCARNATION, 0, 0, LEASE)

RESET = "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"

Act = Callable[[MemberConnection], object]


def leave(connection: MemberConnection) -> None:
    connection.perform(Leave(NODE, INCARNATION))


def remove(connection: MemberConnection) -> None:
    connection.remove(FOUND)


def replace(connection: MemberConnection) -> None:
    connection.perform(Join(NODE, b"j" * 16, LEASE, About("1"), FOUND))


@pytest.fixture
def name(postgresql: Cluster) -> Iterator[str]:
    with postgresql.scratch() as name:
        with closing(MemberConnection(postgresql.address(name, SERVER), 5.0)) as connection:
            connection.perform(Join(NODE, INCARNATION, LEASE, About("1"), None))
        yield name


@contextmanager
def acting(address: str, act: Act) -> Iterator[threading.Thread]:
    """Do something on a thread, on a connection whose commits do not wait by default."""
    with closing(MemberConnection(f"{address} options='-c synchronous_commit=off'", 30.0)) as connection:
        thread = threading.Thread(target=act, args=(connection,))
        thread.start()
        yield thread
        thread.join()


def waits(address: str, column: str, event: str) -> bool:
    """Tell whether a connection to the database waits for something."""
    query = f"SELECT FROM pg_stat_activity WHERE datname = current_database() AND {column} = %s"
    with closing(psycopg.connect(address)) as connection:
        return connection.execute(query.encode(), (event,)).fetchone() is not None


@pytest.mark.parametrize("act", [leave, remove, replace])
def test_the_row_of_the_member_is_locked_before_that_of_its_lease(postgresql: Cluster, name: str, act: Act) -> None:
    """Two that lock them in different orders would wait for each other."""
    address = postgresql.address(name)
    with acting_while_locked(address, postgresql.address(name, SERVER), act) as other:
        until(lambda: waits(address, "wait_event_type", "Lock"))
        assert other.execute("SELECT node FROM granted_lease FOR UPDATE NOWAIT").fetchall() == [(NODE,)]


@contextmanager
def acting_while_locked(address: str, server: str, act: Act) -> Iterator[psycopg.Connection]:
    """Do something on a thread while a connection, which is yielded, has locked the row of the member."""
    with closing(psycopg.connect(address)) as connection:
        connection.execute("SELECT FROM member FOR UPDATE")
        with acting(server, act):
            try:
                yield connection
            finally:
                connection.rollback()


@pytest.mark.parametrize("act", [leave, remove])
@pytest.mark.parametrize("missing", ["member", "granted_lease"])
def test_one_row_is_deleted_durably_where_the_other_one_is_missing(
    postgresql: Cluster, name: str, act: Act, missing: str
) -> None:
    address = postgresql.address(name)
    postgresql.run(f"DELETE FROM {missing}", database=name)  # noqa: S608 - ours
    postgresql.run("ALTER SYSTEM SET synchronous_standby_names = 'missing'", "SELECT pg_reload_conf()")
    try:
        until(lambda: waits_for_a_standby(address))
        with acting(postgresql.address(name, SERVER), act) as thread:
            try:
                until(lambda: waits(address, "wait_event", "SyncRep") or not thread.is_alive())
                assert thread.is_alive()
            finally:
                postgresql.run(*RESET)
    finally:
        postgresql.run(*RESET)
    with closing(MemberConnection(postgresql.address(name, SERVER), 5.0)) as connection:
        assert connection.members().members == []


def waits_for_a_standby(address: str) -> bool:
    with closing(psycopg.connect(address)) as connection:
        return connection.execute("SHOW synchronous_standby_names").fetchall() == [("missing",)]
