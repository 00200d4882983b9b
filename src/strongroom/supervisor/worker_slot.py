"""The place of one worker: the process that fills it, how that is doing, and when the next one is to be started."""

import logging
import os
import subprocess
import sys
from contextlib import suppress
from typing import IO

import msgspec

from strongroom.settings import Settings

logger = logging.getLogger(__name__)

HEARTBEAT = b"."
"""What a worker writes to its standard output from its event loop, first when it accepts connections."""
HEARTBEAT_INTERVAL = 1.0
"""Seconds between heartbeats, and between looking for them."""
_LONGEST_WAIT = 30.0
_LONGEST_START = 120
_STEADY = 60.0
_MANY = 65536


class Brief(msgspec.Struct, frozen=True):
    """What a worker is told: its settings, with the address that all share, its number, and the supervisor's pid."""

    settings: Settings
    worker: int
    supervisor: int


class WorkerSlot:
    """A worker's slot. ``lock`` is a file descriptor that the worker keeps open. Times are monotonic, in seconds."""

    def __init__(self, settings: Settings, number: int, lock: int) -> None:
        self.number = number
        self.start_at = 0.0
        """When an empty slot is to be filled."""
        self.heartbeats: IO[bytes] | None = None
        """Where to hear the worker from, unless it has hung up."""
        self.ready = False
        """Whether the worker has come to accept connections."""
        self._settings = settings
        self._lock = lock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._silent = 0
        self._failures = 0

    @property
    def pid(self) -> int | None:
        """The worker's process; None while the slot is empty."""
        return self._process.pid if self._process else None

    def fill(self, now: float) -> None:
        """Start a worker; raises OSError, and is then to be tried again later."""
        # -P: what lies in the folder the server is started in is no module of ours.
        command = [sys.executable, "-P", "-m", "strongroom.cli.worker"]
        try:
            process = subprocess.Popen(  # noqa: S603 - the command is ours
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(self._lock,)
            )
        except OSError:
            self._plan(now)
            raise
        self._process, self._started_at, self._silent, self.ready = process, now, 0, False
        self.heartbeats = process.stdout
        if process.stdout:
            os.set_blocking(process.stdout.fileno(), False)
        if process.stdin:
            # One that is gone before it has read this is noticed like every other.
            with suppress(BrokenPipeError), process.stdin as told:
                told.write(msgspec.json.encode(Brief(self._settings, self.number, os.getpid())))

    def hear(self) -> None:
        """Take note of heartbeats; does not wait for any."""
        if self.heartbeats is None:
            return
        heard = self.heartbeats.read(_MANY)
        if heard:
            self._silent = 0
            self.ready = True
        elif heard is not None:
            self._hang_up()

    def count_silence(self) -> None:
        """Once in every interval: kill a worker that has not beaten for too long, or not come to it in two minutes.

        Intervals are counted here and not read from a clock. So time in which nobody ran, because the machine was
        suspended or all of the server stopped (SIGSTOP), is held against nobody.
        """
        self._silent += 1
        patience = self._settings.worker_timeout if self.ready else _LONGEST_START
        if self._process and self._silent * HEARTBEAT_INTERVAL > patience:
            # Before anything is said of it: nothing may keep the worker from being replaced.
            self._process.kill()
            what = "stood still for" if self.ready else "not come to accept connections in"
            logger.error("worker %d has %s %d s; killed it", self.number, what, patience)

    def empty(self, now: float) -> int:
        """Let go of the worker, which has ended, and plan for the next one; return its exit code."""
        if self._process is None:
            return 0
        code = self._process.wait()
        self._hang_up()
        self._process = None
        if self.ready and now - self._started_at >= _STEADY:
            self._failures = 0
        self._plan(now)
        return code

    def terminate(self) -> None:
        """Ask the worker to stop."""
        if self._process:
            self._process.terminate()

    def kill(self) -> None:
        """End the worker at once."""
        if self._process:
            self._process.kill()

    def _plan(self, now: float) -> None:
        """Fill the slot at once, or, when workers end again and again, after 1, 2, 4 and at most 30 seconds."""
        wait = min(2.0 ** (self._failures - 1), _LONGEST_WAIT) if self._failures else 0.0
        self._failures += 1
        self.start_at = now + wait

    def _hang_up(self) -> None:
        if self.heartbeats:
            self.heartbeats.close()
            self.heartbeats = None
