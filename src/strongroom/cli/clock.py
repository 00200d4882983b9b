"""``strongroom clock status`` and ``strongroom clock accept``: what the server makes of the machine's clock."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from strongroom.assembly.clock_record import accept_clock, known_at
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.databases.chosen import database_of
from strongroom.assembly.databases.database import Database
from strongroom.cli.data_folder import open_data_folder, readable_errors
from strongroom.cli.groups import Group
from strongroom.cli.options import config_option, data_option, read_settings
from strongroom.cli.output import Question, json_option, json_time, show
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.maintenance.clock_watch import describe, reading_of
from strongroom.store.protocol import Reader
from strongroom.trusted_time import Reading, TrustedTime

_MOST = 1000


@click.group(cls=Group)
def clock() -> None:
    """Show whether the server trusts the clock of this machine, or have it trust the clock."""


@clock.command("status", cls=Question)
@json_option
@data_option
@config_option
def status(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Show the clock, the time that the server trusts, and what is held back.

    Exits with 0 if the clock is trusted, with 1 if it is in doubt, and with 2 if that cannot be known.
    """
    with readable_errors():
        database = database_of(read_settings(config, data=data), SystemClock(), system_entropy)
        folder = database.folder
        reading = reading_of(SystemClock())
        folder.require_readable()
        known = known_at(folder, reading)
        if known is None:
            raise DataFolderError(f"`{folder.clock}` is missing or damaged; a server that runs writes it")
        held = _held_back(database, known.trusted, reading.wall)
    doubt = known.doubt()
    document = {
        "clock": json_time(reading.wall),
        "trusted": json_time(known.trusted),
        "confirmed": known.confirmed,
        "difference": known.difference,
        "doubt": doubt,
        "held_back": held,
    }
    lines = [*_times(reading, known, held)]
    if doubt is not None:
        lines.append(f"In doubt: {describe(doubt, known.difference)}")
    show(document, lines, as_json=as_json)
    if doubt is not None:
        raise SystemExit(1)


@clock.command("accept")
@json_option
@data_option
@config_option
def accept(*, as_json: bool, data: str | None, config: Path | None) -> None:
    """Have the server trust the clock as it is now, also while it runs. What is due by it is then done.

    Look at ``date`` and ``strongroom clock status`` first: what is deleted or erased cannot be brought back.
    """
    with open_data_folder(config, data) as (opened, _):
        reading = reading_of(SystemClock())
        known = known_at(opened.folder, reading)
        held = {} if known is None else _held_back(opened.database, known.trusted, reading.wall)
        if known is not None and not as_json:
            # Before it is accepted: that cannot be undone.
            for line in _times(reading, known, held):
                click.echo(line)
        accept_clock(opened.folder, opened.trail, reading)
        done = "The clock is accepted. The server goes by it from its next round on, or when it is started."
        show({"clock": json_time(reading.wall), "held_back": held}, [done], as_json=as_json)


def _times(reading: Reading, known: TrustedTime, held: Mapping[str, int]) -> Iterator[str]:
    yield f"Clock of this machine:  {_shown(reading.wall)}"
    yield f"Trusted time:           {_shown(known.trusted)}"
    if not known.confirmed:
        yield "The clock is not confirmed yet since the machine was started; that takes ten minutes."
    for name, number in held.items():
        more = "or more " if number >= _MOST else ""
        yield f"Due by the clock alone: {number} {more}{name}"


def _held_back(database: Database, trusted: float, wall: float) -> dict[str, int]:
    """Count the keys that are due by the wall clock and not by the trusted time, up to a thousand of each kind."""
    if wall <= trusted:
        return {}
    with closing(database.open_to_read()) as store, store.read() as reader:
        before, now = _due(reader, trusted), _due(reader, wall)
    return {name: number - before[name] for name, number in now.items() if number > before[name]}


def _due(reader: Reader, at: float) -> dict[str, int]:
    """Count what is due at a time, up to a thousand of each."""
    found = {
        "deletions of keys": reader.keys_to_delete(at, _MOST),
        "keys with expired material": reader.keys_with_expired_material(at, _MOST),
        "rotations": reader.keys_to_rotate(at, _MOST),
    }
    return {name: len(keys) for name, keys in found.items()}


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
