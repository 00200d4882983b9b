"""Standard output that cannot be written: its reader has ended, such as head(1), or the disk behind it is full."""

import errno
import logging
import os
import sys
import traceback
from contextlib import suppress

import click

logger = logging.getLogger(__name__)


def say(text: str) -> None:
    """Print a line of a server. If standard output cannot be written, log that once and discard all further lines.

    A pipe whose reader has ended or a full disk must neither keep a server from serving nor change its exit code.
    """
    try:
        click.echo(text)
    except OSError as error:
        logger.warning("standard output cannot be written, and nothing more is written to it: %s", error.strerror)
        _discard()


def is_of_output(error: BaseException) -> bool:
    """Tell whether an error is that of printing to standard output, and of nothing else that a command does."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, OSError) and frames[-1].f_code is click.echo.__code__ and not frames[-1].f_locals["err"]


def give_up(error: OSError, more: str = "") -> None:
    """Say that what a command has found or done cannot be printed; a reader that wants no more is told nothing."""
    if error.errno != errno.EPIPE:
        # The same may hold for standard error.
        with suppress(OSError):
            click.echo(f"Error: standard output cannot be written: {error.strerror}{more}", err=True)
    _discard()


def _discard() -> None:
    """Let nothing more be written: what Python has buffered would fail once more at the end of the process."""
    # What tests put in its place has no descriptor.
    with suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - the descriptor is needed
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
