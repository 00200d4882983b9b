"""``strongroom audit``: verify the audit log, search it, show the public key of its checkpoints."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from strongroom.assembly.audit_log import key_names, open_audit_key, size_of_log, verify_log
from strongroom.assembly.data_folder import DataFolder, DataFolderError, open_store_to_read
from strongroom.assembly.node import read_node_id
from strongroom.audit.cloudtrail import event_time
from strongroom.audit.search import Query, SearchedRecord
from strongroom.audit.verification import Report
from strongroom.audit.writer_id import WriterId, parse_writer
from strongroom.cli.common import config_option, data_option, existing_folder, read_settings, readable_errors
from strongroom.clock import SystemClock
from strongroom.crypto.audit_key import AuditPublicKey, load_audit_public_key
from strongroom.entropy import system_entropy
from strongroom.store.audit.search import search_log
from strongroom.store.protocol import Readable
from strongroom.store.records import AuditWriterRecord

_MOST_SHOWN = 100
_WRITER_ROW = "{:<12} {:<6} {:<20} {:<20} {}"
_WIDTHS = (20, 12, 6, 24, 28, 44)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.group()
def audit() -> None:
    """Verify and search the audit log, also while the server runs."""


@audit.command("public-key")
@data_option
@config_option
def public_key(data: str | None, config: Path | None) -> None:
    """Print the public key that checkpoints are signed for. Keep it elsewhere, for ``audit verify``."""
    with existing_folder(config, data) as (opened, _):
        click.echo(open_audit_key(opened.store, opened.backends.vault, system_entropy).public().pem(), nl=False)


@audit.command("verify")
@click.option(
    "--public-key",
    "pem",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key (PEM) to verify with, as ``audit public-key`` printed it. Default: that of the data folder.",
)
@click.option("--from-oldest", is_flag=True, help="Older files were moved elsewhere: begin with the oldest here.")
@data_option
@config_option
def verify(*, pem: Path | None, from_oldest: bool, data: str | None, config: Path | None) -> None:
    """Find every line that was removed, altered, reordered or cut off. Exits with 1 if there is any.

    The chains of this node must be here; other nodes that share the database have theirs elsewhere. With --public-key,
    the root key need not be there, and the database is only read. Without the database it cannot be judged whether the
    end of the log is missing, or something was added to it.
    """
    with _to_verify(pem, data, config) as (folder, key, store):
        total = size_of_log(folder.audit)
        with click.progressbar(
            length=total, label="Verifying", file=sys.stderr, hidden=not sys.stderr.isatty(), update_min_steps=1 << 22
        ) as bar:
            node = read_node_id(folder)
            report = verify_log(folder.audit, node, key, store, bar.update, from_oldest=from_oldest)
    _show(report, judged=store is not None)
    if report.findings:
        raise SystemExit(1)


@audit.command("writers")
@data_option
@config_option
def writers(data: str | None, config: Path | None) -> None:
    """List the writers of the audit log, of all nodes that share the database. Times are UTC."""
    with readable_errors():
        folder = DataFolder(read_settings(config, data=data).folder)
        with closing(open_store_to_read(folder)) as store, store.read() as reader:
            found = reader.audit_writer_records()
    click.echo(_WRITER_ROW.format("NODE", "WORKER", "FIRST SEEN", "LAST CHECKPOINT", "STOPPED"))
    for record in found:
        click.echo(_printable(_writer_row(record)))


@audit.command("search")
@click.option("--key", help="Key id, key ARN, alias name or alias ARN. An alias means the key it points to now, too.")
@click.option("--principal", default="", help="ARN of who called; or name of a user, a role or a service.")
@click.option("--event", default="", help="Name of the event, such as Decrypt.")
@click.option("--since", help="From when on: a time (ISO 8601; UTC unless it says otherwise), or 15m, 2h, 7d ago.")
@click.option("--until", help="Until when.")
@click.option("--denied", is_flag=True, help="Only what was refused for want of permission or of a valid signature.")
@click.option("--json", "as_json", is_flag=True, help="Whole records, one JSON object a line, rather than a table.")
@data_option
@config_option
def search(  # noqa: PLR0913 - the options of one question
    *,
    key: str | None,
    principal: str,
    event: str,
    since: str | None,
    until: str | None,
    denied: bool,
    as_json: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """Show records of the audit log, by the time of their calls, oldest first. Times are UTC.

    The database is only read, and only to know what an alias means. With --since, a file is left out if the next one of
    its writer was begun more than an hour before.
    """
    begin, end = _time(since, "--since"), _time(until, "--until")
    with readable_errors():
        settings = read_settings(config, data=data)
        folder = _with_log(DataFolder(settings.folder))
        keys = frozenset[str]()
        if key is not None:
            with _store_of(folder) as store:
                keys = key_names(store, settings, key)
        query = Query(keys=keys, principal=principal, event=event, since=begin, until=end, denied=denied)
        if not as_json:
            click.echo(_row("TIME", "NODE", "WORKER", "EVENT", "RESULT", "PRINCIPAL", "KEY"))
        for record, line in search_log(folder.audit, query):
            click.echo(line if as_json else _record_row(record))


def _writer_row(record: AuditWriterRecord) -> str:
    writer = parse_writer(record.writer)
    first = "-" if record.first_seen is None else event_time(record.first_seen)
    worker = record.writer if writer is None else writer.worker_name
    stopped = "yes" if record.known.stopped else "no"
    return _WRITER_ROW.format(record.node or "-", worker, first, _last_checkpoint(record), stopped)


def _last_checkpoint(record: AuditWriterRecord) -> str:
    if record.known.checkpoint is None:
        return "-"
    try:
        return record.known.checkpoint.read().time
    except msgspec.DecodeError:
        return "damaged"


@contextmanager
def _to_verify(
    pem: Path | None, data: str | None, config: Path | None
) -> Iterator[tuple[DataFolder, AuditPublicKey, Readable | None]]:
    """Open what is needed: with a public key at hand, no more than the log, and the database if it is there."""
    if pem is None:
        with existing_folder(config, data) as (opened, _):
            key = open_audit_key(opened.store, opened.backends.vault, system_entropy)
            yield opened.folder, key.public(), opened.store
        return
    with readable_errors():
        folder = _with_log(DataFolder(read_settings(config, data=data).folder))
        try:
            key_given = load_audit_public_key(pem.read_bytes())
        except ValueError:
            raise click.BadParameter(f"`{pem}` holds no Ed25519 public key", param_hint="--public-key") from None
        with _store_of(folder) as store:
            yield folder, key_given, store


def _with_log(folder: DataFolder) -> DataFolder:
    """Return a folder that has an audit log; raises DataFolderError if it has none."""
    if not folder.audit.is_dir():
        raise DataFolderError(f"`{folder.audit}` is not there")
    return folder


@contextmanager
def _store_of(folder: DataFolder) -> Iterator[Readable | None]:
    """Open the database of a folder for reading, if it is there."""
    if not folder.database.exists():
        yield None
        return
    with closing(open_store_to_read(folder)) as store:
        yield store


def _show(report: Report, *, judged: bool) -> None:
    shown = report.findings[:_MOST_SHOWN]
    for finding in shown:
        where = f"{finding.file}:{finding.line}: sequence {finding.sequence}: " if finding.file else ""
        click.echo(_printable(f"{where}{finding.kind.upper()}: {finding.text}"))
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
    for node, workers in _workers_by_node(report.writers).items():
        click.echo(_printable(f"node {node}: {', '.join(workers)}"))
    notes = (
        (report.unsigned, "records come after the last signed checkpoint; no signature covers them yet"),
        (report.uncovered, "lines came after the last signed checkpoint when a server started: a crash leaves some"),
        (report.torn, "bytes of unfinished lines, of calls that were never answered"),
        (report.lost, "records of refused calls were dropped while the log could not be written"),
    )
    for count, text in notes:
        if count:
            click.echo(f"note: {count} {text}")
    if not judged:
        click.echo(
            "note: without the database it cannot be judged whether the end of the log is missing or was added to"
        )
    findings = _count(found, "finding")
    click.echo(f"The log is not what was written: {findings}." if found else "The log is whole.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _time(text: str | None, option: str) -> str:
    """Return a time as records have it, from ISO 8601 or a duration before now; empty for none."""
    if text is None:
        return ""
    duration = re.fullmatch(r"([0-9]+)([smhd])", text)
    if duration is not None:
        return event_time(SystemClock().now() - int(duration[1]) * _UNITS[duration[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"`{text}` is neither a time nor a duration such as 15m", param_hint=option) from None
    return event_time((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _record_row(record: SearchedRecord) -> str:
    result = record.error_code or "ok"
    node, worker = _origin(record.writer)
    return _row(record.event_time, node, worker, record.event_name, result, record.principal, record.key)


def _origin(writer: WriterId | None) -> tuple[str, str]:
    """Return how node and worker of a record are shown: ``-`` for what it does not name."""
    return ("-", "-") if writer is None else (writer.node or "-", writer.worker_name)


def _row(*cells: str) -> str:
    *aligned, last = cells
    columns = zip(aligned, _WIDTHS, strict=True)
    return _printable((" ".join(f"{cell:<{width}}" for cell, width in columns) + f" {last}").rstrip())


def _workers_by_node(writers: Iterable[str]) -> Mapping[str, list[str]]:
    """Return the names of the workers of each node, ``-`` for chains from before nodes had ids and for other names."""
    found: dict[str, list[str]] = {}
    for name in writers:
        node, worker = _origin(parse_writer(name))
        found.setdefault(node, []).append(worker if worker != "-" else name)
    return found


def _printable(row: str) -> str:
    # Callers choose some of it, and whoever tampered with the log: nothing of theirs may look like a row of its own, or
    # speak to the terminal.
    return row if row.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in row)
