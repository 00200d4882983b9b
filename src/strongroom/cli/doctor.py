"""``strongroom doctor``: checks everything that can be checked, and says what to do about it."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
import msgspec
from typing_extensions import override

from strongroom.assembly.doctor.examination import examine
from strongroom.assembly.doctor.results import BY_WEIGHT, Report, Status
from strongroom.assembly.doctor.scene import Options, Scene
from strongroom.assembly.doctor.table import CHECKS
from strongroom.cli.options import EXISTING_FOLDER, config_option, data_option, read_settings
from strongroom.cli.output import json_option
from strongroom.cli.standard_output import LostOutputError, checked_output
from strongroom.cli.times import seconds_of
from strongroom.cli.unsealing import unsealing_of
from strongroom.clock import SystemClock
from strongroom.entropy import system_entropy
from strongroom.settings import Settings, SettingsError
from strongroom.supervisor.hardening import harden_process

_STATUS_WIDTH = 8
_DATA_VARIABLE = "STRONGROOM_DATA"


class _MistakeError(click.UsageError):
    """A wrong option. The exit code of other commands would say that a check is critical."""

    exit_code = Status.UNKNOWN.exit_code


class _Monitored(click.Command):
    """A command whose own errors, such as wrong options, exit with the code for what could not be checked."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _unknown_if_mistaken():
            return super().parse_args(ctx, args)

    @override
    def invoke(self, ctx: click.Context) -> object:
        try:
            with _unknown_if_mistaken(), checked_output():
                return super().invoke(ctx)
        except LostOutputError as error:
            error.show()
            raise SystemExit(Status.UNKNOWN.exit_code) from None


@contextmanager
def _unknown_if_mistaken() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        raise _MistakeError(error.format_message(), error.ctx) from None


@click.command(cls=_Monitored)
@json_option
@click.option("--quick", is_flag=True, help="Leave out what takes long: the whole audit log, and opening every key.")
@click.option(
    "--archive",
    "archives",
    multiple=True,
    type=EXISTING_FOLDER,
    help="Folder of archived files of the audit log to verify as well; repeat for more.",
)
@click.option(
    "--backup-age", default="7d", show_default=True, help="The age from which on the last backup is too old: 36h, 7d."
)
@data_option
@config_option
def doctor(
    *, as_json: bool, quick: bool, archives: tuple[Path, ...], backup_age: str, data: str | None, config: Path | None
) -> None:
    """Check the settings, data folder, keys, audit log, clock and backups, and say what to do about each finding.

    It works beside a running server, on a stopped data folder and on a damaged one, and changes nothing. Run it as the
    user of the server. Exits with 0 if all is well, 1 with a warning, 2 if something is critical, 3 if something could
    not be checked and nothing is critical.
    """
    options = Options(quick=quick, archives=archives, backup_age=seconds_of(backup_age, "--backup-age"))
    harden_process()
    # What parts of the service would log is among the findings.
    logging.getLogger().addHandler(logging.NullHandler())
    settings = _settings(config, data)
    folder = settings.folder if isinstance(settings, Settings) else _named_folder(data)
    unsealing = unsealing_of(settings) if isinstance(settings, Settings) else None
    with closing(Scene(settings, folder, options, SystemClock(), system_entropy, _progress, unsealing)) as scene:
        report = examine(scene, CHECKS)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    else:
        _show(report)
    raise SystemExit(report.status.exit_code)


def _settings(config: Path | None, data: str | None) -> Settings | SettingsError:
    try:
        return read_settings(config, data=data)
    except SettingsError as error:
        return error
    except OSError as error:
        return SettingsError(f"`{error.filename}` cannot be read: {error.strerror}; check --config")


def _named_folder(data: str | None) -> Path | None:
    """Return the data folder if it is named elsewhere than in a file of settings that cannot be used."""
    named = data or os.environ.get(_DATA_VARIABLE)
    # A name that is not UTF-8 is what is wrong with the settings, and cannot be in a JSON document.
    return None if named is None or os.fsencode(named) != named.encode(errors="replace") else Path(named).absolute()


def _show(report: Report) -> None:
    """Print a line for each check, with lines below it that say what to do."""
    for each in report.checks:
        click.echo(_printable(f"{each.status.upper():<{_STATUS_WIDTH}} {each.check}: {each.text}"))
        for remedy in each.remedies:
            click.echo(_printable(f"{'':<{_STATUS_WIDTH}}   {remedy}"))
    if report.left_out:
        click.echo(f"Left out by --quick: {', '.join(report.left_out)}")
    click.echo("; ".join(_summary(report)) or "OK: nothing is wrong")


def _summary(report: Report) -> Iterator[str]:
    """Yield the names of the checks of each status but ``OK``, what weighs most first."""
    for status in reversed(BY_WEIGHT):
        named = [each.check for each in report.checks if each.status is status]
        if named and status is not Status.OK:
            yield f"{status.upper()}: {', '.join(named)}"


def _printable(row: str) -> str:
    # A damaged row must not look like another line, or control the terminal.
    return row if row.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in row)


@contextmanager
def _progress(label: str, length: int) -> Iterator[Callable[[int], object]]:
    """Show a progress bar on standard error, if it is a terminal."""
    with click.progressbar(length=max(length, 1), label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        yield bar.update
