"""Checks of what nodes share: their database server, its clock, and each other."""

from collections.abc import Iterator
from time import sleep

from strongroom.assembly.doctor.results import Finding, Status, ok, told, warning
from strongroom.assembly.doctor.scene import Scene
from strongroom.assembly.nodes import NodeState, node_statuses
from strongroom.maintenance.clock_watch import describe_database_clock
from strongroom.store.server_facts import ServerFacts
from strongroom.trusted_time import STEP, DatabaseTime

_ALONE = "the database is a file of this folder"
_NOT_WAITED_FOR = frozenset({"off", "local"})


def check_database_server(scene: Scene) -> Iterator[Finding]:
    """Find out whether what was answered outlives the database server, and whether it notices damage."""
    facts = scene.server_facts
    if facts is None:
        yield ok(_ALONE)
        return
    if not facts.synchronous_standbys:
        yield warning(
            "commits wait for no standby, so a failover can lose answered changes",
            "add a standby and name it in `synchronous_standby_names` of the database server; with Patroni, set "
            "`synchronous_mode`",
        )
    elif facts.synchronous_commit in _NOT_WAITED_FOR:
        yield warning(
            f"`synchronous_commit` is `{facts.synchronous_commit}` for the role `{facts.role}`, so commits wait for no "
            "standby, and a failover can lose answered changes",
            f"ALTER ROLE {facts.role} SET synchronous_commit = 'on'",
        )
    if not facts.has_checksums:
        yield warning(
            "pages have no checksums, so damage of the disk may go unnoticed",
            "stop the database server, and run: pg_checksums --enable",
        )
    if not (facts.is_encrypted or facts.is_local):
        yield warning(
            "the connection to the database is not encrypted",
            "switch on TLS in the database server, and add to the address in `store`: sslmode=verify-full",
        )
    yield ok(f"PostgreSQL {facts.release}; commits wait for standbys ({facts.synchronous_standbys or 'none'})")


def check_database_role(scene: Scene) -> Iterator[Finding]:
    """Find out whether the role of the settings has the rights and limits of a server, and no others."""
    facts = scene.server_facts
    if facts is None:
        yield ok(_ALONE)
        return
    able = " and ".join(_further_rights(facts))
    if able:
        yield warning(
            f"the role `{facts.role}` may {able}, which no server needs",
            "serve as another role than the owner of the tables, and give it its rights, as the owner, with: "
            "strongroom database migrate --serve ROLE",
        )
    if facts.may_write and facts.unlimited:
        yield warning(
            f"the role `{facts.role}` has no {', '.join(facts.unlimited)}, so a node that hangs can hold locks",
            "; ".join(f"ALTER ROLE {facts.role} SET {name} = '5s'" for name in facts.unlimited),
        )
    yield ok(
        f"`{facts.role}` may not change tables, and holds no lock for long"
        if facts.may_write
        else f"`{facts.role}` may only read"
    )


def _further_rights(facts: ServerFacts) -> Iterator[str]:
    if facts.may_change_tables:
        yield "change, empty or drop tables"
    if facts.may_create_tables:
        yield "create tables"


def check_database_clock(scene: Scene) -> Iterator[Finding]:
    """Find out whether the clock of the machine and that of the database agree."""
    facts = scene.server_facts
    if facts is None:
        yield ok(_ALONE)
        return
    known = DatabaseTime(facts.time, facts.asked, facts.answered)
    difference = known.difference(scene.clock.now(), scene.clock.uptime())
    if abs(difference) >= STEP:
        yield told(describe_database_clock(difference), Status.WARNING)
    else:
        yield ok("the clocks of this machine and of the database agree within a minute")


def check_nodes(scene: Scene) -> Iterator[Finding]:
    """Find out whether every node that has not been stopped serves."""
    # Only settings that can be read name a database that nodes share.
    found = node_statuses(scene.settings, scene.clock, scene.entropy, sleep) if scene.database.is_shared else None
    if found is None:
        yield ok(_ALONE)
        return
    for each in found:
        if each.state is NodeState.GONE:
            yield warning(
                f"node {each.node} has no lease, and was not stopped",
                "start it again, or see why it does not reach the database; if its disk is lost: strongroom audit "
                f"retire {each.node}",
            )
        elif each.state is NodeState.LATE:
            yield warning(
                f"node {each.node} renews its lease late, or does not acknowledge changes",
                "see its log and its way to the database: changes of all nodes may wait for it",
            )
    yield ok(f"{len(found)} serve, and none is missing" if found else "none serves, and none is missing")
