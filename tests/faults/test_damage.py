"""Bits flipped, files cut short or removed in a stopped folder: never a wrong plaintext or a wrong decision."""

from pathlib import Path

import pytest

from campaign import seeded
from damage import How
from damage_campaign import DamageCampaign, report

ROUNDS = 4
"""``make faults`` does many more."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("how", "was_killed"), [(How.FLIP, True), (How.FLIP, False), (How.CUT, True)])
def test_nothing_wrong_is_answered(tmp_path: Path, how: How, *, was_killed: bool) -> None:
    campaign = DamageCampaign(tmp_path, seeded(len(how)), how, was_killed=was_killed)
    assert campaign.run(ROUNDS).injected == ROUNDS
    assert not campaign.wrong, report(campaign)
