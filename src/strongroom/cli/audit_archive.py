"""``strongroom audit archive`` and ``strongroom audit prune``."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from strongroom.assembly.audit_archive import AuditArchive, Outcome
from strongroom.assembly.audit_shipping import owed_to
from strongroom.audit.chain import name_time
from strongroom.cli.data_folder import open_data_folder
from strongroom.cli.options import FOLDER, config_option, data_option
from strongroom.cli.output import json_option, show
from strongroom.cli.progress import progress_bar
from strongroom.cli.times import event_time_of
from strongroom.clock import DAY, SystemClock

_MEGABYTE = 1_000_000

older_than_option = click.option(
    "--older-than", "days", type=click.IntRange(0, 100_000), help="Only what has been complete for so many days."
)
before_option = click.option(
    "--before", help="Only what was complete by then: a time (ISO 8601, UTC unless it says so)."
)


@click.command()
@click.option("--to", required=True, type=FOLDER, help="Folder of the archive.")
@older_than_option
@before_option
@click.option("--compress", is_flag=True, help="Compress with gzip; zcat reads it.")
@json_option
@data_option
@config_option
def archive(  # noqa: PLR0913 - one parameter for each option
    *,
    to: Path,
    days: int | None,
    before: str | None,
    compress: bool,
    as_json: bool,
    data: str | None,
    config: Path | None,
) -> None:
    """Move complete files of the audit log to an archive, also while the server runs.

    Each is copied, brought to disk and verified before the log states, signed, that it was moved; only then is it
    removed from DATA/audit. Files that are written, and what a start needs, stay. Without --older-than and --before,
    all others are moved. Exits with 1 if a file could not be moved.
    """
    moment = _moment(days, before)
    with _open(config, data) as log:
        with progress_bar("Archiving", log.size_to_archive(moment)) as advance:
            outcome = log.archive(to, moment, compress=compress, progress=advance)
        _show(outcome, "moved to the archive", as_json=as_json)


@click.command()
@click.argument("folder", metavar="ARCHIVE", type=FOLDER)
@older_than_option
@before_option
@json_option
@data_option
@config_option
def prune(
    *, folder: Path, days: int | None, before: str | None, as_json: bool, data: str | None, config: Path | None
) -> None:
    """Delete files from an archive permanently, also while the server runs.

    Only files of which the audit log states that they were archived are deleted, after the log states, signed, that
    they are pruned. The log still says what they were, and verification goes on to connect what comes after them.
    """
    if days is None and before is None:
        raise click.UsageError("say what to delete, with --older-than DAYS or --before TIME")
    moment = _moment(days, before)
    with _open(config, data) as log:
        _show(log.prune(folder, moment), "deleted from the archive", as_json=as_json)


def _moment(days: int | None, before: str | None) -> str:
    """Return the moment by which segments must be complete, as in their names."""
    if days is not None and before is not None:
        raise click.UsageError("give --older-than or --before, not both")
    if before is not None:
        return event_time_of(before, "--before").replace(":", "")
    return name_time(SystemClock().now() - (days or 0) * DAY)


@contextmanager
def _open(config: Path | None, data: str | None) -> Iterator[AuditArchive]:
    with open_data_folder(config, data) as (opened, settings):
        key = opened.audit_key().public()
        yield AuditArchive(opened.folder, opened.store, opened.trail, key, partial(owed_to, settings))


def _show(outcome: Outcome, done: str, *, as_json: bool) -> None:
    """Print what was done; raises SystemExit if something could not be."""
    for problem in outcome.problems:
        click.echo(f"Error: {problem}", err=True)
    files = "1 file" if outcome.segments == 1 else f"{outcome.segments} files"
    show(outcome, [f"{files} ({outcome.size / _MEGABYTE:.1f} MB) of the audit log {done}."], as_json=as_json)
    if outcome.problems:
        raise SystemExit(1)
