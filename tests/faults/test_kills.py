"""``kill -9`` at random moments under load: nothing acknowledged is lost, and the audit log is whole."""

from pathlib import Path

import pytest

from campaign import first_lines, seeded
from kill_campaign import KillCampaign

ROUNDS = 3
"""``make faults`` runs many more."""


@pytest.mark.parametrize(("durability", "workers"), [("write", 1), ("fsync", 2)])
def test_nothing_acknowledged_is_lost(tmp_path: Path, durability: str, workers: int) -> None:
    tally = KillCampaign(tmp_path, seeded(workers), durability, workers).run(ROUNDS)
    assert not tally.lost, first_lines(tally.lost)
    assert tally.injected == ROUNDS
    assert tally.acknowledged > 5 * ROUNDS
