"""Commands that rotate domain keys are killed at random moments: everything opens, and the next command ends it."""

from pathlib import Path

import pytest

from campaign import seeded
from domain_key_campaign import DomainKeyCampaign
from softhsm import LABEL, MODULE, new_token, pin_file

ROUNDS = 4
"""Kills of each kind. ``make faults`` does any number."""


def test_domain_keys_are_rotated_wholly_or_resumed(tmp_path: Path) -> None:
    tally = DomainKeyCampaign(tmp_path, seeded(1)).run(ROUNDS)
    assert tally.injected == 2 * ROUNDS
    assert any("killed" in name for name in tally.outcomes)


def test_keys_move_into_a_token_wholly_or_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in new_token(tmp_path).items():
        monkeypatch.setenv(name, value)
    settings = {"pkcs11_module": str(MODULE), "pkcs11_token": LABEL, "pkcs11_pin_file": str(pin_file(tmp_path))}
    tally = DomainKeyCampaign(tmp_path, seeded(2), key_protection="pkcs11-full", **settings).run(1)
    assert tally.injected == 3
    assert any("killed" in name for name in tally.outcomes)
