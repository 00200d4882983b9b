"""Whole servers that share a PostgreSQL are stopped, cut off and killed: nothing is stale, lost, or done twice."""

from pathlib import Path

import pytest

from postgresql import Cluster
from server_storm import StormRules, server_storm


def test_nothing_is_stale_or_lost(postgresql: Cluster, tmp_path: Path) -> None:
    """``make faults`` runs longer ones, also over a database that fails over."""
    outcome = server_storm(postgresql, tmp_path / "storm", StormRules(changes=400, most_seconds=30), seed=1)
    assert outcome.stale == []
    assert outcome.lost == []
    assert outcome.acknowledged > 50
    assert outcome.uses > 10 * outcome.acknowledged
    assert outcome.disturbances.total() >= 5


@pytest.mark.parametrize("broken", ["changes are answered at once", "leases are ignored"])
def test_a_broken_rule_is_found(postgresql: Cluster, tmp_path: Path, broken: str) -> None:
    """Else the storm could not find anything."""
    rules = StormRules(changes=1000, most_seconds=12, only=("agent stopped", "network lost"), broken=broken)
    for seed in range(3):
        if server_storm(postgresql, tmp_path / f"storm-{seed}", rules, seed).stale:
            return
    pytest.fail("nothing was stale")
