"""docs/FIPS.md has every primitive that is tested, and all that is refused."""

import re
from pathlib import Path

from strongroom.crypto.self_tests.run import SELF_TESTS
from strongroom.keys.approved_algorithms import REFUSED

PAGE = (Path(__file__).parents[2] / "docs/FIPS.md").read_text(encoding="utf-8")


def test_the_table_has_every_self_test_once() -> None:
    table = PAGE[PAGE.index("| Algorithm |") :]
    rows = re.findall(r"^\| [^|]* \| `([^`]*)` \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(SELF_TESTS)


def test_all_that_is_refused_is_named() -> None:
    refused = PAGE[PAGE.index("| Refused |") : PAGE.index("## The algorithms")]
    assert [each for each in REFUSED if f"`{each}`" not in refused] == []


def test_it_claims_no_validation() -> None:
    assert not re.search(
        r"FIPS[- ](validated|compliant|certified)|(validated|compliant|certified) (for|to|with) FIPS", PAGE
    )
