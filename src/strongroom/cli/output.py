"""What commands print: lines or a table for people, JSON or CSV for programs; and their exit codes."""

import csv
import io
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

import click
import msgspec
from typing_extensions import override

from strongroom.audit.cloudtrail import event_time
from strongroom.cli.standard_output import checked_output

_NO_ANSWER = 2
_INTERRUPTED = 130
"""The exit code of a shell for a command that SIGINT has ended."""
MOST_NAMED = 20
"""The most names of a kind that are printed for people."""
_ELLIPSIS = "…"
_ARN = "arn:"
_LEAST_WIDTH = 6
"""The width below which no cell is shortened."""
_MEASURED = 200
"""How many rows are waited for, to know how wide the columns of a terminal have to be."""

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document rather than lines of text: docs/commands.md."
)
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="JSON, one object a line, rather than a table: docs/commands.md."
)
csv_option = click.option("--csv", "as_csv", is_flag=True, help="CSV with a line of names, rather than a table.")


class Question(click.Command):
    """A command that answers a question: it exits with 0 for yes, 1 for no, and 2 if there is no answer.

    Other commands exit with 1 for an error, which would look like an answer here. An answer that could not be printed
    is none.
    """

    @override
    def invoke(self, ctx: click.Context) -> object:
        try:
            with checked_output():
                return super().invoke(ctx)
        except click.ClickException as error:
            error.show()
            raise SystemExit(max(error.exit_code, _NO_ANSWER)) from None
        except (click.Abort, KeyboardInterrupt):
            click.echo("Aborted!", err=True)
            raise SystemExit(_INTERRUPTED) from None
        except click.exceptions.Exit:
            raise
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


def named_lines(text: str, names: Sequence[str]) -> Iterator[str]:
    """Yield a line for each of some names, such as ARNs, with a text before it; of many, the number of the others."""
    for name in names[:MOST_NAMED]:
        yield f"{text}: {name}"
    if len(names) > MOST_NAMED:
        yield f"{text}: and {len(names) - MOST_NAMED} more"


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
    """Yield the lines of a table, its header first, as its rows come; see ``Table``."""
    return Table(names, widths, width).lines(rows)


class Table:
    """A table whose rows come in several parts, with its header above the first.

    ``widths`` are those of all columns but the last where there is no terminal; a cell that is wider moves the rest of
    its row. With ``width``, the number of columns of a terminal, each row is one line there: columns are as wide as
    their cells in the first rows. If they have no room, the ``optional`` ones are left out one by one, in their order;
    then the widest are shortened, the ``kept`` ones last. Text is printed so that it cannot control the terminal.
    """

    def __init__(
        self,
        names: Sequence[str],
        widths: Sequence[int],
        width: int | None = None,
        *,
        optional: Sequence[int] = (),
        kept: Sequence[int] = (),
    ) -> None:
        self._names = names
        self._widths = widths
        self._width = width
        self._optional = optional
        self._kept = kept
        self._sizes: Mapping[int, int] | None = None
        """The columns that are shown in a terminal, with their widths; None before the first row."""
        self._begun = False

    def lines(self, rows: Iterable[Sequence[str]]) -> Iterator[str]:
        """Yield the lines of further rows, as they come; those of the first rows once there are some."""
        cells: Iterator[Sequence[str]] = ([printable(each) for each in row] for row in rows)
        if self._width is not None and self._sizes is None:
            first = list(islice(cells, _MEASURED))
            self._sizes = self._fitted(self._natural(first), self._width)
            cells = chain(first, cells)
        if not self._begun:
            self._begun = True
            yield self._line(self._names)
        yield from map(self._line, cells)

    def _natural(self, rows: Sequence[Sequence[str]]) -> dict[int, int]:
        """Return the widths that columns need; without rows, those of any."""
        if not rows:
            return dict(enumerate([*self._widths, len(self._names[-1])]))
        return {number: max(map(len, column)) for number, column in enumerate(zip(self._names, *rows, strict=True))}

    def _fitted(self, sizes: dict[int, int], width: int) -> Mapping[int, int]:
        """Return the columns that are shown, with widths at which they have room if they can have it."""
        for number in self._optional:
            if _total(sizes) > width:
                del sizes[number]
        while _total(sizes) > width:
            wide = [number for number, size in sizes.items() if size > _LEAST_WIDTH]
            if not wide:
                break
            widest = max(wide, key=lambda number: (number not in self._kept, sizes[number]))
            sizes[widest] -= 1
        return sizes

    def _line(self, cells: Sequence[str]) -> str:
        if self._width is None or self._sizes is None:
            *aligned, last = cells
            padded = (f"{cell:<{size}}" for cell, size in zip(aligned, self._widths, strict=True))
            return " ".join([*padded, last]).rstrip()
        *sizes, (last_number, _) = self._sizes.items()
        shown = [f"{shortened(cells[number], size):<{size}}" for number, size in sizes]
        # What is wider than the cells that were measured may go on to the edge.
        left = max(self._width - sum(size + 1 for _, size in sizes), _LEAST_WIDTH)
        return " ".join([*shown, shortened(cells[last_number], left)]).rstrip()


def _total(sizes: Mapping[int, int]) -> int:
    """Return the width of a row, with a space between columns."""
    return sum(sizes.values()) + len(sizes) - 1


def shortened(text: str, width: int) -> str:
    """Return a text with its middle left out if it is wider than ``width``; of an ARN, the beginning is left out.

    All ARNs begin alike, and end with what tells them apart.
    """
    if len(text) <= width:
        return text
    end = width - 1 if text.startswith(_ARN) else (width - 1) // 2
    return f"{text[: width - 1 - end]}{_ELLIPSIS}{text[len(text) - end :]}"


def printable(text: str) -> str:
    """Return a text that neither looks like another line nor controls the terminal: others choose some of it."""
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
