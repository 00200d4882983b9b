"""What ``strongroom doctor`` says of a database that nodes share, and what to do about it."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from strongroom.assembly.doctor import nodes
from strongroom.assembly.doctor.keys import check_destructions
from strongroom.assembly.doctor.nodes import (
    check_database_clock,
    check_database_role,
    check_database_server,
    check_nodes,
)
from strongroom.assembly.doctor.results import Finding, Result, Status, result_of
from strongroom.assembly.nodes import NodeState, NodeStatus
from strongroom.clock import ManualClock
from strongroom.node_id import NodeId
from strongroom.store.server_facts import ServerFacts
from strongroom.store.subjects.destructions import Backlog

NOW = 1_790_000_000.0
GOOD = ServerFacts(
    release="17.2",
    is_encrypted=True,
    is_local=False,
    synchronous_commit="on",
    synchronous_standbys="ANY 1 (a, b)",
    has_checksums=True,
    role="strongroom_serve",
    may_write=True,
    may_change_tables=False,
    may_create_tables=False,
    unlimited=(),
    time=NOW,
    asked=0.0,
    answered=0.0,
)
CHECKS = (check_database_server, check_database_role, check_database_clock)


def outcome(check: Callable[[Any], Iterator[Finding]], facts: ServerFacts | None, **more: object) -> Result:
    clock = ManualClock(NOW)
    known = None if facts is None else replace(facts, asked=clock.uptime(), answered=clock.uptime())
    return result_of("one", list(check(SimpleNamespace(server_facts=known, clock=clock, **more))), 0.0)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("facts", [GOOD, None], ids=["postgresql", "sqlite"])
def test_a_server_in_order_and_a_file_are_fine(
    check: Callable[[Any], Iterator[Finding]], facts: ServerFacts | None
) -> None:
    found = outcome(check, facts)
    assert (found.status, found.remedies) == (Status.OK, [])
    assert found.text


@pytest.mark.parametrize(
    ("check", "change", "text", "remedy"),
    [
        (check_database_server, {"synchronous_standbys": ""}, "wait for no standby", "`synchronous_standby_names`"),
        (check_database_server, {"synchronous_commit": "local"}, "is `local` for", "SET synchronous_commit = 'on'"),
        (check_database_server, {"synchronous_commit": "off"}, "is `off` for", "SET synchronous_commit = 'on'"),
        (check_database_server, {"has_checksums": False}, "no checksums", "pg_checksums --enable"),
        (check_database_server, {"is_encrypted": False}, "not encrypted", "sslmode=verify-full"),
        (check_database_role, {"may_change_tables": True}, "may change, empty or drop", "migrate --serve ROLE"),
        (check_database_role, {"may_create_tables": True}, "may create tables", "migrate --serve ROLE"),
        (check_database_role, {"unlimited": ("lock_timeout",)}, "no lock_timeout", "SET lock_timeout = '5s'"),
        (check_database_clock, {"time": NOW - 300}, "5.0 minutes ahead of that of the database", "Set the one right"),
        (check_database_clock, {"time": NOW + 300}, "5.0 minutes behind that of the database", "Set the one right"),
    ],
)
def test_what_an_operator_should_mend_is_a_warning(
    check: Callable[[Any], Iterator[Finding]], change: dict[str, object], text: str, remedy: str
) -> None:
    found = outcome(check, replace(GOOD, **change))
    assert found.status is Status.WARNING
    assert text in found.text
    assert remedy in " ".join(found.remedies)


def test_a_role_that_only_reads_needs_no_limits() -> None:
    found = outcome(check_database_role, replace(GOOD, may_write=False, unlimited=("lock_timeout",)))
    assert (found.status, found.text) == (Status.OK, "`strongroom_serve` may only read")


def test_a_connection_within_the_machine_needs_no_tls() -> None:
    assert outcome(check_database_server, replace(GOOD, is_encrypted=False, is_local=True)).status is Status.OK


@pytest.mark.parametrize(
    ("state", "status", "text"),
    [
        (NodeState.SERVING, Status.OK, "1 serve"),
        (NodeState.LATE, Status.WARNING, "node 0123456789ab renews its lease late"),
        (NodeState.GONE, Status.WARNING, "node 0123456789ab has no lease"),
    ],
)
def test_nodes_that_are_missing_are_named(
    monkeypatch: pytest.MonkeyPatch, state: NodeState, status: Status, text: str
) -> None:
    monkeypatch.setattr(nodes, "node_statuses", lambda *_: [NodeStatus(NodeId("0123456789ab"), state, is_this=False)])
    database = SimpleNamespace(is_shared=True)
    found = outcome(check_nodes, None, database=database, settings=None, entropy=None)
    assert (found.status, bool(found.remedies)) == (status, status is Status.WARNING)
    assert text in found.text


def test_in_a_folder_of_its_own_a_node_is_alone() -> None:
    assert outcome(check_nodes, None, database=SimpleNamespace(is_shared=False)).status is Status.OK


@pytest.mark.parametrize(
    ("backlog", "status"),
    [
        (Backlog(0, None), Status.OK),
        (Backlog(3, None), Status.OK),
        (Backlog(3, NOW - 3000), Status.OK),
        (Backlog(1, NOW - 4000), Status.WARNING),
    ],
)
def test_what_could_not_be_destroyed_for_an_hour_is_a_warning(backlog: Backlog, status: Status) -> None:
    class Store:
        def read(self) -> "Store":
            return self

        def __enter__(self) -> SimpleNamespace:
            return SimpleNamespace(destruction_backlog=lambda: backlog)

        def __exit__(self, *_: object) -> None:
            pass

    found = outcome(check_destructions, None, store=Store())
    assert found.status is status
    if status is Status.WARNING:
        assert "since 2026-" in found.text
        assert "(1 object)" in found.text
