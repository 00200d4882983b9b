"""Wildcards: what matches, held against regular expressions, and that no pattern takes long."""

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
def test_globs_are_what_regular_expressions_say(pattern: str, text: str) -> None:
    assert glob(pattern, text) is by_regular_expression(pattern, text)


@given(st.text("ab", max_size=3), st.text("ab?*", max_size=6), st.text("ab?*", max_size=6))
def test_what_is_literal_matches_itself_only(before: str, escaped: str, text: str) -> None:
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
def test_no_pattern_takes_long(pattern: str, text: str) -> None:
    started = time.perf_counter()
    assert not glob(pattern, text)
    assert time.perf_counter() - started < 2
