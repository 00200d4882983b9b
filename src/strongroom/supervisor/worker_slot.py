"""One worker slot: starts its worker process, watches its heartbeat, and schedules the restart after it exits."""

import logging
import os
import signal
import subprocess
import sys
from typing import IO

import msgspec

from strongroom.crypto.seal import Unsealed
from strongroom.settings import Settings
from strongroom.supervisor.config_writer import ConfigWriter

logger = logging.getLogger(__name__)

HEARTBEAT = b"."
"""The byte that a worker's event loop writes to standard output; the first one means that it accepts connections."""
FAILURE = b"!"
"""What a worker that cannot start writes to standard output, followed by the reason."""
MAX_FAILURE = 4000
"""The most bytes of a reason: a pipe takes that in one piece."""
HEARTBEAT_INTERVAL = 1.0
"""Seconds between two heartbeats, and between two checks for missed ones."""
_MAX_RESTART_DELAY = 30.0
_START_TIMEOUT = 120
_STABLE_AFTER = 60.0
_MAX_READ = 65536


class WorkerConfig(msgspec.Struct, frozen=True):
    """What a worker reads from standard input: one line when it starts, and one each time that settings change.

    ``settings`` has the address that all workers share. ``worker`` is the number of its slot, ``supervisor`` the
    process id of the supervisor. ``unsealed`` spares the worker from opening a seal, which may need a person.
    """

    settings: Settings
    worker: int
    supervisor: int
    unsealed: Unsealed | None = None


class WorkerSlot:
    """A slot for one worker process.

    ``lock`` is the file descriptor of the data folder's lock, which the worker inherits. Times are monotonic seconds.
    """

    def __init__(self, settings: Settings, number: int, lock: int, unsealed: Unsealed | None = None) -> None:
        self.number = number
        self.restart_at = 0.0
        """When an empty slot starts its next worker."""
        self.heartbeats: IO[bytes] | None = None
        """The worker's standard output; None when the slot is empty or the worker has closed it."""
        self.ready = False
        """Whether the worker has accepted connections since it started."""
        self.failure = ""
        """Why the last worker could not start, if it has said so."""
        self._settings = settings
        self._lock = lock
        self._unsealed = unsealed
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: ConfigWriter | None = None
        self._started_at = 0.0
        self._missed_heartbeats = 0
        self._failures = 0

    @property
    def pid(self) -> int | None:
        """The worker's process id; None while the slot is empty."""
        return self._process.pid if self._process else None

    def start(self, now: float) -> None:
        """Start a worker. If that raises OSError, the next attempt is scheduled as after a worker that exited."""
        # -P keeps Python from importing modules from the folder the server is started in.
        command = [sys.executable, "-P", "-m", "strongroom.cli.worker"]
        try:
            process = subprocess.Popen(  # noqa: S603 - the command is ours
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(self._lock,)
            )
        except OSError:
            self._schedule_restart(now)
            raise
        self._process, self._started_at, self._missed_heartbeats, self.ready = process, now, 0, False
        self.failure = ""
        self.heartbeats = process.stdout
        if process.stdout:
            os.set_blocking(process.stdout.fileno(), False)
        self._writer = ConfigWriter(process.stdin) if process.stdin else None
        self._send(wait=True)

    def configure(self, settings: Settings) -> None:
        """Give the worker, and those that replace it, settings that were read anew."""
        self._settings = settings
        self._send(wait=False)

    def _send(self, *, wait: bool) -> None:
        if self._writer:
            config = WorkerConfig(self._settings, self.number, os.getpid(), self._unsealed)
            self._writer.send(msgspec.json.encode(config) + b"\n", wait=wait)

    def read_heartbeats(self) -> None:
        """Read the heartbeats that have arrived, without waiting for more, and send what the worker has room for."""
        if self._writer:
            self._writer.flush()
        if self.heartbeats is None:
            return
        received = self.heartbeats.read(_MAX_READ)
        if received and FAILURE in received:
            self.failure = received.partition(FAILURE)[2].decode(errors="replace")
        elif received:
            self._missed_heartbeats = 0
            self.ready = True
        elif received is not None:
            self._close_heartbeats()

    def check_heartbeat(self) -> None:
        """Count one interval without a heartbeat, and kill the worker after too many. Call it once per interval.

        A worker may miss heartbeats for ``worker_timeout`` seconds, and for two minutes while it starts. Intervals are
        counted rather than read from a clock. So time in which the supervisor did not run either, because the machine
        was suspended or the whole server stopped (SIGSTOP), does not count.
        """
        self._missed_heartbeats += 1
        timeout = self._settings.worker_timeout if self.ready else _START_TIMEOUT
        if self._process and self._missed_heartbeats * HEARTBEAT_INTERVAL > timeout:
            # Kill first, log second: a log that blocks must not keep the worker from being replaced.
            self.kill()
            problem = "sent no heartbeat for" if self.ready else "did not accept connections within"
            logger.error("worker %d %s %d s; killed it", self.number, problem, timeout)

    def reap(self, now: float) -> int:
        """Collect the exit code of the worker, which has ended, and schedule its restart; return the exit code."""
        if self._process is None:
            return 0
        code = self._process.wait()
        self.read_heartbeats()
        self._close_heartbeats()
        if self._writer:
            self._writer.close()
            self._writer = None
        self._process = None
        if self.ready and now - self._started_at >= _STABLE_AFTER:
            self._failures = 0
        self._schedule_restart(now)
        return code

    def terminate(self) -> None:
        """Ask the worker to stop (SIGTERM)."""
        self._send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the worker (SIGKILL)."""
        self._send_signal(signal.SIGKILL)

    def _send_signal(self, number: signal.Signals) -> None:
        """Send the worker a signal. It may have ended; its process id is its own until it is reaped.

        ``Popen`` would reap a worker that has ended, and the supervisor would never learn of its end.
        """
        if self._process and self._process.returncode is None:
            os.kill(self._process.pid, number)

    def _schedule_restart(self, now: float) -> None:
        """Restart at once after the first failure, then with exponential back-off: 1, 2, 4 and at most 30 seconds."""
        delay = min(2.0 ** (self._failures - 1), _MAX_RESTART_DELAY) if self._failures else 0.0
        self._failures += 1
        self.restart_at = now + delay

    def _close_heartbeats(self) -> None:
        if self.heartbeats:
            self.heartbeats.close()
            self.heartbeats = None
