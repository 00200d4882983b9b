"""ARNs: parsing and writing are inverse, and no text makes parsing fail or take long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.arns import Arn, account_in, arn_fields, known_arn, parse_arn

FIELD = st.text(st.characters(exclude_characters=":"), max_size=20)
ARNS = st.builds(Arn, FIELD, FIELD, FIELD, FIELD, st.text(max_size=40))
ALMOST_ARNS = st.lists(st.sampled_from(["arn", ":", "/", "aws", "iam", "*", "\n", "\u2028", "1"]), max_size=20).map(
    "".join
)


@given(ARNS)
def test_what_is_written_is_read_back(arn: Arn) -> None:
    assert parse_arn(str(arn)) == arn == known_arn(str(arn))
    assert account_in(str(arn)) == arn.account


@given(st.text(max_size=60) | ALMOST_ARNS)
def test_any_text_is_an_arn_or_is_not(text: str) -> None:
    arn = parse_arn(text)
    assert (arn is not None) == (text.startswith("arn:") and text.count(":") >= 5)
    if arn is None:
        assert account_in(text) == ""
    else:
        assert str(arn) == text
        assert arn_fields(text) == ["arn", arn.partition, arn.service, arn.region, arn.account, arn.resource]


@given(ARNS)
def test_type_path_and_name_make_up_the_resource(arn: Arn) -> None:
    if "/" in arn.resource:
        assert f"{arn.resource_type}{arn.resource_path}{arn.resource_name}" == arn.resource
        assert f"{arn.resource_type}/{arn.resource_id}" == arn.resource
    else:
        assert (arn.resource_type, arn.resource_id, arn.resource_path) == (arn.resource, "", "/")


@pytest.mark.parametrize("piece", [":", "/", "arn:", "arn:a:b:c:d:e/", "\u0661"])
def test_parsing_takes_time_proportional_to_the_length(piece: str) -> None:
    """A megabyte takes a few milliseconds; anything quadratic would take minutes."""
    text = "arn:aws:iam::1:user/" + piece * (1_000_000 // len(piece))
    start = time.process_time()
    arn = known_arn(text)
    assert arn.resource_name is not None
    assert arn.resource_path.startswith("/")
    assert str(arn) == text
    assert time.process_time() - start < 1
