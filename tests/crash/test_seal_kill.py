"""Commands that change seals are killed at random moments: the folder always opens, and nothing is left behind."""

from pathlib import Path

from campaign import seeded
from seal_campaign import SealCampaign

ROUNDS = 3
"""Kills of each kind. ``make faults`` does any number."""


def test_seals_are_changed_wholly_or_not_at_all(tmp_path: Path) -> None:
    tally = SealCampaign(tmp_path, seeded(1)).run(ROUNDS)
    assert tally.injected == 3 * (ROUNDS - 1)
    assert any("killed" in name for name in tally.outcomes)
