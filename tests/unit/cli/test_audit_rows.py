"""What `strongroom audit search` prints of what callers chose."""

from strongroom.audit.search import SearchedRecord
from strongroom.cli.audit import _record_row


def test_no_caller_speaks_to_the_terminal_or_makes_a_row() -> None:
    record = SearchedRecord(
        "2026-11-25T10:00:00Z", "DescribeKey", request_parameters={"keyId": "x\n2026 DeleteKey ok \x1b[2J"}
    )
    row = _record_row(record)
    assert row.isprintable()
    assert row.endswith(r"x\n2026 DeleteKey ok \x1b[2J")


def test_other_scripts_stay_readable() -> None:
    record = SearchedRecord("2026-11-25T10:00:00Z", "DescribeKey", request_parameters={"keyId": "alias/schlüssel"})
    assert _record_row(record).endswith("alias/schlüssel")
