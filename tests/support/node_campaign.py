"""Campaigns over nodes that share a PostgreSQL: storms, and failovers in storms."""

from contextlib import ExitStack
from pathlib import Path

from campaign import Random, Tally
from failover_storm import FailoverRules, failover_storm
from node_storm import Outcome, StormRules, storm
from postgresql import Cluster

_RACES = 20
"""How many changes are one round."""
_LONGEST = 2.0
"""How long one race may take on average, seconds."""


class NodeCampaign:
    """Changes things while three nodes use them, and are stopped, cut off and killed."""

    def __init__(self, scratch: Path, random: Random, poll: float | None) -> None:
        """``poll`` is in seconds; None has nodes notified."""
        self._scratch = scratch
        self._random = random
        self._poll = poll

    def run(self, rounds: int) -> Tally:
        """Run so many rounds, of 20 changes each."""
        told = "notified" if self._poll is None else "polling"
        tally = Tally(f"3 nodes, {told}: stopped, cut off, killed; database frozen")
        with ExitStack() as ending:
            cluster = Cluster()
            ending.callback(cluster.remove)
            cluster.prepare()
            races = _RACES * rounds
            rules = StormRules(poll=self._poll)
            seed = self._random.randrange(1 << 30)
            _count(tally, storm(cluster, self._scratch / "storm", rules, seed, races, races * _LONGEST))
        return tally


class FailoverCampaign:
    """Freezes the primary of three nodes, promotes its standby, and lets the former primary come back."""

    def __init__(self, scratch: Path, random: Random) -> None:
        self._scratch = scratch
        self._random = random

    def run(self, rounds: int) -> Tally:
        """Fail over so many times, with 80 changes each at most."""
        tally = Tally("3 nodes, failover to a synchronous standby, former primary reachable")
        for number in range(rounds):
            seed = self._random.randrange(1 << 30)
            outcome = failover_storm(self._scratch / f"failover-{number}", FailoverRules(), seed, _RACES)
            outcome.disturbances["failover"] += 1
            _count(tally, outcome)
        return tally


def _count(tally: Tally, outcome: Outcome) -> None:
    tally.injected += outcome.disturbances.total() - outcome.disturbances["none"]
    tally.acknowledged += len(outcome.settling)
    tally.lost += outcome.stale
    tally.recovery += outcome.settling
    tally.outcomes["uses"] += outcome.uses
    tally.outcomes["refused without a lease"] += outcome.refused
    tally.outcomes["changes that waited for a lease to end"] += outcome.waited_out
