"""Changes that one of two nodes cannot learn of, while real clients use what is changed on that node.

This is the moment that a storm (``server_storm``) has by chance: a node is cut off, another one answers a change, and
only then the first is asked.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

import msgspec

from campaign import Random, seeded
from node_disturbances import disturbances_of
from nodes import Node, nodes_of, running_nodes
from postgresql import Cluster
from server_storm import StormRules, stale_uses, storm_settings, until_it_serves
from storm_changes import RovingClient, Turning
from storm_clients import StormClients
from switches import SwitchMaker

DISTURBANCES = ("agent stopped", "network lost")
_PATIENCE = 120.0


class Findings(msgspec.Struct):
    """Which uses were stale, and how many uses of the node began after the changes were answered."""

    stale: list[str]
    after: int


def changes_behind(cluster: Cluster, scratch: Path, rules: StormRules) -> Mapping[str, Findings]:
    """Cut one node off by each disturbance, turn switches off on the other, and use them on the first."""
    scratch.mkdir(parents=True)
    # A call that needs the database is refused soon.
    settings = {**storm_settings(rules), "STRONGROOM_STORE_TIMEOUT": "1"}
    with cluster.scratch() as database:
        made = nodes_of(cluster, database, scratch / "data", 2, proxied=True, settings=settings)
        with running_nodes(made) as nodes, _CutOffNode(nodes[0], nodes[1], scratch) as scene:
            return {each: scene.changes_behind(each) for each in DISTURBANCES}


class _CutOffNode:
    """The two nodes, and clients that use switches of every kind on the one that is cut off."""

    def __init__(self, cut_off: Node, other: Node, scratch: Path) -> None:
        self._node = cut_off
        self._random: Random = seeded(1)
        with closing(SwitchMaker(other.server)) as maker:
            self._switches = [*maker.make(0)]
        self._ending = ExitStack()
        client = self._ending.enter_context(closing(RovingClient([other.server], self._random)))
        self._turning = Turning(client, self._switches, self._random, 0)
        self._clients = StormClients(scratch, [cut_off.port], [each.use for each in self._switches])
        self._ending.callback(self._clients.kill)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def changes_behind(self, disturbance: str) -> Findings:
        began = time.monotonic_ns()
        self._turn_all(on=True)
        # With this, all of it is in the caches of the node.
        self._until_used(since=time.monotonic_ns(), times=3 * len(self._switches))
        undo = disturbances_of(self._node, self._random)[disturbance]()
        try:
            self._turn_all(on=False)
            answered = time.monotonic_ns()
            self._until_used(since=answered, times=1)
        finally:
            undo()
        until_it_serves(self._node)
        uses = [each for each in self._clients.observations() if each.began > began]
        stale = stale_uses(uses, self._switches, self._turning.histories)
        return Findings(stale, sum(each.began > answered for each in uses))

    def _turn_all(self, *, on: bool) -> None:
        for number, _ in enumerate(self._switches):
            self._turning.turn(number, on=on)

    def _until_used(self, since: int, times: int) -> None:
        """Wait until each connection has made so many uses that began after a moment."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            counts = dict.fromkeys(self._clients.connections, 0)
            for each in self._clients.observations():
                counts[each.connection] += each.began > since
            if min(counts.values()) >= times:
                return
            assert time.monotonic() < deadline, f"the clients do not get on: {counts}"
            time.sleep(0.05)
