"""The output of ``strongroom audit``: records, findings and writers as text."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import click
import msgspec

from strongroom.audit.cloudtrail import event_time
from strongroom.audit.report import Chain, ChainState, Kind, Report
from strongroom.audit.search import SearchedRecord
from strongroom.audit.writer_id import WriterId, parse_writer
from strongroom.cli.output import Table, json_time, printable
from strongroom.store.records import AuditWriterRecord

T = TypeVar("T")

_MOST_SHOWN = 100
_WRITER_ROW = "{:<12} {:<16} {:<20} {:<20} {}"
_RECORD_COLUMNS = ("TIME", "NODE", "WORKER", "EVENT", "RESULT", "PRINCIPAL", "KEY")
_WIDTHS = (20, 12, 6, 24, 28, 44)
_LEFT_OUT = (2, 1)
"""The columns that a terminal without room for all does not show: the worker, then the node."""


def show_report(report: Report, *, judged: bool) -> None:
    """Print the result of a verification; ``judged`` tells whether the ends of the chains could be judged."""
    shown = report.findings[:_MOST_SHOWN]
    for finding in shown:
        where = f"{finding.file}:{finding.line}: sequence {finding.sequence}: " if finding.file else ""
        click.echo(printable(f"{where}{finding.kind.upper()}: {finding.text}"))
    found = len(report.findings) + report.further
    if found > len(shown):
        click.echo(f"... and {found - len(shown)} more")
    span = f", from {report.first_time} to {report.last_time}" if report.first_time else ""
    counts = (
        _count(report.segments, "file"),
        _count(report.records, "record"),
        _count(report.checkpoints, "checkpoint"),
    )
    click.echo(f"{', '.join(counts)}{span}")
    for row in _node_rows(report):
        click.echo(printable(row))
    for note in _notes(report):
        click.echo(f"note: {printable(note)}")
    if not judged:
        click.echo(
            "note: without the database it cannot be judged whether the end of the log is missing or was added to"
        )
    click.echo(_conclusion(report, found))


def _conclusion(report: Report, found: int) -> str:
    if found and not report.further and all(each.kind is Kind.LOST for each in report.findings):
        return "What is there is what was written. What is missing was lost with nodes that were retired."
    if found:
        return f"The log is not what was written: {_count(found, 'finding')}."
    if report.machine_failures:
        return "What is there is what was written. The last records before a failure of the machine may be missing."
    return "The log is whole."


def _notes(report: Report) -> Iterator[str]:
    for archive, count in sorted(report.archived.items()):
        yield f"{_count(count, 'file')} moved to {archive}, as the log states, and not read (--archive)"
    if report.machine_failures:
        known = f", and {_count(report.missing, 'line')} are" if report.missing else ""
        yield (
            f"{_count(report.machine_failures, 'time')} the machine ended without stopping a worker, with durability "
            f'"write": the records of its last seconds may be missing{known}'
        )
    if report.partial_copies:
        yield f"{_count(report.partial_copies, 'copy', 'copies')} of the newest files end before them"
    if report.pruned:
        yield f"{_count(report.pruned, 'file')} pruned from an archive, as the log states"
    notes = (
        (report.unsigned, "record", "after the last signed checkpoint, not covered by a signature yet"),
        (report.uncovered, "line", "after the last signed checkpoint when a server started: a crash leaves some"),
        (report.torn, "byte", "of unfinished lines, of calls that were never answered"),
        (report.damaged, "line", "written when the machine ended, some of it damaged"),
        (report.lost, "record", "of refused calls dropped while the log could not be written"),
    )
    for count, noun, text in notes:
        if count:
            yield f"{_count(count, noun)} {text}"


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


RECORD_NAMES = (
    *("time", "node", "worker", "event", "result", "principal", "key"),
    *("event_id", "region", "source_ip"),
)
"""The columns of records as CSV."""


class RecordTable:
    """Records as a table, with its header above the first; in a terminal of that ``width``, each row on one line."""

    def __init__(self, width: int | None = None) -> None:
        self._table = Table(_RECORD_COLUMNS, _WIDTHS, width, optional=_LEFT_OUT, kept=(0,))

    def lines(self, rows: Iterable[SearchedRecord]) -> Iterator[str]:
        """Yield the lines of further records."""
        return self._table.lines(map(_record_cells, rows))


def record_values(record: SearchedRecord) -> Sequence[str]:
    """Return what CSV has of a record."""
    return (*_record_cells(record), record.event_id, record.aws_region, record.source_ip)


def _record_cells(record: SearchedRecord) -> Sequence[str]:
    node, worker = _origin(record.writer)
    result = record.error_code or "ok"
    return record.event_time, node, worker, record.event_name, result, record.principal, record.key


def _origin(writer: WriterId | None) -> tuple[str, str]:
    """Return node and worker of a record as text, ``-`` for one that it does not name."""
    return ("-", "-") if writer is None else (writer.node or "-", writer.worker_name)


def _node_rows(report: Report) -> Iterator[str]:
    """Yield a row for each node: what was found of its chains, or that they were not judged."""
    for node, chains in _by_node(report.chains, lambda each: each.writer).items():
        yield f"node {node}: {_node_words(chains)}"
    for node, writers in _by_node(report.elsewhere, str).items():
        names = ", ".join(_worker_in(writer) for writer in writers)
        yield f"node {node}: {names}; not judged, because its folder is not given (--from)"


def _node_words(chains: Sequence[Chain]) -> str:
    """Return what was found of a node's chains: the writers, the records, what is signed, what is missing."""
    states = (f" ({each.state})" if each.state is not ChainState.UNKNOWN else "" for each in chains)
    words = [", ".join(_worker_in(each.writer) + state for each, state in zip(chains, states, strict=True))]
    first = min((each.first_time for each in chains if each.first_time), default="")
    records = _count(sum(each.records for each in chains), "record")
    words.append(f"{records} from {first} to {max(each.last_time for each in chains)}" if first else records)
    if signed := max(each.last_signed for each in chains):
        words.append(f"last checkpoint {signed}")
    if missing := sum(each.missing for each in chains):
        words.append(f"{_count(missing, 'line')} missing")
    return "; ".join(words)


