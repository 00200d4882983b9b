"""The progress bars of commands that read or write much."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click


class Advance(Protocol):
    """Moves a progress bar on."""

    def __call__(self, done: int, total: int = 0, /) -> None:
        """Add what was ``done`` since the last call; ``total`` is all that there is, 0 if that was said before."""
        ...


@contextmanager
def progress_bar(label: str, length: int = 0) -> Iterator[Advance]:
    """Show a progress bar on standard error if it is a terminal; ``length`` is all that there is to do, if known."""
    with click.progressbar(
        length=length or 1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty(), show_pos=False
    ) as bar:

        def advance(done: int, total: int = 0, /) -> None:
            if total:
                bar.length = total
            bar.update(done)

        yield advance
