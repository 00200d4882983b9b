"""Power cuts on a disk with a volatile cache: nothing acknowledged is lost from the database."""

from pathlib import Path

import pytest

from campaign import first_lines, seeded
from power_cut_campaign import PowerCutCampaign

CUTS = 4
"""``make faults`` makes many more."""


@pytest.mark.parametrize("durability", ["write", "fsync"])
def test_nothing_acknowledged_is_lost(tmp_path: Path, durability: str) -> None:
    """With ``fsync``, no audit record of an answered call is lost either."""
    tally = PowerCutCampaign(tmp_path, seeded(1), durability).run(CUTS, seconds=0.5)
    assert not tally.lost, first_lines(tally.lost)
    assert tally.injected == CUTS
    assert tally.acknowledged
    # Records that are lost with ``write`` are told.
    assert "records lost, whole" not in tally.outcomes
    if durability == "fsync":
        assert set(tally.outcomes) <= {"all records there, whole"}
