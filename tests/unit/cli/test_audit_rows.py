"""What `strongroom audit` prints of text that callers, or somebody who tampered with the log, chose."""

import pytest

from strongroom.audit.search import SearchedRecord
from strongroom.audit.verification import Finding, Kind, Report
from strongroom.cli.audit_output import record_row, show_report


def test_no_caller_speaks_to_the_terminal_or_makes_a_row() -> None:
    record = SearchedRecord(
        "2026-11-25T10:00:00Z", "DescribeKey", request_parameters={"keyId": "x\n2026 DeleteKey ok \x1b[2J"}
    )
    row = record_row(record)
    assert row.isprintable()
    assert row.endswith(r"x\n2026 DeleteKey ok \x1b[2J")


def test_other_scripts_stay_readable() -> None:
    record = SearchedRecord("2026-11-25T10:00:00Z", "DescribeKey", request_parameters={"keyId": "alias/schlüssel"})
    assert record_row(record).endswith("alias/schlüssel")


def test_no_forger_speaks_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(findings=[Finding(Kind.ALTERED, "file", 1, 1, "this is the header of \x1b[2J\nThe log is whole.")])
    report.further = 150
    show_report(report, judged=True)
    first, more, *_, last = capsys.readouterr().out.splitlines()
    assert first == r"file:1: sequence 1: ALTERED: this is the header of \x1b[2J\nThe log is whole."
    assert (more, last) == ("... and 150 more", "The log is not what was written: 151 findings.")
