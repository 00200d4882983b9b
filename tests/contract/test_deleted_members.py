"""Nodes whose rows in the table of members a person has deleted: changes wait for their leases, too."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from postgresql import SERVER, Cluster
from running_agent import CLOCK, LEASE, NODE, RunningAgent, commit, until
from strongroom.store.leases.bounds import LONGEST_LEASE, over_everywhere
from strongroom.store.leases.requests import About, FindMember, Join, Member, Renew
from strongroom.store.postgresql.engine import Database, open_postgresql, transaction
from strongroom.store.postgresql.living_members import DeletedMember, EndedMembers, ended_members, remove_ended
from strongroom.store.postgresql.member_connection import MemberConnection
from strongroom.store.postgresql.members import read_members
from strongroom.store.postgresql.settler import Settler

OTHER = "ffffffffffff"


@pytest.mark.parametrize("damage", ["TRUNCATE member", "DELETE FROM member", "UPDATE member SET lease = 0.1"])
def test_a_change_waits_for_a_node_whose_row_a_person_has_deleted(
    postgresql: Cluster, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The node may have a lease, until it finds out when it renews that."""
    with (
        postgresql.scratch() as name,
        closing(MemberConnection(postgresql.address(name, SERVER), 5.0)) as connection,
        closing(Settler(lambda: MemberConnection(postgresql.address(name, SERVER), 5.0), CLOCK)) as settler,
    ):
        connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
        connection.perform(Renew(NODE, b"i" * 16))
        postgresql.run(damage, database=name)
        number = commit(postgresql.address(name))
        began = time.monotonic()
        settler.settle(number)
        assert over_everywhere(LEASE) - 0.05 < time.monotonic() - began
        assert settler.waited_out == 1
        # Only once: nothing is left of it.
        until(lambda: connection.members().members == [])
        settler.settle(commit(postgresql.address(name)))
        assert settler.waited_out == 1
    assert ("has lost its row in the table `member`" in caplog.text) == (not damage.startswith("UPDATE"))


def test_agents_whose_rows_a_person_has_deleted_join_again(postgresql: Cluster, tmp_path: Path) -> None:
    with (
        postgresql.scratch() as name,
        closing(RunningAgent(postgresql.address(name, SERVER), tmp_path / "page")) as node,
        closing(MemberConnection(postgresql.address(name, SERVER), 5.0)) as connection,
    ):
        node.view.wait_for_lease(10)
        postgresql.run("TRUNCATE member", database=name)
        until(lambda: node.membership.joins == 2)
        node.view.wait_for_lease(10)
        found = connection.members().members
        assert sorted(each.is_deleted for each in found) == [False, True]
        assert {each.node for each in found} == {NODE}
        # It counts nodes, not leases.
        renewals = node.agent.counters.renewals["renewed"]
        until(lambda: node.agent.counters.renewals["renewed"] > renewals)
        until(lambda: node.agent.counters.members == 1)
        assert len(connection.members().members) == 2


@pytest.fixture
def address(postgresql: Cluster) -> Iterator[str]:
    with postgresql.scratch() as name:
        yield postgresql.address(name, SERVER)


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    with closing(open_postgresql(address)) as database:
        yield database


@pytest.fixture
def connection(address: str) -> Iterator[MemberConnection]:
    with closing(MemberConnection(address, 5.0)) as connection:
        yield connection


def test_what_every_lease_has_to_end_for_waits_for_deleted_rows_too(
    database: Database, connection: MemberConnection
) -> None:
    """Only once: what was waited for is removed, and nothing else is."""
    pauses: list[float] = []
    assert ended_members(database.engine, pauses.append) == EndedMembers({}, [])
    assert pauses == []
    connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
    run(database, "DELETE FROM member")
    ended = ended_members(database.engine, pauses.append)
    assert ended == EndedMembers({}, [DeletedMember(NODE, b"i" * 16, LEASE)])
    assert sum(pauses) >= over_everywhere(LEASE)
    connection.perform(Join(OTHER, b"j" * 16, LEASE, About("1"), None))
    run(database, "DELETE FROM member")
    with transaction(database.engine) as writing:
        remove_ended(writing, ended)
    assert [(each.node, each.is_deleted) for each in connection.members().members] == [(OTHER, True)]


@pytest.mark.parametrize(
    ("lease", "waited"), [("0.001", 20.0), ("-1", 20.0), ("'NaN'", LONGEST_LEASE), ("1e9", LONGEST_LEASE)]
)
def test_a_lease_that_a_person_has_changed_is_taken_for_the_one_that_was_granted(
    database: Database, connection: MemberConnection, lease: str, waited: float
) -> None:
    """Wherever it is asked for, or for the longest that there may be."""
    connection.perform(Join(NODE, b"i" * 16, 20.0, About("1"), None))
    run(database, f"UPDATE member SET lease = {lease}, renewed_at = renewed_at - 5")  # noqa: S608 - ours
    assert connection.perform(FindMember(NODE)) == Member(NODE, b"i" * 16, 0, 0, waited)
    with database.engine.connect() as reader:
        assert [each.is_alive for each in read_members(reader)] == [True]
        reader.exec_driver_sql("UPDATE member SET renewed_at = renewed_at - 100")
        assert [each.is_alive for each in read_members(reader)] == [False]
        reader.rollback()
    pauses: list[float] = []
    ended = ended_members(database.engine, pauses.append)
    assert over_everywhere(waited) <= sum(pauses) < over_everywhere(waited) + 1
    with transaction(database.engine) as writing:
        remove_ended(writing, ended)
    assert connection.members().members == []


def run(database: Database, statement: str) -> None:
    with transaction(database.engine) as connection:
        connection.exec_driver_sql(statement)
