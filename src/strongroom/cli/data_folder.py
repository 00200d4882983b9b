"""Opens a server's data folder for a command, and reports errors of the settings and the data folder in one line."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
from typing_extensions import override

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.open_folder import OpenFolder, open_existing
from strongroom.cli.options import read_settings
from strongroom.cli.standard_output import was_output
from strongroom.cli.unsealing import unsealing_of
from strongroom.clock import SystemClock
from strongroom.crypto.seal import SealUnavailableError, UnsealError
from strongroom.crypto.self_tests.run import SelfTestError
from strongroom.crypto.token_errors import TokenFaultError, TokenTimeoutError, TokenUnavailableError
from strongroom.entropy import system_entropy
from strongroom.errors import KmsError, QuarantinedIdentityException, QuarantinedRecordException, RandomSourceException
from strongroom.settings import Settings, SettingsError
from strongroom.store.faults import StoreDamaged, StoreUnavailable
from strongroom.store.sqlite.faults import DatabaseError, named_database
from strongroom.store.sqlite.read_only import UnreadableStoreError
from strongroom.store.sqlite.schema_version import UnknownSchemaError
from strongroom.supervisor.hardening import harden_process

_NO_THREAD = "can't start new thread"
_NO_MEMORY = "there is not enough memory: raise the limit (ulimit -v, MemoryMax of systemd, memory.max of a container)"


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the errors that settings and data folder can cause into a ClickException of one line."""
    try:
        yield
    except Exception as error:
        # What cannot be printed is no fault of a data folder: the command itself reports that.
        words = None if was_output(error) else _words_of(error)
        if words is None:
            raise
        raise click.ClickException(_one_line(words)) from None


def _words_of(error: Exception) -> str | None:
    """Return what an operator can do about an error; None if it is a defect."""
    match error:
        case (
            SettingsError()
            | DataFolderError()
            | UnsealError()
            | SealUnavailableError()
            | SelfTestError()
            | UnknownSchemaError()
            | UnreadableStoreError()
            | QuarantinedRecordException()
            | QuarantinedIdentityException()
        ):
            return str(error)
        case DatabaseError() | KmsError():
            return _words_of_a_fault(error)
        case OSError():
            return _words_of_the_system(error)
        case MemoryError() | SystemError():
            # Python's own modules raise SystemError where they forget to say that memory was refused.
            return _NO_MEMORY
        case RuntimeError() if _NO_THREAD in str(error):
            return (
                "no thread can be started: raise the limits of processes and memory "
                "(ulimit -u, ulimit -v; TasksMax of systemd; pids.max of a container)"
            )
        case _:
            return None


def _words_of_a_fault(error: DatabaseError | KmsError) -> str:
    """Return what a store says of its database, or a token of itself. SQLAlchemy's own text would end with a link."""
    if isinstance(error, RandomSourceException):
        return "the random number generator of the system has repeated itself; find out why before anything else"
    if isinstance(error, StoreUnavailable | StoreDamaged | TokenUnavailableError | TokenTimeoutError | TokenFaultError):
        return error.explanation
    if isinstance(error, DatabaseError):
        return f"{named_database(error)} cannot be used: {error.orig}"
    return f"the database cannot be used: {error}"


def _words_of_the_system(error: OSError) -> str:
    """Return what an error of the operating system is about: its file, or the limit that is reached."""
    match error.errno:
        case errno.EMFILE | errno.ENFILE:
            return "no file descriptor is left: raise the limit of open files (ulimit -Hn, LimitNOFILE of systemd)"
        case errno.ENOMEM:
            return _NO_MEMORY
        case errno.EAGAIN:
            return "no process can be started: raise the limit of processes (ulimit -u, TasksMax of systemd)"
        case errno.ENOENT if error.filename is None and not _current_folder_exists():
            return "the folder that this was started in does not exist any more: change to another folder (cd)"
        case _ if error.filename is None:
            return error.strerror or str(error)
        case _:
            return f"`{os.fsdecode(error.filename)}` cannot be used: {error.strerror}"


def _current_folder_exists() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _one_line(text: str) -> str:
    return " ".join(text.split())


def warn_of_profiles(opened: OpenFolder) -> None:
    """Say on standard error which profiles of ``credentials`` do not work any more."""
    for problem in opened.profiles.problems():
        click.echo(f"Warning: {problem}", err=True)


class _PlainLines(logging.Formatter):
    """Messages alone, without a traceback: what a command says is for its user."""

    @override
    def formatException(self, ei: object) -> str:
        return ""


def log_in_plain_lines() -> None:
    """Have the log of this process be lines on standard error that its user can read."""
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainLines("Warning: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


@contextmanager
def open_data_folder(
    config: Path | None,
    data: str | None,
    *,
    also_older: bool = False,
    every_region: bool = False,
    cached_keys: int | None = None,
) -> Iterator[tuple[OpenFolder, Settings]]:
    """Open the data folder of a server, whether the server runs or not; raises ClickException.

    A database that was rolled back is refused, unless ``also_older``. Domain keys of Regions that other nodes serve are
    opened only with ``every_region``. A command that looks at each key once needs few
    ``cached_keys``.
    """
    with readable_errors():
        settings = read_settings(config, data=data, cached_keys=cached_keys)
        harden_process()
        log_in_plain_lines()
        unsealing = unsealing_of(settings)
        with closing(
            open_existing(
                settings,
                SystemClock(),
                system_entropy,
                unsealing=unsealing,
                also_older=also_older,
                every_region=every_region,
            )
        ) as opened:
            yield opened, settings
