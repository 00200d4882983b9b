"""Commands that rotate domain keys are killed at random moments: everything opens, and the next command ends it."""

from pathlib import Path

import pytest

from campaign import seeded
from domain_key_campaign import DomainKeyCampaign

ROUNDS = 4
"""Kills of each kind. ``make faults`` does any number."""


@pytest.mark.timeout(300)
def test_domain_keys_are_rotated_wholly_or_resumed(tmp_path: Path) -> None:
    tally = DomainKeyCampaign(tmp_path, seeded(1)).run(ROUNDS)
    assert tally.injected == 2 * ROUNDS
    assert any("killed" in name for name in tally.outcomes)
