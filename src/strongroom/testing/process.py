"""The process of a development server."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

_STOPPING = 15.0
"""How long a server may take to stop, seconds."""


class StartError(Exception):
    """The server did not start; the message says why, in one line."""


class Process:
    """A process of ``strongroom dev``. It ends when ``stop`` is called, and also when this process ends in any way.

    In the latter case it ends with the last child that this process has forked, such as one of ``multiprocessing``.
    """

    def __init__(self, options: Sequence[str], timeout: float) -> None:
        """Start it, and wait until it serves; raises StartError, also after ``timeout`` seconds."""
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        command = [sys.executable, "-P", "-m", "strongroom", "dev", "--json", "--stop-at-eof", *options]
        self._process = subprocess.Popen(  # noqa: S603 - its own command
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=_environment()
        )
        try:
            self.facts: Mapping[str, Any] = self._first_line(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it, and wait until it has removed what it kept.

        Closing its standard input is not enough: a child that this process has forked holds that open as well.
        """
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.terminate()
        try:
            self._process.wait(_STOPPING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def log(self) -> str:
        """Return what it has written to standard error."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")

    def _first_line(self, timeout: float) -> Mapping[str, Any]:
        output = self._process.stdout
        assert output is not None  # noqa: S101 - it is a pipe
        # Killing it ends the wait for a line.
        alarm = threading.Timer(timeout, self._process.kill)
        alarm.daemon = True
        alarm.start()
        line = output.readline()
        expired = not alarm.is_alive()
        alarm.cancel()
        if line:
            found: Mapping[str, Any] = json.loads(line)
            return found
        code = self._process.wait()
        if expired:
            raise StartError(f"strongroom dev did not serve within {timeout:g} seconds")
        raise StartError(f"strongroom dev did not start: {_last_line(self.log()) or f'it ended with exit code {code}'}")


def _last_line(text: str) -> str:
    return next((line.strip().removeprefix("Error: ") for line in reversed(text.splitlines()) if line.strip()), "")


def _environment() -> dict[str, str]:
    # Python writes what it has compiled even if the tests' own process does not: the next start is twice as fast.
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
