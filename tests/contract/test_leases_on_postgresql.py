"""Agents and settlers on a real PostgreSQL: what they promise each other holds with its statements."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection

from postgresql import SERVER, Cluster
from running_agent import CLOCK, LEASE, NODE, RunningAgent, commit, until
from strongroom.clock import SystemClock
from strongroom.store.leases.bounds import LONGEST_LEASE, READ_PATIENCE, over_everywhere
from strongroom.store.leases.generation import Generation
from strongroom.store.leases.requests import (
    About,
    Acknowledge,
    FindMember,
    FoundChanges,
    Join,
    Leave,
    Member,
    ReadChanges,
    Renew,
)
from strongroom.store.postgresql.connection import NotConfirmed
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.member_connection import MemberConnection, NotAdmitted
from strongroom.store.postgresql.members import read_members
from strongroom.store.postgresql.schema_version import SCHEMA
from strongroom.store.postgresql.settler import Settler
from strongroom.store.records import MemberRecord

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strongroom'"


@pytest.fixture
def address(postgresql: Cluster) -> Iterator[str]:
    with postgresql.database() as name:
        yield postgresql.address(name, SERVER)


@pytest.fixture
def connection(address: str) -> Iterator[MemberConnection]:
    with closing(MemberConnection(address, 5.0)) as connection:
        yield connection


def member(connection: MemberConnection, node: str = NODE) -> Member | None:
    found = connection.perform(FindMember(node))
    assert found is None or isinstance(found, Member)
    return found


# --- the statements --------------------------------------------------------------------------------


def test_a_member_joins_once(connection: MemberConnection) -> None:
    join = Join(NODE, b"i" * 16, LEASE, About("1"), None)
    assert connection.perform(join) is True
    assert connection.perform(join) is False
    assert member(connection) == Member(NODE, b"i" * 16, 0, 0, LEASE)


def test_a_row_is_replaced_only_as_it_was_found(connection: MemberConnection) -> None:
    connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
    found = member(connection)
    connection.perform(Renew(NODE, b"i" * 16))
    assert connection.perform(Join(NODE, b"j" * 16, 2.0, About("2"), found)) is False
    assert connection.perform(Join(NODE, b"j" * 16, 2.0, About("2"), member(connection))) is True
    assert member(connection) == Member(NODE, b"j" * 16, 0, 0, 2.0)
    assert connection.perform(Renew(NODE, b"i" * 16)) is None


def test_a_retired_node_gets_no_lease(connection: MemberConnection, address: str) -> None:
    join = Join(NODE, b"i" * 16, LEASE, About("1"), None)
    connection.perform(join)
    found = member(connection)
    with closing(psycopg.connect(address, autocommit=True)) as other:
        other.execute("INSERT INTO retired_node VALUES (%s, 1, '0123456789abcli')", (NODE,))
    assert connection.perform(Renew(NODE, b"i" * 16)) is None
    with pytest.raises(NotAdmitted, match=f"node {NODE} was retired"):
        connection.perform(Join(NODE, b"j" * 16, LEASE, About("1"), found))
    connection.perform(Leave(NODE, b"i" * 16))
    with pytest.raises(NotAdmitted, match=f"node {NODE} was retired"):
        connection.perform(join)


def test_an_agent_that_cannot_join_says_why_and_asks_with_pauses(postgresql: Cluster, tmp_path: Path) -> None:
    with (
        postgresql.database() as name,
        closing(RunningAgent(postgresql.address(name, SERVER), tmp_path / "page")) as node,
    ):
        until(lambda: node.membership.is_member)
        postgresql.run("DELETE FROM schema_window", database=name)
        # It has to join anew for that.
        node.agent.change_lease(2 * LEASE)
        until(lambda: any("`schema_window` has lost its row" in each.text for each in node.problems.current()))
        made = node.agent.counters.connections
        until(lambda: node.agent.counters.connections >= made + 3)
        assert len(node.membership._own) < 100
        postgresql.run(f"INSERT INTO schema_window (oldest, newest) VALUES ('{SCHEMA}', '{SCHEMA}')", database=name)  # noqa: S608 - ours
        until(lambda: node.membership.is_member)
        until(lambda: not node.problems.current())


def test_members_are_found_with_their_workers_and_whether_they_live(connection: MemberConnection, address: str) -> None:
    with closing(open_postgresql(address)) as database, database.engine.connect() as reader:
        assert read_members(reader) == []
        connection.perform(Join(NODE, b"i" * 16, LEASE, About("1", workers=3), None))
        connection.perform(Join("ffffffffffff", b"j" * 16, 0.1, About("1"), None))
        reader.rollback()
        until(lambda: [each.is_alive for each in _again(reader)] == [True, False])
        assert [(each.node, each.workers) for each in _again(reader)] == [(NODE, 3), ("ffffffffffff", 1)]
        until(lambda: not any(each.is_alive for each in _again(reader)))
        connection.perform(Renew(NODE, b"i" * 16))
        assert _again(reader)[0].is_alive


def _again(reader: Connection) -> list[MemberRecord]:
    reader.rollback()
    return read_members(reader)


def test_a_renewal_says_which_generation_it_saw(connection: MemberConnection, address: str) -> None:
    connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
    number = commit(address)
    generation = connection.perform(Renew(NODE, b"i" * 16))
    assert isinstance(generation, Generation)
    assert generation.number == number
    found = member(connection)
    assert found is not None
    assert found.renewed == 1


def test_changes_come_with_the_generation_that_they_lead_to(connection: MemberConnection, address: str) -> None:
    numbers = [commit(address, name) for name in ("a", "b", "c")]
    found = connection.perform(ReadChanges(numbers[1], 10))
    assert isinstance(found, FoundChanges)
    assert [(each.sequence, each.name) for each in found.changes] == [(numbers[1], "b"), (numbers[2], "c")]
    assert found.generation == Generation(numbers[2], found.changes[-1].tag)
    assert connection.perform(ReadChanges(numbers[0], 1)) == FoundChanges(found.generation, [])


def test_nothing_is_acknowledged_that_the_database_does_not_have(connection: MemberConnection, address: str) -> None:
    number = commit(address)
    connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
    assert connection.perform(Acknowledge(NODE, b"i" * 16, number + 1)) is False
    assert connection.perform(Acknowledge(NODE, b"j" * 16, number)) is False
    assert connection.perform(Acknowledge(NODE, b"i" * 16, number)) is True
    # One that was on its way for long changes nothing.
    assert connection.perform(Acknowledge(NODE, b"i" * 16, number - 1)) is True
    assert member(connection) == Member(NODE, b"i" * 16, 0, number, LEASE)


def test_a_member_is_removed_only_if_it_was_not_renewed(connection: MemberConnection) -> None:
    connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
    found = connection.members().members[0]
    connection.perform(Renew(NODE, b"i" * 16))
    connection.remove(found)
    assert len(connection.members().members) == 1
    connection.remove(connection.members().members[0])
    assert connection.members().members == []


# --- agents and settlers ---------------------------------------------------------------------------


@pytest.mark.parametrize("poll", [None, 0.02], ids=["notified", "polling"])
def test_a_change_is_settled_when_the_agent_has_published_it(address: str, tmp_path: Path, poll: float | None) -> None:
    with (
        closing(RunningAgent(address, tmp_path / "page", poll=poll)) as node,
        closing(Settler(lambda: MemberConnection(address, 5.0), CLOCK)) as settler,
    ):
        node.view.wait_for_lease(10)
        node.view.changes(0)
        for _ in range(5):
            number = commit(address)
            settler.settle(number)
            node.view.version()
            assert node.page.head().generation.number >= number
        assert settler.waited_out == 0


def test_a_change_whose_notification_was_lost_is_found_before_reads_give_up(address: str, tmp_path: Path) -> None:
    """Such as that of a writer that ended between its commit and the notification."""
    with closing(RunningAgent(address, tmp_path / "page", lease=60)) as node:
        node.view.wait_for_lease(10)
        renewals = node.membership.renewals
        number = commit(address)
        until(lambda: node.page.head().generation.number >= number, READ_PATIENCE)
        assert node.membership.renewals == renewals


def test_an_agent_that_stops_is_not_waited_for(address: str, tmp_path: Path, connection: MemberConnection) -> None:
    node = RunningAgent(address, tmp_path / "page")
    node.view.wait_for_lease(10)
    node.close()
    assert member(connection) is None
    with closing(Settler(lambda: MemberConnection(address, 5.0), CLOCK)) as settler:
        settler.settle(commit(address))
        assert settler.waited_out == 0


def test_a_node_that_is_gone_is_waited_for_once(address: str, connection: MemberConnection) -> None:
    connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
    with closing(Settler(lambda: MemberConnection(address, 5.0), CLOCK)) as settler:
        number = commit(address)
        began = time.monotonic()
        settler.settle(number)
        assert over_everywhere(LEASE) - 0.05 < time.monotonic() - began
        assert settler.waited_out == 1
        until(lambda: member(connection) is None)
        settler.settle(commit(address))
        assert settler.waited_out == 1


def test_callers_that_wait_hold_no_thread(address: str, connection: MemberConnection) -> None:
    connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
    settled: list[int] = []
    with closing(Settler(lambda: MemberConnection(address, 5.0), CLOCK)) as settler:
        threads = threading.active_count()
        numbers = [commit(address) for _ in range(50)]
        for number in numbers:
            settler.when_settled(number, partial(settled.append, number))
        settler.when_settled(numbers[-1], lambda: settled.append(1 // 0))
        assert threading.active_count() == threads
        assert settled == []
        assert connection.perform(Acknowledge(NODE, b"i" * 16, numbers[-1])) is True
        until(lambda: settled == numbers)


def test_a_settler_outlives_its_connection(address: str, connection: MemberConnection, postgresql: Cluster) -> None:
    connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
    settled = threading.Event()
    with closing(Settler(lambda: MemberConnection(address, 5.0), CLOCK)) as settler:
        settler.when_settled(commit(address), settled.set)
        until(lambda: settler._connection is not None)
        postgresql.run(TERMINATE)
        until(lambda: settler.failures > 0)
        assert settled.wait(60)


def test_a_server_that_does_not_know_a_change_does_not_settle_it(postgresql: Cluster, address: str) -> None:
    """Such as a former primary, which does not know either that a node has joined since."""
    with (
        postgresql.database() as former,
        closing(MemberConnection(address, 5.0)) as connection,
    ):
        connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
        addresses = [postgresql.address(former, SERVER), address]
        number = commit(address)
        began = time.monotonic()
        with closing(Settler(lambda: MemberConnection(addresses.pop(0), 5.0), CLOCK)) as settler:
            settler.settle(number)
        assert time.monotonic() - began > LEASE
        assert addresses == []


def test_an_agent_and_a_settler_outlive_the_loss_of_the_generation(
    postgresql: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The table was emptied. What waits for the nodes must be answered once the row is back."""
    with (
        postgresql.scratch() as name,
        closing(psycopg.connect(postgresql.address(name), autocommit=True)) as other,
        closing(RunningAgent(postgresql.address(name, SERVER), tmp_path / "page")) as node,
        closing(Settler(lambda: MemberConnection(postgresql.address(name, SERVER), 5.0), SystemClock())) as settler,
    ):
        until(lambda: node.view.lease_left > 0)
        kept = other.execute("DELETE FROM generation RETURNING number, tag").fetchall()[0]
        settled = threading.Event()
        settler.when_settled(kept[0], settled.set)
        until(lambda: settler.failures > 2 and node.agent.counters.renewals["failed"] > 0)
        assert not settled.is_set()
        # It does not join again and again.
        assert node.agent.counters.renewals["removed"] == 0
        # By the settler, and by the agent before its lease has ended and afterwards.
        assert 2 <= caplog.text.count("`generation` has lost its row; stop the servers and restore a backup") <= 3
        other.execute("INSERT INTO generation (number, tag) VALUES (%s, %s)", kept)
        assert settled.wait(60)
        until(lambda: node.view.lease_left > 0)


