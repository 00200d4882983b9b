"""What commands print: lines or a table for people, JSON or CSV for programs; and their exit codes."""

import csv
import io
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence

import click
import msgspec
from typing_extensions import override

from strongroom.audit.cloudtrail import event_time

_NO_ANSWER = 2
_INTERRUPTED = 130
"""The exit code of a shell for a command that SIGINT has ended."""
_ELLIPSIS = "…"
_LEAST_WIDTH = 6
"""The width below which no cell is shortened."""

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document rather than lines of text: docs/commands.md."
)
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="JSON, one object a line, rather than a table: docs/commands.md."
)
csv_option = click.option("--csv", "as_csv", is_flag=True, help="CSV with a line of names, rather than a table.")


class Question(click.Command):
    """A command that answers a question: it exits with 0 for yes, 1 for no, and 2 if there is no answer.

    Other commands exit with 1 for an error, which would look like an answer here.
    """

    @override
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.show()
            raise SystemExit(max(error.exit_code, _NO_ANSWER)) from None
        except (click.Abort, KeyboardInterrupt):
            click.echo("Aborted!", err=True)
            raise SystemExit(_INTERRUPTED) from None
        except (OSError, click.exceptions.Exit):
            raise  # click knows what to do, for instance if the reader of the output has closed the pipe.
        except Exception:  # noqa: BLE001 - whatever it is
            # A defect is no answer either. Python would exit with 1.
            sys.excepthook(*sys.exc_info())
            raise SystemExit(_NO_ANSWER) from None


def show(document: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Print what a command has found or done: a JSON document, or lines for people."""
    if as_json:
        show_json(document)
        return
    for line in lines:
        click.echo(line)


def json_time(at: float | None) -> str | None:
    """Return epoch seconds as JSON documents have times, such as ``2026-03-01T12:00:00Z``; None for none."""
    return None if at is None else event_time(at)


def with_nulls(found: msgspec.Struct, *names: str) -> dict[str, object]:
    """Return the members of a structure, with null for what there is none of: empty text and time 0 of these names."""
    members = msgspec.structs.asdict(found)
    return {name: None if name in names and not value else value for name, value in members.items()}


def show_json(document: object) -> None:
    """Print one JSON document."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def show_json_lines(documents: Iterable[object]) -> None:
    """Print JSON, one object a line, as they come."""
    for each in documents:
        click.echo(msgspec.json.encode(each).decode())


def csv_rows(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield lines of comma-separated values (RFC 4180) for rows, as they come."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow([_harmless(each) for each in row])
        yield buffer.getvalue().removesuffix(writer.dialect.lineterminator)


def _harmless(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: users choose some of the text."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def terminal_width() -> int | None:
    """Return the number of columns of the terminal that standard output is; None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    names: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[str]], width: int | None = None
) -> Iterator[str]:
    """Yield the lines of a table, its header first, as its rows come.

    ``widths`` are those of all columns but the last; a cell that is wider moves the rest of its row. With ``width``,
    the number of columns of a terminal, the last cells and those that are wider than their columns are shortened in
    the middle, so that each row is one line. Text is printed so that it cannot control the terminal.
    """
    yield _line(names, widths, width)
    for row in rows:
        yield _line([printable(each) for each in row], widths, width)


def _line(cells: Sequence[str], widths: Sequence[int], width: int | None) -> str:
    *aligned, last = cells
    if width is None:
        return (" ".join(f"{cell:<{size}}" for cell, size in zip(aligned, widths, strict=True)) + f" {last}").rstrip()
    sizes = _fitted(widths, width)
    left = max(width - sum(sizes) - len(sizes), _LEAST_WIDTH)
    shown = [f"{shortened(cell, size):<{size}}" for cell, size in zip(aligned, sizes, strict=True)]
    return " ".join([*shown, shortened(last, left)]).rstrip()


def _fitted(widths: Sequence[int], width: int) -> list[int]:
    """Return the widths of columns in a terminal: the widest give way, down to a least width."""
    sizes = list(widths)
    while sum(sizes) + len(sizes) + _LEAST_WIDTH > width and max(sizes) > _LEAST_WIDTH:
        sizes[sizes.index(max(sizes))] -= 1
    return sizes


def shortened(text: str, width: int) -> str:
    """Return a text with its middle left out if it is wider than ``width``; ARNs differ at both ends."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}{_ELLIPSIS}{text[len(text) - end :]}"


def printable(text: str) -> str:
    """Return a text that neither looks like another line nor controls the terminal: others choose some of it."""
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
