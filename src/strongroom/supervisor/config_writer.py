"""Writes lines to the standard input of a process, which may not read."""

import os
from contextlib import suppress
from typing import IO


class ConfigWriter:
    """Sends lines through a pipe. A process that hangs does not keep the supervisor waiting.

    Of the lines that wait while one is being sent, only the last is kept: it replaces those before it.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._begun = b""
        self._next = b""

    def send(self, line: bytes, *, wait: bool) -> None:
        """Send a line. A new process reads its first line before anything else, so that one can be waited for."""
        self._next = line
        os.set_blocking(self._pipe.fileno(), wait)
        self.flush()

    def flush(self) -> None:
        """Send what the pipe has room for. A process that has ended is reaped like any other."""
        with suppress(BlockingIOError, BrokenPipeError):
            while self._begun or self._next:
                if not self._begun:
                    self._begun, self._next = self._next, b""
                self._begun = self._begun[os.write(self._pipe.fileno(), self._begun) :]

    def close(self) -> None:
        """Close the pipe."""
        self._pipe.close()
