"""A storm of whole servers: nodes on one PostgreSQL answer real clients that use and change things, and are disturbed.

Nothing that began after a change was answered may find what was before it, on any node. What was acknowledged is there,
and nothing was done twice.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from audits import node_folders
from campaign import Random, seeded
from fast_client import CallRefused, FastClient, NoAnswer
from ledger_check import Check, unrecorded
from node_disturbances import Disturb, disturbances_of, disturbances_of_cluster, disturbances_of_patroni
from nodes import Node, Nodes, nodes_of, running_nodes
from patroni import PatroniCluster
from postgresql import SERVER, Cluster
from stalling_proxy import StallingProxy
from storm_changes import Changes, duplicates
from storm_clients import OFF, ON, UNANSWERED, UNAVAILABLE, Observation, StormClients
from switch_history import SwitchHistory
from switches import Switch, SwitchMaker

LEASE = 2.0
"""Seconds, the least that can be set."""
_SHORTEST, _LONGEST = 0.1, 2.0
"""How long a disturbance lasts, in leases."""
_CALM = 0.5
"""How long nothing is disturbed between two, in leases at most."""
_RECOVERY = 120
"""Seconds until every node has to serve again, on a busy machine."""
_SWITCHES_OF_A_KIND = 3
_LONGEST_PAUSE = 0.3
_MOST_LINES = 20


class Outcome(msgspec.Struct):
    """What came of a storm. ``turns`` has the seconds that each acknowledged turn of a switch took."""

    disturbances: Counter[str] = msgspec.field(default_factory=Counter)
    uses: int = 0
    unavailable: int = 0
    unanswered: int = 0
    stale: list[str] = msgspec.field(default_factory=list)
    lost: list[str] = msgspec.field(default_factory=list)
    """What was acknowledged and is not so, was done twice, or was answered as nothing may be; one line each."""
    acknowledged: int = 0
    unknown: int = 0
    turns: list[float] = msgspec.field(default_factory=list)
    recovery: list[float] = msgspec.field(default_factory=list)


class StormRules(msgspec.Struct, frozen=True):
    """How long a storm goes on: until there were so many changes and disturbances, or so many seconds have passed.

    A change counts when it was acknowledged. ``broken`` is a rule that the nodes do not keep (``broken_rules``), so
    that staleness has to be found.
    """

    changes: int
    most_seconds: float
    disturbances: int = 0
    broken: str = ""
    lease: float = LEASE


class ServerStorm:
    """A storm over nodes that run. ``scratch`` is an empty folder; ``more`` are disturbances of the database."""

    def __init__(self, nodes: Nodes, scratch: Path, random: Random, more: Mapping[str, Disturb]) -> None:
        self._nodes = nodes
        self._scratch = scratch
        self._random = random
        self._database = more
        self.outcome = Outcome()

    def run(self, rules: StormRules) -> Outcome:
        """Let it blow; return what came of it."""
        maker = SwitchMaker(self._nodes.everywhere)
        switches = [switch for number in range(_SWITCHES_OF_A_KIND) for switch in maker.make(number)]
        maker.close()
        with ExitStack() as ending:
            servers = [node.server for node in self._nodes]
            clients = StormClients(self._scratch, [node.port for node in self._nodes], [each.use for each in switches])
            ending.callback(clients.kill)
            changes = Changes(servers, switches, self._random.randrange(1 << 30), _LONGEST_PAUSE)
            try:
                self._disturb(rules, changes)
            finally:
                changes.end()
            self._recover()
            # The last state of each switch is used as well.
            time.sleep(1)
            clients.end()
            self._count(changes)
            self._judge(clients, switches, changes.histories(switches))
            self._check(changes)
        return self.outcome

    def _disturb(self, rules: StormRules, changes: Changes) -> None:
        deadline = time.monotonic() + rules.most_seconds
        while self._goes_on(rules, changes) and time.monotonic() < deadline:
            node = self._random.choice(self._nodes.nodes)
            known = {**disturbances_of(node, self._random), **self._database}
            name = self._random.choice([*known])
            self.outcome.disturbances[name] += 1
            undo = known[name]()
            try:
                time.sleep(self._random.uniform(_SHORTEST, _LONGEST) * LEASE)
            finally:
                undo()
            time.sleep(self._random.uniform(0, _CALM) * LEASE)

    def _goes_on(self, rules: StormRules, changes: Changes) -> bool:
        disturbances = self.outcome.disturbances.total()
        return changes.acknowledged < rules.changes or disturbances < rules.disturbances

    def _recover(self) -> None:
        """Wait until each node serves again."""
        for node in self._nodes:
            began = time.monotonic()
            until_it_serves(node)
            self.outcome.recovery.append(time.monotonic() - began)

    def _count(self, changes: Changes) -> None:
        self.outcome.acknowledged = changes.acknowledged
        for turning in changes.turning:
            self.outcome.turns += [seconds for history in turning.histories for seconds in history.turns]
            self.outcome.unknown += sum(history.unknown for history in turning.histories)
        self.outcome.lost += changes.unexpected

    def _judge(self, clients: StormClients, switches: Sequence[Switch], histories: Sequence[SwitchHistory]) -> None:
        """Compare every use with what its switch may have been."""
        self.outcome.stale = stale_uses(clients.observations(), switches, histories)
        for each in clients.observations():
            self.outcome.uses += each.found in (OFF, ON)
            self.outcome.unavailable += each.found == UNAVAILABLE
            self.outcome.unanswered += each.found == UNANSWERED
        self.outcome.lost += clients.wrong()[:_MOST_LINES]

    def _check(self, changes: Changes) -> None:
        """Compare every node with the ledger, and look at audit logs and logs."""
        for node in self._nodes:
            self.outcome.lost += [f"{node.data.name}: {line}" for line in Check(node.server, changes.ledger).run()]
        client = FastClient(self._nodes[0].server)
        self.outcome.lost += duplicates(client, changes.ledger)
        client.close()
        folders = node_folders(self._nodes[0].data)
        self.outcome.lost += [f"the answered call {each} has no record" for each in unrecorded(folders, changes.ledger)]
        for node in self._nodes:
            for log in node.logs:
                told = log.read_text()
                if "Traceback" in told:
                    self.outcome.lost.append(f"a traceback in {log.name}: {told[told.index('Traceback') :][:600]}")


def stale_uses(
    uses: Iterable[Observation], switches: Sequence[Switch], histories: Sequence[SwitchHistory]
) -> list[str]:
    """Return the uses that found what their switch cannot have been, one line each."""
    stale = []
    for each in uses:
        if each.found not in (OFF, ON):
            continue
        history, is_on = histories[each.switch], each.found == ON
        if not history.allows(on=is_on, began=each.began, ended=each.ended):
            found = f"{switches[each.switch].name} was {'on' if is_on else 'off'}"
            took = f"a call of {(each.ended - each.began) / 1e6:.1f} ms ({each.connection})"
            stale.append(f"{found} in {took}: {history.told(each.began)}")
    return stale


def until_it_serves(node: Node) -> None:
    """Wait until a node serves, for two minutes at most."""
    deadline = time.monotonic() + _RECOVERY
    with closing(FastClient(node.server)) as client:
        while True:
            try:
                client("ListKeys", Limit=1)
            except (CallRefused, NoAnswer):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return


def storm_settings(rules: StormRules) -> dict[str, str]:
    """Return the environment of the nodes."""
    settings = {"STRONGROOM_LEASE": str(rules.lease), "STRONGROOM_WORKERS": "2"}
    if rules.broken:
        settings |= {"BROKEN_RULE": rules.broken, "PYTHONPATH": str(Path(__file__).parent / "broken_rules")}
    return settings


def server_storm(cluster: Cluster, scratch: Path, rules: StormRules, seed: int) -> Outcome:
    """Run a storm over three nodes of two workers, in a database of its own."""
    scratch.mkdir(parents=True)
    settings = storm_settings(rules)
    with (
        cluster.scratch() as database,
        running_nodes(nodes_of(cluster, database, scratch / "data", 3, proxied=True, settings=settings)) as nodes,
    ):
        return _blown(nodes, scratch, seed, disturbances_of_cluster(cluster, database), rules)


def failover_storm(scratch: Path, rules: StormRules, seed: int) -> Outcome:
    """Run a storm over three nodes, and a PostgreSQL whose primary is changed, killed, lost and frozen."""
    scratch.mkdir(parents=True)
    cluster = PatroniCluster()
    try:
        cluster.prepare()
        database = cluster.copy()
        made = [_failover_node(cluster, database, scratch / "data", number, rules) for number in range(3)]
        with running_nodes(made) as nodes:
            return _blown(nodes, scratch, seed, disturbances_of_patroni(cluster, database), rules)
    finally:
        cluster.remove()


def _failover_node(cluster: PatroniCluster, database: str, data: Path, number: int, rules: StormRules) -> Node:
    proxies = [StallingProxy(member.port) for member in cluster.members]
    # Each looks for the primary in another order: a former primary that is reachable is the first for some.
    ports = [proxy.port for proxy in (proxies if number % 2 else proxies[::-1])]
    settings = {"STRONGROOM_STORE": cluster.address(database, SERVER, ports), **storm_settings(rules)}
    folder = data.with_name(f"{data.name}-node{number + 1}") if number else data
    return Node(folder, data, settings, proxies=proxies)


def _blown(nodes: Nodes, scratch: Path, seed: int, more: Mapping[str, Disturb], rules: StormRules) -> Outcome:
    """Run a storm, stop the nodes, and verify the audit log of each."""
    outcome = ServerStorm(nodes, scratch, seeded(seed), more).run(rules)
    for node in nodes:
        if node.stop() != 0:
            outcome.lost.append(f"{node.data.name} did not stop without an error")
    for node in nodes:
        verified = node.command("audit", "verify")
        if "The log is whole." not in verified.stdout:
            outcome.lost.append(f"audit verify of {node.data.name}: {verified.stdout}{verified.stderr}")
    return outcome
