"""What ``strongroom doctor`` learns of a database server is so on a real one, for each of the roles."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from postgresql import OWNER, READER, SERVER, Cluster
from strongroom.clock import SystemClock
from strongroom.store.postgresql.address import Address
from strongroom.store.postgresql.opening import UnusableDatabaseError
from strongroom.store.postgresql.server_facts import read_server_facts
from strongroom.store.server_facts import ServerFacts

CLOCK = SystemClock()


def facts_of(address: str) -> ServerFacts:
    return read_server_facts(Address(address), 5.0, CLOCK.uptime)


@contextmanager
def changed(cluster: Cluster, change: str, back: str) -> Iterator[None]:
    """Change a setting of the server for a while."""
    cluster.run(change, "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        cluster.run(back, "SELECT pg_reload_conf()")


@pytest.mark.parametrize("role", [SERVER, READER])
def test_a_role_that_was_granted_its_rights_has_no_others(postgresql: Cluster, role: str) -> None:
    with postgresql.database() as name:
        facts = facts_of(postgresql.address(name, role))
    assert (facts.role, facts.may_change_tables, facts.may_create_tables, facts.unlimited) == (role, False, False, ())
    assert facts.may_write is (role == SERVER)
    assert (facts.is_local, facts.is_encrypted, facts.has_checksums) == (True, False, True)
    assert (facts.synchronous_commit, facts.synchronous_standbys) == ("on", "")
    assert int(facts.release.split(".")[0]) >= 15
    assert facts.asked <= facts.answered
    assert abs(facts.time - CLOCK.now()) < 60


@pytest.mark.parametrize("role", [OWNER, "postgres"])
def test_owners_and_superusers_may_change_tables(postgresql: Cluster, role: str) -> None:
    with postgresql.database() as name:
        facts = facts_of(postgresql.address(name, role))
    assert (facts.may_change_tables, facts.may_create_tables) == (True, True)
    assert "lock_timeout" in facts.unlimited


def test_a_member_of_the_owner_and_a_role_that_may_truncate_may_change_tables(postgresql: Cluster) -> None:
    with postgresql.scratch() as name:
        postgresql.run(f"GRANT TRUNCATE ON kms_key TO {READER}", database=name)
        assert facts_of(postgresql.address(name, READER)).may_change_tables
    postgresql.run(f"GRANT {OWNER} TO {READER}")
    try:
        with postgresql.database() as name:
            assert facts_of(postgresql.address(name, READER)).may_change_tables
    finally:
        postgresql.run(f"REVOKE {OWNER} FROM {READER}")


def test_the_standbys_that_commits_wait_for_are_told(postgresql: Cluster) -> None:
    change = "ALTER SYSTEM SET synchronous_standby_names = 'a, b'"
    with postgresql.database() as name, changed(postgresql, change, "ALTER SYSTEM RESET synchronous_standby_names"):
        deadline = time.monotonic() + 10
        while (facts := facts_of(postgresql.address(name, SERVER))).synchronous_standbys != "a, b":
            assert time.monotonic() < deadline, facts
            time.sleep(0.05)


def test_a_server_that_does_not_answer_is_named(postgresql: Cluster) -> None:
    address = postgresql.address("postgres", SERVER).replace(str(postgresql.port), "1")
    with pytest.raises(UnusableDatabaseError, match=r"127\.0\.0\.1:1/postgres"):
        facts_of(address)
