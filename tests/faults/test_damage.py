"""Bits flipped, values changed, files cut short in a stopped folder: never a wrong plaintext."""

from pathlib import Path

import pytest

from campaign import seeded
from damage import How
from damage_campaign import DamageCampaign, report

ROUNDS = 3
"""``make faults`` does many more."""


@pytest.mark.parametrize(("how", "was_killed"), [(How.FLIP, True), (How.VALUE, False), (How.CUT, True)])
def test_nothing_wrong_is_answered(tmp_path: Path, how: How, *, was_killed: bool) -> None:
    campaign = DamageCampaign(tmp_path, seeded(len(how)), how, was_killed=was_killed)
    assert campaign.run(ROUNDS).injected == ROUNDS
    assert not campaign.wrong, report(campaign)
    assert not campaign.silent, report(campaign)
