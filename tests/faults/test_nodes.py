"""Nodes that share a real PostgreSQL are stopped, cut off and killed: no use begins after a change and misses it."""

from pathlib import Path

import pytest

from failover_storm import FailoverRules, failover_storm
from node_storm import StormRules, storm
from postgresql import Cluster

RACES = 200
MOST_SECONDS = 300
"""Far more than a storm takes, also on a busy machine."""


def test_no_use_misses_a_change_that_was_answered(postgresql: Cluster, tmp_path: Path) -> None:
    outcome = storm(postgresql, tmp_path / "storm", StormRules(), seed=1, races=RACES, most_seconds=MOST_SECONDS)
    assert outcome.stale == []
    assert len(outcome.settling) >= RACES / 2
    assert outcome.uses > 10 * len(outcome.settling)
    assert outcome.refused > 0
    assert outcome.waited_out > 0


def test_nor_without_notifications(postgresql: Cluster, tmp_path: Path) -> None:
    rules = StormRules(poll=0.02)
    outcome = storm(postgresql, tmp_path / "storm", rules, seed=2, races=RACES // 4, most_seconds=MOST_SECONDS)
    assert outcome.stale == []
    assert outcome.uses > 10 * len(outcome.settling)


CONTROLS = {
    "writers do not wait": StormRules(waits=0),
    "writers wait a fifth of the time": StormRules(waits=0.2),
    "workers ignore the lease": StormRules(checks_the_lease=False, disturbances=("agent stopped", "network lost")),
}


@pytest.mark.parametrize("rules", CONTROLS.values(), ids=CONTROLS.keys())
def test_a_broken_rule_is_found(postgresql: Cluster, tmp_path: Path, rules: StormRules) -> None:
    """Else the storm could not find anything."""
    for seed in range(10):
        if storm(postgresql, tmp_path / "storm", rules, seed, races=30, most_seconds=MOST_SECONDS).stale:
            return
    pytest.fail("no use was stale")


def test_no_use_misses_a_change_after_a_failover(tmp_path: Path) -> None:
    outcome = failover_storm(tmp_path / "storm", FailoverRules(), seed=1, races=20)
    assert outcome.stale == []
    assert outcome.uses > 100


@pytest.mark.parametrize(
    "rules",
    [FailoverRules(checks_fills=False), FailoverRules(renews_by_commits=False)],
    ids=["caches are filled from any server", "leases are renewed by reads"],
)
def test_a_broken_rule_is_found_after_a_failover(tmp_path: Path, rules: FailoverRules) -> None:
    for seed in range(10):
        if failover_storm(tmp_path / f"storm-{seed}", rules, seed, races=20).stale:
            return
    pytest.fail("no use was stale")
