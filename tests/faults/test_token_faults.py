"""A hardware token that fails under load: nothing acknowledged is lost, and calls that need no token go on."""

from itertools import product
from pathlib import Path

import pytest

from campaign import first_lines, seeded
from token_campaign import Fault, TokenCampaign

FAULTS = len(Fault)
"""Each once; ``make faults`` injects many more."""


@pytest.mark.parametrize("protection", ["pkcs11-root", "pkcs11-full"])
def test_nothing_is_lost_and_other_calls_go_on(tmp_path: Path, protection: str) -> None:
    campaign = TokenCampaign(tmp_path, seeded(1), protection)
    tally = campaign.run(FAULTS)
    assert not tally.lost, first_lines(tally.lost)
    assert tally.injected == FAULTS
    assert tally.acknowledged > 20 * FAULTS
    assert campaign.refused > FAULTS
    for fault, writes in product(Fault, (False, True)):
        # A call that waits for a token which hangs is answered after 5 seconds. A few others are slow on a busy disk,
        # and all are on a busy machine.
        usual, while_there = (campaign.quantile(0.5, each, writes=writes) for each in (fault, None))
        assert usual < 2000.0 + 5 * while_there, campaign.report()
    assert all(campaign.quantile(0.5, fault, writes=False) > 0.0 for fault in Fault), campaign.report()
