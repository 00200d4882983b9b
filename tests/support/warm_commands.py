"""Runs ``strongroom`` commands in forks of a process that has loaded the command line already.

Loading it takes most of the time of a short command and of a server's start, and campaigns have thousands of both.
``warm_process`` is that process.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from local_server import RunningServer, environment_of

_ENDING = 10


def strongroom(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom`` with a data folder; as ``accounts.strongroom``, in less time."""
    return command(*arguments, "--data", str(data))


def command(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom`` with some arguments; ``environment`` is added to ours."""
    code, output, errors = _asked([arguments, "", "", dict(environment or {})])
    return subprocess.CompletedProcess(arguments, code, output, errors)


class WarmProcess:
    """A server that was forked, with as much of ``subprocess.Popen`` as ``RunningServer`` uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        # Unlike a number, this never means another process.
        self._process = os.pidfd_open(pid)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended; raises subprocess.TimeoutExpired. Its exit code is not known."""
        if not select.select([self._process], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("strongroom", timeout or 0)
        return 0

    def kill(self) -> None:
        """Kill the process."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Kill the process unless it has ended."""
        self.kill()
        self.wait()
        os.close(self._process)

    def send_signal(self, sig: int) -> None:
        """Send a signal to the process, unless it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, sig)


@contextmanager
def warm_server(data: Path, log: Path, *options: str) -> Iterator[RunningServer]:
    """Run ``strongroom serve`` over a data folder; as ``running_server``, but for the start of Python."""
    log.write_text("")
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "output")
        os.mkfifo(output)
        # Otherwise, this waits for one who writes.
        reading = os.open(output, os.O_RDONLY | os.O_NONBLOCK)
        with open(reading, encoding="utf-8") as told:  # noqa: PTH123 - a descriptor
            arguments = ["serve", "--data", str(data), "--listen", "127.0.0.1:0", *options]
            (pid,) = _asked([arguments, str(output), str(log), {}])
            os.set_blocking(reading, True)
            with closing(WarmProcess(pid)) as process:
                yield RunningServer(process, environment_of(told))


def _asked(asked: list[object]) -> list[Any]:
    warm = _warm()
    assert warm.stdin is not None
    assert warm.stdout is not None
    warm.stdin.write(json.dumps(asked) + "\n")
    warm.stdin.flush()
    answer: list[Any] = json.loads(warm.stdout.readline())
    return answer


@cache
def _warm() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("warm_process.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(_ENDING)
