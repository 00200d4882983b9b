"""Wildcards: matches compared with those of regular expressions, and the steps that hostile patterns take."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.iam.wildcards import Literal, Pieces, fields, matches, pattern, plain
from strongroom.iam.work import TooMuchWork, Work


def glob(written: str | Pieces, text: str) -> bool:
    return matches(pattern((written,) if isinstance(written, str) else written), text, Work(10**9))


def by_regular_expression(written: str, text: str) -> bool:
    parts = {"*": ".*", "?": "."}
    return re.fullmatch("".join(parts.get(each) or re.escape(each) for each in written), text, re.DOTALL) is not None


@given(st.text("ab?*", max_size=9), st.text("ab?*\n", max_size=9))
def test_wildcards_match_what_an_equal_regular_expression_matches(written: str, text: str) -> None:
    assert glob(written, text) is by_regular_expression(written, text)


@given(st.lists(st.text("ab?*", max_size=3) | st.builds(Literal, st.text("ab?*", max_size=3))), st.text("ab?*"))
def test_literal_text_matches_only_itself(pieces: list[str | Literal], text: str) -> None:
    expression = "".join(
        re.escape(piece.text)
        if isinstance(piece, Literal)
        else re.escape(piece).replace(r"\*", ".*").replace(r"\?", ".")
        for piece in pieces
    )
    assert glob(tuple(pieces), text) is (re.fullmatch(expression, text, re.DOTALL) is not None)


@given(st.text(), st.text(max_size=3))
def test_no_character_has_a_second_meaning(before: str, escaped: str) -> None:
    written = (Literal(before), Literal(escaped), Literal("*?"))
    assert glob(written, before + escaped + "*?")
    assert plain(written) == before + escaped + "*?"
    for other in "\ue000\ue001x":
        assert not glob(written, before + escaped + other + "?")
        assert not glob(written, before + escaped + "*" + other)


def test_a_pattern_is_split_into_fields_with_its_wildcards() -> None:
    written = ("a:b*", Literal("*:?"), ":c:d")
    assert fields(written, ":", 4) == (("a",), ("b*", Literal("*")), (Literal("?"), ""), ("c:d",))
    assert fields(written, ":", 6) is None


HOSTILE = {
    "stars": ("*a" * 20_000 + "*b", "a" * 100_000),
    "letters": ("*a" * 20_000 + "*b*", "a" * 100_000),
    "longer than the text": ("*" + "a?" * 10_000 + "b*", "a" * 2_000),
    "question marks and letters": ("*" + "a?" * 1_000 + "b*", "a" * 100_000),
    "question marks": ("*" + "?" * 20_000 + "b*", "a" * 100_000),
    "almost the text, again and again": ("*" + "aaaaaaa?b*" * 5_000, "a" * 100_000),
    "almost the text": ("*" + "a" * 127 + "b" + "*", "a" * 100_000),
    "one question mark too many": ("?" * 100_001, "a" * 100_000),
    "found in every place": ("*a?" * 20_000 + "*b*", "a" * 100_000),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_the_steps_of_a_pattern_are_in_proportion_to_pattern_and_text(case: str) -> None:
    written, text = HOSTILE[case]
    work = Work(10**9)
    assert not matches(pattern((written,)), text, work)
    assert 10**9 - work.left <= len(written) + 8 * len(text)


@pytest.mark.parametrize("case", ["letters", "question marks", "found in every place"])
def test_a_pattern_stops_when_the_budget_is_spent(case: str) -> None:
    written, text = HOSTILE[case]
    with pytest.raises(TooMuchWork):
        matches(pattern((written,)), text, Work(1000))
