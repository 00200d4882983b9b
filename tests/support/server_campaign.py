"""Campaigns over whole servers that share a PostgreSQL: storms, and storms over a PostgreSQL that fails over."""

from contextlib import ExitStack
from pathlib import Path

from campaign import Random, Tally
from postgresql import Cluster
from server_storm import Outcome, StormRules, failover_storm, server_storm

_CHANGES = 20
"""How many changes are one round."""
_LONGEST = 1.0
"""How long one change may take on average, seconds."""


class ServerCampaign:
    """Changes things while clients of three servers use them, and servers, networks and the database are disturbed."""

    def __init__(self, scratch: Path, random: Random, *, failover: bool) -> None:
        """With ``failover``, the database is one under Patroni, whose primary is changed, killed, lost and frozen."""
        self._scratch = scratch
        self._random = random
        self._failover = failover

    def run(self, rounds: int) -> Tally:
        """Run so many rounds, of 20 changes each."""
        database = "PostgreSQL under Patroni" if self._failover else "PostgreSQL"
        tally = Tally(f"3 servers, {database}: all disturbed")
        rules = StormRules(_CHANGES * rounds, _CHANGES * rounds * _LONGEST)
        seed = self._random.randrange(1 << 30)
        if self._failover:
            _count(tally, failover_storm(self._scratch / "storm", rules, seed))
            return tally
        with ExitStack() as ending:
            cluster = Cluster()
            ending.callback(cluster.remove)
            cluster.prepare()
            _count(tally, server_storm(cluster, self._scratch / "storm", rules, seed))
        return tally


def _count(tally: Tally, outcome: Outcome) -> None:
    tally.injected += outcome.disturbances.total() - outcome.disturbances["none"]
    tally.acknowledged += outcome.acknowledged
    tally.lost += [*outcome.stale, *outcome.lost]
    tally.recovery += outcome.turns
    tally.outcomes["uses"] += outcome.uses
    tally.outcomes["uses refused for the time being"] += outcome.unavailable
    tally.outcomes["uses without an answer"] += outcome.unanswered
    tally.outcomes["changes of unknown outcome"] += outcome.unknown
    tally.outcomes += outcome.disturbances
