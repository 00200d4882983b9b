"""Whole servers that share a PostgreSQL are stopped, cut off and killed: nothing is stale, lost, or done twice."""

from pathlib import Path

import pytest

from cut_off_node import DISTURBANCES, changes_behind
from postgresql import Cluster
from server_storm import LEASE, StormRules, server_storm


def test_nothing_is_stale_or_lost(postgresql: Cluster, tmp_path: Path) -> None:
    """``make faults`` runs longer ones, also over a database that fails over."""
    rules = StormRules(changes=200, disturbances=5, most_seconds=600)
    outcome = server_storm(postgresql, tmp_path / "storm", rules, seed=1)
    assert outcome.stale == []
    assert outcome.lost == []
    assert outcome.acknowledged > 50
    assert outcome.uses > 3 * outcome.acknowledged
    assert outcome.disturbances.total() >= 5


@pytest.mark.parametrize(
    ("broken", "lease"),
    [
        # Until its lease ends, a node serves: clients have to use it before.
        ("changes are answered at once", 60.0),
        ("leases are ignored", LEASE),
    ],
)
def test_a_broken_rule_is_found(postgresql: Cluster, tmp_path: Path, broken: str, lease: float) -> None:
    """Else the storm could not find anything."""
    rules = StormRules(changes=0, most_seconds=0, broken=broken, lease=lease)
    found = changes_behind(postgresql, tmp_path / "nodes", rules)
    assert [each for each in DISTURBANCES if not found[each].stale] == []


def test_a_node_that_is_cut_off_is_not_stale(postgresql: Cluster, tmp_path: Path) -> None:
    for found in changes_behind(postgresql, tmp_path / "nodes", StormRules(changes=0, most_seconds=0)).values():
        assert found.stale == []
        assert found.after > 0
