"""Opens a server's data folder for a command, and reports errors of the settings and the data folder in one line."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
from typing_extensions import override

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.deployment import OpenFolder, open_existing
from strongroom.cli.options import read_settings
from strongroom.clock import SystemClock
from strongroom.crypto.seal import UnsealError
from strongroom.entropy import system_entropy
from strongroom.settings import Settings, SettingsError
from strongroom.store.sqlite.faults import DatabaseError
from strongroom.store.sqlite.read_only import UnreadableStoreError
from strongroom.store.sqlite.schema_version import UnknownSchemaError
from strongroom.supervisor.hardening import harden_process


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the errors that settings and data folder can cause into a ClickException of one line."""
    try:
        yield
    except BrokenPipeError:
        raise  # The reader of the output, such as head(1), has closed the pipe: click ends quietly.
    except (SettingsError, DataFolderError, UnsealError, UnknownSchemaError, UnreadableStoreError, OSError) as error:
        raise click.ClickException(str(error)) from None
    except DatabaseError as error:
        raise click.ClickException(f"`strongroom.db` in the data folder cannot be used: {error.orig}") from None


def warn_of_profiles(opened: OpenFolder) -> None:
    """Say on standard error which profiles of ``credentials`` do not work any more."""
    for problem in opened.profiles.problems():
        click.echo(f"Warning: {problem}", err=True)


class _PlainLines(logging.Formatter):
    """Messages alone, without a traceback: what a command says is for its user."""

    @override
    def formatException(self, ei: object) -> str:
        return ""


def _log_in_plain_lines() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainLines("Warning: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


@contextmanager
def open_data_folder(
    config: Path | None, data: str | None, *, also_older: bool = False
) -> Iterator[tuple[OpenFolder, Settings]]:
    """Open the data folder of a server, whether the server runs or not; raises ClickException.

    A database that was set back is refused, unless ``also_older``.
    """
    with readable_errors():
        settings = read_settings(config, data=data)
        harden_process()
        _log_in_plain_lines()
        with closing(open_existing(settings, SystemClock(), system_entropy, also_older=also_older)) as opened:
            yield opened, settings
