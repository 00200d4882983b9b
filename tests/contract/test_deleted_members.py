"""Nodes whose rows in the table of members a person has deleted: changes wait for their leases, too."""

import time
from contextlib import closing
from pathlib import Path

import pytest

from postgresql import SERVER, Cluster
from running_agent import CLOCK, LEASE, NODE, RunningAgent, commit, until
from strongroom.store.leases.bounds import over_everywhere
from strongroom.store.leases.requests import About, Join, Renew
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.living_members import ended_members
from strongroom.store.postgresql.member_connection import MemberConnection
from strongroom.store.postgresql.settler import Settler


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


def test_what_every_lease_has_to_end_for_waits_for_deleted_rows_too(postgresql: Cluster) -> None:
    pauses: list[float] = []
    with (
        postgresql.scratch() as name,
        closing(MemberConnection(postgresql.address(name, SERVER), 5.0)) as connection,
        closing(open_postgresql(postgresql.address(name))) as database,
    ):
        assert ended_members(database.engine, pauses.append) == {}
        assert pauses == []
        connection.perform(Join(NODE, b"i" * 16, LEASE, About("1"), None))
        postgresql.run("TRUNCATE member", database=name)
        assert ended_members(database.engine, pauses.append) == {}
        assert sum(pauses) >= over_everywhere(LEASE)
