"""A running folder copied file by file: a server on the copy refuses, or is right, or says what is missing."""

from pathlib import Path

from campaign import first_lines, seeded
from wrong_copies import WrongCopyCampaign

COPIES = 2
"""``make faults`` makes many more."""


def test_a_copy_is_refused_or_right(tmp_path: Path) -> None:
    tally = WrongCopyCampaign(tmp_path, seeded(1)).run(COPIES)
    assert tally.injected == COPIES
    assert "refused, with a traceback" not in tally.outcomes, first_lines(tally.lost)
    assert tally.lost == []
