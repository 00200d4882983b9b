"""Servers that are started by hand: without waiting for them, to fail, or with limits."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

import warm_commands
from programs import unmeasured

ENDING = 180
"""Seconds in which a start that fails must have ended, on a busy machine."""


class Ended(msgspec.Struct, frozen=True):
    """How a start ended, and what it printed on standard error."""

    code: int
    errors: str

    @property
    def last_line(self) -> str:
        """The last line on standard error."""
        return self.errors.rstrip("\n").rpartition("\n")[2]


def command_of(data: Path, *options: str) -> list[str]:
    """Return the command of a server on a free loopback port, unless the options name one."""
    return [sys.executable, "-m", "strongroom", "serve", "--data", str(data), "--listen", "127.0.0.1:0", *options]


def failed_start(data: Path, *options: str, limit: Callable[[], None] | None = None) -> Ended:
    """Start a server that must end by itself. ``limit`` is called in its process before it starts.

    Without one, it runs in a fork of a process that has loaded its modules, where that is the same.
    """
    if limit is None and warm_commands.can_run(os.environ):
        ended = warm_commands.command("serve", "--data", str(data), "--listen", "127.0.0.1:0", *options)
        return Ended(ended.returncode, ended.stderr)
    done = subprocess.run(
        command_of(data, *options),
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=ENDING,
        check=False,
        stdin=subprocess.DEVNULL,
        # What measures coverage needs files and memory of its own.
        env=None if limit is None else unmeasured(os.environ),
    )
    return Ended(done.returncode, done.stderr)


@contextmanager
def started(log: Path, data: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start a server without waiting; its log goes to a file. It is killed at the end, if it still runs."""
    with (
        log.open("w") as errors,
        subprocess.Popen(command_of(data, *options), stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def announced(process: subprocess.Popen[str]) -> bool:
    """Wait until a server announces where it listens, or ends; tell whether it did."""
    assert process.stdout is not None
    return any(" serves account " in line for line in process.stdout)


def readable_by_all() -> bool:
    """Tell whether another user could run this Python."""
    path = Path(sys.executable)
    return all(each.stat().st_mode & 0o5 == 0o5 for each in (path, *path.parents))
