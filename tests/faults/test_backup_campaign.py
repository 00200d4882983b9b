"""Backups of a server under load: everything acknowledged before is in them, and every ciphertext decrypts."""

from pathlib import Path

from backup_campaign import BackupCampaign
from campaign import first_lines, seeded

BACKUPS = 2
"""``make faults`` makes many more."""


def test_every_backup_is_restored(tmp_path: Path) -> None:
    tally = BackupCampaign(tmp_path, seeded(1)).run(BACKUPS)
    assert not tally.lost, first_lines(tally.lost)
    assert tally.injected == sum(tally.outcomes.values()) == BACKUPS
    assert tally.acknowledged
