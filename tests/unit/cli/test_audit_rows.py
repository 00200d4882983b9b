"""The output of `strongroom audit`: text that callers or a forger of the log chose cannot control the terminal."""

import pytest

from strongroom.audit.report import Finding, Kind, Report
from strongroom.audit.search import SearchedRecord
from strongroom.cli.audit_output import RecordTable, show_report


def test_a_caller_cannot_send_escape_sequences_or_forge_a_row() -> None:
    record = SearchedRecord(
        "2026-11-25T10:00:00Z", "DescribeKey", request_parameters={"keyId": "x\n2026 DeleteKey ok \x1b[2J"}
    )
    _, row = RecordTable().lines([record])
    assert row.isprintable()
    assert row.endswith(r"x\n2026 DeleteKey ok \x1b[2J")


def test_printable_text_of_other_scripts_is_shown_unchanged() -> None:
    record = SearchedRecord("2026-11-25T10:00:00Z", "DescribeKey", request_parameters={"keyId": "alias/schlüssel"})
    _, row = RecordTable().lines([record])
    assert row.endswith("alias/schlüssel")


ARN = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("width", [60, 80, 100, 132, 200])
def test_a_terminal_shows_times_and_the_ends_of_arns(width: int) -> None:
    identity = {"arn": "arn:aws:iam::000000000000:user/alice"}
    record = SearchedRecord(
        "2026-11-25T10:00:00Z", "Decrypt", user_identity=identity, request_parameters={"keyId": ARN}
    )
    table = RecordTable(width)
    head, row = table.lines([record])
    [later] = table.lines([record])
    assert later == row
    assert len(row) <= width
    assert row.startswith("2026-11-25T10:00:00Z ")
    for end in ("Decrypt", "alice", "5555555"):
        assert end in row
    assert ("NODE" in head) == (width >= 200), head


def test_a_forged_log_cannot_send_escape_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(findings=[Finding(Kind.ALTERED, "file", 1, 1, "this is the header of \x1b[2J\nThe log is whole.")])
    report.further = 150
    show_report(report, judged=True)
    first, more, *_, last = capsys.readouterr().out.splitlines()
    assert first == r"file:1: sequence 1: ALTERED: this is the header of \x1b[2J\nThe log is whole."
    assert (more, last) == ("... and 150 more", "The log is not what was written: 151 findings.")


@pytest.mark.parametrize(("number", "words"), [(1, "1 record after"), (2, "2 records after")])
def test_one_record_is_not_more_than_one(capsys: pytest.CaptureFixture[str], number: int, words: str) -> None:
    report = Report()
    report.unsigned = number
    show_report(report, judged=True)
    assert f"note: {words} the last signed checkpoint" in capsys.readouterr().out
