"""``strongroom audit search``."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import click

from strongroom.assembly.audit_log import key_names
from strongroom.assembly.databases.chosen import database_of
from strongroom.audit.search import Query, SearchedRecord
from strongroom.cli.audit import archive_option, existing_log, folders_of, from_option, store_of
from strongroom.cli.audit_output import RECORD_NAMES, RecordTable, record_values
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.cli.output import csv_option, csv_rows, json_lines_option, terminal_width
from strongroom.cli.times import event_time_of
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.store.audit.following import Follower
from strongroom.store.audit.search import search_log

_PAUSE = 1.0
"""Seconds between two looks for what was added to the log."""
_MOST = 1_000_000

_Found = tuple[SearchedRecord, bytes]
_Lines = Callable[[Iterable[_Found]], Iterator[str] | Iterator[bytes]]


@click.command("search")
@click.option("--key", help="Key id, key ARN, alias name or alias ARN. An alias means the key it points to now, too.")
@click.option("--principal", default="", help="ARN of who called; or name of a user, a role or a service.")
@click.option("--event", default="", help="Name of the event, such as Decrypt.")
@click.option("--event-id", default="", help="The eventID of a record.")
@click.option("--since", help="From when on: a time (ISO 8601; UTC unless it says otherwise), or 15m, 2h, 7d ago.")
@click.option("--until", help="Until when.")
@click.option("--denied", is_flag=True, help="Only what was refused for want of permission or of a valid signature.")
@click.option(
    "--limit", type=click.IntRange(1, _MOST), help="Of what is found, only the N newest records.", metavar="N"
)
@click.option("--follow", is_flag=True, help="Go on, and show what is added to the log, until Ctrl-C.")
@json_lines_option
@csv_option
@from_option
@archive_option
@data_option
@config_option
def search(  # noqa: PLR0913 - the options of one question
    *,
    key: str | None,
    principal: str,
    event: str,
    event_id: str,
    since: str | None,
    until: str | None,
    denied: bool,
    limit: int | None,
    follow: bool,
    as_json: bool,
    as_csv: bool,
    others: tuple[Path, ...],
    archives: tuple[Path, ...],
    data: str | None,
    config: Path | None,
) -> None:
    """Show records of the audit log, by the time of their calls, oldest first. Times are UTC.

    With --from, records of several nodes are merged. --json shows whole records, as they are in the log. A terminal
    shows what it has room for; what is piped elsewhere is never shortened.

    The database is only read, and only to know what an alias means. With --since, a file is left out if the next one of
    its writer was begun more than an hour before.
    """
    if as_json and as_csv:
        raise click.UsageError("give --json or --csv, not both")
    if follow and until is not None:
        raise click.UsageError("give --follow or --until, not both")
    begin, end = event_time_of(since, "--since"), event_time_of(until, "--until")
    if begin and end and end < begin:
        raise click.BadParameter("it is before --since", param_hint="--until")
    lines: _Lines = _json_lines if as_json else _CsvLines() if as_csv else _TableLines()
    with readable_errors():
        settings = read_settings(config, data=data)
        database = database_of(settings, SystemClock(), system_entropy)
        folder = existing_log(database.folder)
        keys = frozenset[str]()
        if key is not None:
            with store_of(database) as store:
                keys = key_names(store, settings, key)
        query = Query(
            keys=keys, principal=principal, event=event, event_id=event_id, since=begin, until=end, denied=denied
        )
        folders = folders_of(folder, others, archives).every
        follower = Follower(folders, query) if follow else None
        found = search_log(folders, query, None if follower is None else follower.sizes)
        _show(lines, found if limit is None else deque(found, maxlen=limit))
        if follower is not None:
            _follow(follower, lines)


def _show(lines: _Lines, found: Iterable[_Found]) -> None:
    for line in lines(found):
        click.echo(line)


def _follow(follower: Follower, lines: _Lines) -> None:
    try:
        while True:
            added = follower.added()
            if added:
                _show(lines, added)
            time.sleep(_PAUSE)
    except KeyboardInterrupt:
        return


def _json_lines(found: Iterable[_Found]) -> Iterator[bytes]:
    # As they are in the log, also where that was damaged and is no text.
    return (line for _, line in found)


class _TableLines:
    """Records as a table, with its header above the first."""

    def __init__(self) -> None:
        self._table = RecordTable(terminal_width())

    def __call__(self, found: Iterable[_Found]) -> Iterator[str]:
        return self._table.lines(record for record, _ in found)


class _CsvLines:
    """Records as CSV, with a line of names above the first."""

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, found: Iterable[_Found]) -> Iterator[str]:
        names = () if self._begun else (RECORD_NAMES,)
        self._begun = True
        return csv_rows(chain(names, (record_values(record) for record, _ in found)))
