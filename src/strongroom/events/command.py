"""Runs a command for each event, which reads it from standard input. No shell takes part, and one runs at a time.

The command has taken the event if it exits with 0. One that takes too long is killed with all that it has started.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from strongroom.descriptors import readable
from strongroom.events.destination import DeliveryError
from strongroom.events.event import Event

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""The variables that the command gets. Others may be settings, or credentials for other places."""
_LOOK = 0.05
_TOLD = 2000


class CommandDestination:
    """One program. ``timer`` returns monotonic seconds."""

    def __init__(
        self, command: Sequence[str], time_limit: float, environment: Mapping[str, str], timer: Callable[[], float]
    ) -> None:
        self._command = command
        self._time_limit = time_limit
        self._environment = {name: environment[name] for name in _PASSED_ON if name in environment}
        self._timer = timer
        self._running: subprocess.Popen[bytes] | None = None

    def deliver(self, event: Event) -> None:
        """Run the command; raises DeliveryError."""
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator has named it, and no shell takes part
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"`{self._command[0]}` cannot be run: {error.strerror or error}") from None
        self._running = process
        with process:
            try:
                told = self._run(process, event.encode())
            finally:
                self._running = None
                # Also what it has left behind.
                _kill(process)
            code = process.wait()
        if code:
            last = told.decode(errors="replace").strip().rpartition("\n")[2]
            how = f"was ended by signal {-code}" if code < 0 else f"exits with {code}"
            raise DeliveryError(f"`{self._command[0]}` {how}{': ' if last else ''}{last[:200]!a}")

    def close(self) -> None:
        """Kill the command that runs, if one does: it must not outlive the process that sends."""
        process = self._running
        if process is not None and process.returncode is None:
            _kill(process)

    def _run(self, process: subprocess.Popen[bytes], event: bytes) -> bytes:
        """Return the end of what the command wrote to standard error; raises DeliveryError after the time limit."""
        end = self._timer() + self._time_limit
        given, errors = process.stdin, process.stderr
        assert given is not None  # noqa: S101 - for the type checker; both are pipes
        assert errors is not None  # noqa: S101 - see above
        # An event is smaller than a pipe, so this does not wait. A command need not read it.
        with suppress(BrokenPipeError):
            given.write(event)
            given.close()
        told = b""
        listening = True
        while process.poll() is None:
            if self._timer() > end:
                raise DeliveryError(f"`{self._command[0]}` took longer than {self._time_limit:g} s, and was killed")
            if listening and readable([errors.fileno()], _LOOK):
                read = os.read(errors.fileno(), 4096)
                listening = bool(read)
                told = (told + read)[-_TOLD:]
            elif not listening:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK)
        if listening and readable([errors.fileno()], 0):
            told += os.read(errors.fileno(), 4096)
        return told


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
