"""Values of conditions: what texts stand for."""

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.iam.condition_values import epoch_seconds, network, number


@given(st.datetimes(timezones=st.timezones().filter(lambda zone: zone is not None)))
def test_a_date_in_iso_8601_is_the_same_moment_for_python(moment: datetime) -> None:
    offset = moment.utcoffset()
    if offset is None or offset.total_seconds() % 60:
        return
    written = epoch_seconds(moment.isoformat())
    assert written == Decimal(str(int(moment.replace(microsecond=0).timestamp()))) + Decimal(moment.microsecond) / 10**6


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970", 1970),
        ("1970-01", 0),
        ("1969-12-31T23:59:59Z", -1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00:00+01", 0),
        ("1969-12-31t23:00:00-01:00", 0),
        ("1970-01-01T00:00:00.5Z", Decimal("0.5")),
        ("2000-02-29", 951_782_400),
        ("2400-02-29", 13_574_563_200),
        ("0000-01-01", -62_167_219_200),
        ("-1-12-31", -62_167_305_600),
        ("12026-01-01", 317_336_745_600),
        ("0", 0),
        ("1767225600", 1_767_225_600),
        ("1767225600.25", Decimal("1767225600.25")),
    ],
)
def test_dates(text: str, seconds: Decimal) -> None:
    assert epoch_seconds(text) == seconds


def test_order_of_dates_far_away() -> None:
    dates = ["-292275054", "-1", "0001-01-01", "2026-01-01", "9999-12-31", "99999-01-01", "292278993-12-31"]
    found = [epoch_seconds(text if text != "-1" else "-1-01") for text in dates]
    assert None not in found
    assert found == sorted(found, key=lambda each: each or Decimal(0))


@given(st.text(max_size=40))
def test_any_text_is_a_value_or_none(text: str) -> None:
    for read in (number, network, epoch_seconds):
        read(text)
