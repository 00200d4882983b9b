"""Runs ``strongroom`` commands in forks of a process that has loaded the command line already.

Loading it takes most of the time of a short command and of a server's start, and campaigns have thousands of both.
``warm_process`` is that process.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

from local_server import RunningServer, environment_of
from programs import COVERAGE
from strongroom.descriptors import readable

_ENDING = 120
_READ_LATE = ("AWS_", "OTEL_", "PYTEST_", "STRONGROOM_")
"""How variables begin that are read when a command runs."""
_FIRST: dict[bool, dict[str, str]] = {}
"""Whether a process that is forked is measured → its environment."""


def strongroom(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom`` with a data folder; as ``accounts.strongroom``, in less time."""
    return command(*arguments, "--data", str(data))


def command(
    *arguments: str, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``strongroom`` with some arguments, in a folder: by default, the current one. ``environment`` is added."""
    with tempfile.NamedTemporaryFile() as told, tempfile.NamedTemporaryFile() as errors:
        code = _asked(arguments, Path(told.name), Path(errors.name), environment=environment, folder=folder, waits=True)
        output, complaints = (Path(file.name).read_text(errors="replace") for file in (told, errors))
    return subprocess.CompletedProcess(arguments, code, output, complaints)


def can_run(environment: Mapping[str, str]) -> bool:
    """Tell whether a fork of a process that runs already is the same as a process of its own, for this thread.

    Variables that are read while Python or its libraries are loaded must be as they were then.
    """
    if threading.current_thread() is not threading.main_thread():
        # One command after the other: those of other threads have to run at the same time.
        return False
    measured = _is_measured()
    _warm(measured)
    first = _FIRST[measured]
    changed = {name for name, value in first.items() if environment.get(name) != value} | environment.keys() - first
    return all(name.startswith(_READ_LATE) for name in changed)


class WarmProcess:
    """A server that was forked, with as much of ``subprocess.Popen`` as ``RunningServer`` uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        # Unlike a number, this never means another process.
        self._process = os.pidfd_open(pid)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended; raises subprocess.TimeoutExpired. Its exit code is not known."""
        if not readable([self._process], timeout):
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
            pid = _asked(arguments, output, log)
            os.set_blocking(reading, True)
            with closing(WarmProcess(pid)) as process:
                yield RunningServer(process, environment_of(told))


def _asked(
    arguments: Sequence[str],
    output: Path,
    errors: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    waits: bool = False,
) -> int:
    """Run a command in a fork; return its exit code or, if it is not waited for, its process id."""
    asked = {
        "arguments": arguments,
        "output": str(output),
        "errors": str(errors),
        "environment": {**os.environ, **(environment or {})},
        "folder": str(folder or Path.cwd()),
        "waits": waits,
    }
    warm = _warm(_is_measured())
    assert warm.stdin is not None
    assert warm.stdout is not None
    warm.stdin.write(json.dumps(asked) + "\n")
    warm.stdin.flush()
    return int(warm.stdout.readline())


def _is_measured() -> bool:
    return any(name in os.environ for name in COVERAGE)


@cache
def _warm(measured: bool) -> subprocess.Popen[str]:  # noqa: FBT001 - the key of the cache
    _FIRST[measured] = {**os.environ}
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
