"""Ends the child processes of a test that fails."""

import os
import signal
import subprocess
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
