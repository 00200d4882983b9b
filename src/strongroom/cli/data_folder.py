"""Opens a server's data folder for a command, and reports errors of the settings and the data folder in one line."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

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

_NO_THREAD = "can't start new thread"
_NO_MEMORY = "there is not enough memory: raise the limit (ulimit -v, MemoryMax of systemd, memory.max of a container)"


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the errors that settings and data folder can cause into a ClickException of one line."""
    try:
        yield
    except BrokenPipeError:
        raise  # The reader of the output, such as head(1), has closed the pipe: click ends quietly.
    except (SettingsError, DataFolderError, UnsealError, UnknownSchemaError, UnreadableStoreError) as error:
        raise click.ClickException(_one_line(str(error))) from None
    except DatabaseError as error:
        raise click.ClickException(
            _one_line(f"`strongroom.db` in the data folder cannot be used: {error.orig}")
        ) from None
    except OSError as error:
        raise click.ClickException(_one_line(_words_of(error))) from None
    except MemoryError:
        raise click.ClickException(_NO_MEMORY) from None
    except RuntimeError as error:
        if _NO_THREAD not in str(error):
            raise
        raise click.ClickException(
            "no thread can be started: raise the limits of processes and memory "
            "(ulimit -u, ulimit -v; TasksMax of systemd; pids.max of a container)"
        ) from None


def _words_of(error: OSError) -> str:
    """Return what an error of the operating system is about: its file, or the limit that is reached."""
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return "no file descriptor is left: raise the limit of open files (ulimit -n)"
    if error.errno == errno.ENOMEM:
        return _NO_MEMORY
    if error.errno == errno.EAGAIN:
        return "no process or thread can be started: raise the limit of processes (ulimit -u)"
    if error.filename is None:
        return error.strerror or str(error)
    return f"`{os.fsdecode(error.filename)}` cannot be used: {error.strerror}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def open_data_folder(config: Path | None, data: str | None) -> Iterator[tuple[OpenFolder, Settings]]:
    """Open the data folder of a server, whether the server runs or not; raises ClickException."""
    with readable_errors():
        settings = read_settings(config, data=data)
        harden_process()
        with closing(open_existing(settings, SystemClock(), system_entropy)) as opened:
            yield opened, settings
