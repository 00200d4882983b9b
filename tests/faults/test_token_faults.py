"""A hardware token that fails under load: nothing acknowledged is lost, and calls that need no token go on."""

from pathlib import Path

import pytest

from campaign import first_lines, seeded
from token_campaign import Fault, TokenCampaign

FAULTS = len(Fault)
"""Each once; ``make faults`` injects many more."""


@pytest.mark.timeout(240)
def test_nothing_is_lost_and_other_calls_go_on(tmp_path: Path) -> None:
    campaign = TokenCampaign(tmp_path, seeded(1), "pkcs11-root")
    tally = campaign.run(FAULTS)
    assert not tally.lost, first_lines(tally.lost)
    assert tally.injected == FAULTS
    assert tally.acknowledged > 100 * FAULTS
    assert campaign.refused > FAULTS
    # A call that waits for a token which hangs is answered after 5 seconds.
    assert max(max(taken) for taken in campaign.milliseconds.values()) < 2000.0, campaign.report()