@pytest.mark.parametrize(
    ("lease", "waited"),
    [
        ("NaN", LONGEST_LEASE),
        ("Infinity", LONGEST_LEASE),
        ("1e300", LONGEST_LEASE),
        ("61", LONGEST_LEASE),
        ("-1", LEASE),
    ],
)
def test_a_lease_in_a_changed_row_is_never_longer_than_any_may_be(
    connection: MemberConnection, address: str, lease: str, waited: float
) -> None:
    connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
    with closing(psycopg.connect(address, autocommit=True)) as other:
        other.execute("UPDATE member SET lease = %s::float8", (lease,))
    assert [each.lease for each in connection.members().members] == [waited]


def test_an_agent_outlives_its_connections(address: str, tmp_path: Path, postgresql: Cluster) -> None:
    with closing(RunningAgent(address, tmp_path / "page")) as node:
        node.view.wait_for_lease(10)
        for _ in range(3):
            connections = node.agent.counters.connections
            postgresql.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strongroom'"
            )
            until(partial(has_reconnected, node, connections))
        renewals = node.membership.renewals
        until(lambda: node.membership.renewals > renewals)
        assert node.membership.joins == 1
        assert node.page.head().forgets == 1


def has_reconnected(node: RunningAgent, connections: int) -> bool:
    return node.agent.counters.connections > connections


