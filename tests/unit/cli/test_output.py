"""Tables that fit a terminal, and CSV that no spreadsheet runs."""

import csv
import io

import click
import pytest
from click.testing import CliRunner

from strongroom.cli.output import Question, Table, csv_rows, shortened, table

ARN = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
NAMES, WIDTHS = ("TIME", "EVENT", "PRINCIPAL", "KEY"), (20, 12, 44)
ROW = ("2026-11-25T10:00:00Z", "Decrypt", "arn:aws:iam::000000000000:user/alice", ARN)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_each_row_is_one_line_of_a_terminal(width: int) -> None:
    head, row = table(NAMES, WIDTHS, [ROW], width)
    assert len(row) <= width
    assert head.split() == ["TIME", "EVENT", "PRINCIPAL", "KEY"]
    assert ("…" in row) == (width < 200)


def test_columns_are_as_wide_as_their_cells_where_there_is_room() -> None:
    head, row = table(("A", "BB", "C"), (20, 20), [("a", "b", "c")], 80)
    assert (head, row) == ("A BB C", "a b  c")


def test_columns_are_left_out_before_others_are_shortened() -> None:
    rows = [("2026-11-25T10:00:00Z", "x" * 10, "y" * 10, "z" * 30)]
    for width, shown in ((80, "TXYZ"), (65, "TYZ"), (53, "TZ"), (40, "TZ")):
        found = Table("TXYZ", (9, 9, 9), width, optional=(1, 2), kept=(0,))
        head, row = found.lines(rows)
        assert head.replace(" ", "") == shown
        assert row.startswith("2026-11-25T10:00:00Z ")
        assert len(row) <= width


def test_rows_after_those_that_were_measured_stay_in_their_columns() -> None:
    short = [("a", "b", "c")] * 300
    *_, last = table(("A", "BB", "C"), (20, 20), [*short, ("long text", "b", "c" * 100)], 40)
    assert last.startswith("…")
    assert len(last) == 40


def test_nothing_is_shortened_where_there_is_no_terminal() -> None:
    assert list(table(NAMES, WIDTHS, [ROW]))[1].split() == list(ROW)


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abc…fg"),
        ("abcdefg", 5, "ab…fg"),
        ("abc", 2, "a…"),
        ("abc", 1, "…"),
        (ARN, 10, "…555555555"),
    ],
)
def test_the_middle_is_left_out(text: str, width: int, shown: str) -> None:
    assert shortened(text, width) == shown


def test_text_of_others_does_not_control_a_terminal() -> None:
    assert list(table(NAMES, WIDTHS, [("a\n", "b\x1b[2J", "c", "d")], 80))[1].split() == [r"a\n", r"b\x1b[2J", "c", "d"]


def test_csv_is_read_back_and_has_no_formulas() -> None:
    rows: list[list[object]] = [["a", 'b,"c"', "d\ne"], ["=1+1", "+1", "-x"], ["@x", "1", 2]]
    read = list(csv.reader(io.StringIO("\n".join(csv_rows(rows)), newline="")))
    assert read == [["a", 'b,"c"', "d\ne"], ["'=1+1", "'+1", "'-x"], ["'@x", "1", "2"]]


@pytest.mark.parametrize(
    ("answer", "code"), [("yes", 0), ("no", 1), ("error", 2), ("mistake", 2), ("defect", 2), ("stop", 130)]
)
def test_an_error_is_no_answer(answer: str, code: int) -> None:
    @click.command(cls=Question)
    def ask() -> None:
        match answer:
            case "no":
                raise SystemExit(1)
            case "error":
                raise click.ClickException("it cannot be known")
            case "mistake":
                raise click.UsageError("it cannot be asked")
            case "defect":
                raise ZeroDivisionError
            case "stop":
                raise KeyboardInterrupt
            case _:
                click.echo(answer)

    done = CliRunner().invoke(ask)
    assert done.exit_code == code
    assert ("Error: it cannot" in done.output) == (answer in {"error", "mistake"})
