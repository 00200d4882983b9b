"""Ends the child processes of a test that fails, and kills commands at moments within the time that they take."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import AnyStr


@contextmanager
def killed(process: subprocess.Popen[AnyStr], *, group: bool = False) -> Iterator[None]:
    """Kill a process at the end of the block, if it still runs; with ``group``, all of its process group.

    ``with Popen(…)`` alone waits for the process, however long that takes, also if the test has failed.
    """
    try:
        yield
    finally:
        if group:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()


def killed_after(seconds: float, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command, kill it after a while, and return its exit code: that of its own, if it was faster."""
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process,
        killed(process),
        suppress(subprocess.TimeoutExpired),
    ):
        process.wait(seconds)
    return process.wait()


class KillTimes:
    """Kills commands of one kind, at moments within the time that they take.

    Each that ends before its kill measures that time anew: on a busy machine, one takes many times as long as another.
    """

    def __init__(self, seconds: float) -> None:
        """``seconds`` is how long such a command has taken, about."""
        self._seconds = seconds

    def kill(self, part: float, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Run a command, kill it after a part of the time, and return its exit code: its own if it was faster."""
        begun = time.monotonic()
        code = killed_after(self._seconds * part, command, environment)
        if code != -signal.SIGKILL:
            self._seconds = time.monotonic() - begun
        return code


def timed(command: Sequence[str], environment: Mapping[str, str] | None = None) -> KillTimes:
    """Run a command that must succeed to its end; return what kills others like it."""
    begun = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return KillTimes(time.monotonic() - begun)
