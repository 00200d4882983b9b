"""Lists of any length in one line."""

import pytest

from strongroom.first_few import first_few


@pytest.mark.parametrize(
    ("names", "shown"),
    [((), ""), ("a", "a"), ("ab", "a, b"), ("abc", "a, b and 1 more"), (range(1000), "0, 1 and 998 more")],
)
def test_it_names_the_first_and_counts_the_rest(names: str | range, shown: str) -> None:
    assert first_few(names, 2) == shown
