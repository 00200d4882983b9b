"""Standard output that cannot be written: a disk is full, or the reader of a pipe has ended."""

import io
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
from typing_extensions import override

logger = logging.getLogger(__name__)


def say(text: str) -> None:
    """Print a line of a server. If it cannot be written, log that once and discard all further lines.

    A pipe whose reader has ended or a full disk must neither keep a server from serving nor change its exit code.
    """
    try:
        click.echo(text)
    except OSError as error:
        logger.warning("standard output cannot be written, and nothing more is written to it: %s", error.strerror)
        _discard()


class LostOutputError(click.ClickException):
    """What a command has found or done could not be printed."""

    def __init__(self, fault: OSError) -> None:
        super().__init__(f"standard output cannot be written: {fault.strerror}")
        self._is_cut_off = isinstance(fault, BrokenPipeError)

    @override
    def show(self, file: object = None) -> None:
        """Print the message, except where a reader such as head(1) has ended because it has seen enough."""
        if not self._is_cut_off:
            super().show()


@contextmanager
def checked_output() -> Iterator[None]:
    """Raise LostOutputError if what is printed cannot be written; other errors stay as they are."""
    try:
        yield
    except OSError as error:
        if not was_output(error):
            raise
        _discard()
        raise LostOutputError(error) from None


def was_output(error: BaseException) -> bool:
    """Tell whether an error is that of a stream to which click has printed, by the function that met it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, OSError) and bool(frames) and frames[-1].f_code is click.echo.__code__


def _discard() -> None:
    """Discard what is printed from now on, and what Python has buffered: writing that at the end would fail again."""
    # A stream in memory has no file.
    with suppress(io.UnsupportedOperation), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - the descriptor is needed
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