def _by_node(items: Iterable[T], writer_of: Callable[[T], str]) -> Mapping[str, list[T]]:
    """Group items by the node of their writer, ``-`` for chains from before nodes had ids and for other names."""
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(_origin(parse_writer(writer_of(item)))[0], []).append(item)
    return found


def _worker_in(writer: str) -> str:
    """Return the part of a writer's name that tells the workers of a node apart; a name of another form as it is."""
    parsed = parse_writer(writer)
    return writer if parsed is None else parsed.worker_name


def writer_table(records: Iterable[AuditWriterRecord]) -> Iterator[str]:
    """Yield a table of writers, its header first."""
    yield _WRITER_ROW.format("NODE", "WRITER", "FIRST SEEN", "LAST CHECKPOINT", "STOPPED")
    for record in records:
        yield printable(_writer_row(record))


def writer_document(record: AuditWriterRecord) -> dict[str, object]:
    """Return a writer as JSON has it; ``last_checkpoint`` is ``damaged`` if it is."""
    last = _last_checkpoint(record)
    return {
        "node": record.node,
        "writer": record.writer,
        "first_seen": json_time(record.first_seen),
        "last_checkpoint": None if last == "-" else last,
        "stopped": record.known.stopped,
    }


def _writer_row(record: AuditWriterRecord) -> str:
    first = "-" if record.first_seen is None else event_time(record.first_seen)
    stopped = "yes" if record.known.stopped else "no"
    return _WRITER_ROW.format(record.node or "-", record.writer, first, _last_checkpoint(record), stopped)


def _last_checkpoint(record: AuditWriterRecord) -> str:
    if record.known.checkpoint is None:
        return "-"
    try:
        return record.known.checkpoint.read().time
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "damaged"