def test_two_agents_with_the_id_of_one_node_do_not_serve_together(address: str, tmp_path: Path) -> None:
    with closing(RunningAgent(address, tmp_path / "page")) as node:
        node.view.wait_for_lease(10)
        with closing(RunningAgent(address, tmp_path / "copy")) as copy:
            time.sleep(over_everywhere(LEASE) + LEASE / 2)
            assert not copy.membership.is_member
            node.view.version()


def test_a_frozen_server_ends_leases_and_is_found_again(address: str, tmp_path: Path, postgresql: Cluster) -> None:
    with closing(RunningAgent(address, tmp_path / "page")) as node:
        node.view.wait_for_lease(10)
        with postgresql.frozen():
            until(lambda: node.membership.lease_left < 0, LEASE + 1)
            until(lambda: node.agent.counters.renewals["failed"] > 0, LEASE + 1)
        node.view.wait_for_lease(20)


def test_a_commit_that_no_standby_has_confirmed_renews_no_lease(
    address: str, connection: MemberConnection, postgresql: Cluster
) -> None:
    connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
    connection.perform(Join("another", b"i" * 16, LEASE, About("1"), None))
    postgresql.run("ALTER SYSTEM SET synchronous_standby_names = 'missing'", "SELECT pg_reload_conf()")
    try:
        until(lambda: waits_for_a_standby(address))
        cancel = threading.Timer(
            0.3,
            lambda: postgresql.run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"),
        )
        cancel.start()
        with pytest.raises(NotConfirmed):
            connection.perform(Renew(NODE, b"i" * 16))
        cancel.join()
        # Also where commits do not wait by default.
        careless = f"{address} options='-c synchronous_commit=off'"
        with closing(MemberConnection(careless, 0.3)) as other, pytest.raises(psycopg.OperationalError):
            other.perform(Renew(NODE, b"i" * 16))
        with closing(MemberConnection(address, 5.0)) as other:
            # An acknowledgement needs not be durable.
            assert other.perform(Acknowledge("another", b"i" * 16, 0)) is True
    finally:
        postgresql.run("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")


def waits_for_a_standby(address: str) -> bool:
    with closing(psycopg.connect(address, autocommit=True)) as connection:
        return connection.execute("SHOW synchronous_standby_names").fetchall() == [("missing",)]
