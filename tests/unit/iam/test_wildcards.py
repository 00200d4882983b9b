"""Wildcards: matches compared with those of regular expressions, and the time that hostile patterns take."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.iam.wildcards import glob, literal, plain


def by_regular_expression(pattern: str, text: str) -> bool:
    parts = {"*": ".*", "?": "."}
    return re.fullmatch("".join(parts.get(each) or re.escape(each) for each in pattern), text, re.DOTALL) is not None


@given(st.text("ab?*", max_size=9), st.text("ab?*\n", max_size=9))
def test_wildcards_match_what_an_equal_regular_expression_matches(pattern: str, text: str) -> None:
    assert glob(pattern, text) is by_regular_expression(pattern, text)


@given(st.text("ab", max_size=3), st.text("ab?*", max_size=6), st.text("ab?*", max_size=6))
def test_literal_text_matches_only_itself(before: str, escaped: str, text: str) -> None:
    pattern = before + literal(escaped)
    assert glob(pattern, before + escaped)
    assert glob(pattern, text) is (text == before + escaped)
    assert plain(pattern) == before + escaped


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 20_000 + "*b", "a" * 100_000),
        ("*" + "a?" * 10_000 + "b*", "a" * 100_000),
        ("*" + "?" * 20_000 + "b*", "a" * 100_000),
        ("*" + "aaaaaaa?b*" * 5_000, "a" * 100_000),
        ("*?" * 20_000, "a" * 19_999),
        ("?" * 100_000, "a" * 99_999),
    ],
    ids=lambda value: value[:12],
)
def test_no_pattern_takes_more_than_bounded_time(pattern: str, text: str) -> None:
    started = time.perf_counter()
    assert not glob(pattern, text)
    assert time.perf_counter() - started < 2
