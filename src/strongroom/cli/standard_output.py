"""What a server says on standard output: words for a person, which it can do without."""

import logging
import os
import sys

import click

logger = logging.getLogger(__name__)


def say(text: str) -> None:
    """Print a line. If standard output cannot be written, log that once and discard all further lines.

    A pipe whose reader has ended or a full disk must neither keep a server from serving nor change its exit code.
    """
    try:
        click.echo(text)
    except OSError as error:
        logger.warning("standard output cannot be written, and nothing more is written to it: %s", error.strerror)
        # What Python has buffered would be written, and fail, once more at the end of the process.
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - the descriptor is needed, not the contents
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
