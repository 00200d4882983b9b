"""One process slot: starts its process, watches its heartbeat, and schedules the restart after it exits."""

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
"""The byte that a process writes to standard output; the first one means that it has started."""
FAILURE = b"!"
"""What a process that cannot start writes to standard output, followed by the reason."""
MAX_FAILURE = 4000
"""The most bytes of a reason: a pipe takes that in one piece."""
HEARTBEAT_INTERVAL = 1.0
"""Seconds between two heartbeats, and between two checks for missed ones."""
_FIRST_RESTART_DELAY = 1.0
_MAX_RESTART_DELAY = 30.0
_START_TIMEOUT = 120
_STABLE_AFTER = 60.0
_MAX_READ = 65536


class ProcessConfig(msgspec.Struct, frozen=True):
    """What a process reads from standard input: one line when it starts, and one each time that settings change.

    ``settings`` has the address that all workers share. ``number`` tells workers apart. ``supervisor`` is the process
    id of the supervisor. ``unsealed`` spares a worker from opening a seal, which may need a person.
    """

    settings: Settings
    number: int
    supervisor: int
    unsealed: Unsealed | None = None


class Role(msgspec.Struct, frozen=True):
    """What a process is for: its name in the log, and the module of its command, which gets ``number``.

    It is stopped by SIGTERM or, with ``outlives_signals``, by the end of its standard input.
    """

    name: str
    module: str
    number: int = 0
    outlives_signals: bool = False


# SIGTERM may be sent to all processes of a server at once, as systemd does, and workers that finish their
# calls still need the lease.
AGENT = Role("the agent", "strongroom.cli.agent", outlives_signals=True)
"""Keeps the lease of this node, where nodes share a database."""

SHIPPER = Role("the audit shipper", "strongroom.cli.audit_shipper", outlives_signals=True)
"""Ships the audit log to other places. Workers write it until they end."""

EVENT_SENDER = Role("the event sender", "strongroom.cli.event_sender", outlives_signals=True)
"""Sends events to other programs. Workers make them until they end."""


def worker(number: int) -> Role:
    """Return the role of a worker."""
    return Role(f"worker {number}", "strongroom.cli.worker", number)


class ProcessSlot:
    """A slot for one process in a role.

    ``lock`` is the file descriptor of the data folder's lock, which the process inherits. Times are monotonic seconds.
    """

    def __init__(self, role: Role, settings: Settings, lock: int, unsealed: Unsealed | None = None) -> None:
        self.name = role.name
        self.restart_at = 0.0
        """When an empty slot starts its next process."""
        self.heartbeats: IO[bytes] | None = None
        """The standard output of the process; None when the slot is empty or the process has closed it."""
        self.ready = False
        """Whether the process has sent a heartbeat since it was started."""
        self.failure = ""
        """Why the last process ended, as far as it or this slot has said so."""
        self._role = role
        self._settings = settings
        self._lock = lock
        self._unsealed = unsealed
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: ConfigWriter | None = None
        self._started_at = 0.0
        self._missed_heartbeats = 0
        self._restart_delay = 0.0

    @property
    def pid(self) -> int | None:
        """The id of the process; None while the slot is empty."""
        return self._process.pid if self._process else None

    def start(self, now: float) -> None:
        """Start a process. If that raises OSError, the next attempt is scheduled as after one that exited."""
        # -P keeps Python from importing modules from the folder the server is started in.
        command = [sys.executable, "-P", "-m", "strongroom.cli.process", self._role.module]
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
        """Give the process, and those that replace it, settings that were read anew."""
        self._settings = settings
        self._send(wait=False)

    def _send(self, *, wait: bool) -> None:
        if self._writer:
            config = ProcessConfig(self._settings, self._role.number, os.getpid(), self._unsealed)
            self._writer.send(msgspec.json.encode(config) + b"\n", wait=wait)

    def read_heartbeats(self) -> None:
        """Read the heartbeats that have arrived, without waiting for more, and send what the process has room for."""
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
        """Count one interval without a heartbeat, and kill the process after too many. Call it once per interval.

        A process may miss heartbeats for ``worker_timeout`` seconds, and for two minutes while it starts. Intervals are
        counted rather than read from a clock. So time in which the supervisor did not run either, because the machine
        was suspended or the whole server stopped (SIGSTOP), does not count.
        """
        self._missed_heartbeats += 1
        timeout = self._settings.worker_timeout if self.ready else _START_TIMEOUT
        if self._process and self._missed_heartbeats * HEARTBEAT_INTERVAL > timeout:
            # Kill first, log second: a log that blocks must not keep the process from being replaced.
            self.kill()
            problem = f"{'sent no heartbeat for' if self.ready else 'was not ready within'} {timeout:.0f} s"
            self.failure = f"it {problem}, and was killed"
            logger.error("%s %s; killed it", self.name, problem)

    def reap(self, now: float) -> int:
        """Collect the exit code of the process, which has ended, and schedule its restart; return the exit code."""
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
            self._restart_delay = 0.0
        self._schedule_restart(now)
        return code

    def stop(self) -> None:
        """Ask the process to stop."""
        if not self._role.outlives_signals:
            self._send_signal(signal.SIGTERM)
        elif self._writer:
            self._writer.close()
            self._writer = None

    def kill(self) -> None:
        """Kill the process (SIGKILL)."""
        self._send_signal(signal.SIGKILL)

    def _send_signal(self, number: signal.Signals) -> None:
        """Send the process a signal. It may have ended; its process id is its own until it is reaped.

        ``Popen`` would reap a process that has ended, and the supervisor would never learn of its end.
        """
        if self._process and self._process.returncode is None:
            os.kill(self._process.pid, number)

    def _schedule_restart(self, now: float) -> None:
        """Restart at once after the first failure, then with exponential back-off: 1, 2, 4 and at most 30 seconds."""
        self.restart_at = now + self._restart_delay
        self._restart_delay = min(max(2 * self._restart_delay, _FIRST_RESTART_DELAY), _MAX_RESTART_DELAY)

    def _close_heartbeats(self) -> None:
        if self.heartbeats:
            self.heartbeats.close()
            self.heartbeats = None
