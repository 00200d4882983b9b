"""Several worker processes that share one port, and the process that looks after them.

The supervisor takes the data folder and keeps it for as long as any worker lives: they inherit its lock. It serves
nobody itself. A worker that dies is replaced; what the others are doing goes on.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec

from strongroom.settings import Settings

logger = logging.getLogger(__name__)

READY = b"ready\n"
"""What a worker writes to its standard output once it accepts connections."""
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGALRM})
"""What the supervisor waits for; workers inherit them blocked."""
_BETWEEN_STARTS = 1.0
_BETWEEN_TRIES = 5
_GRACE = 10.0


class Brief(msgspec.Struct, frozen=True):
    """What a worker is told: its settings, with the address that all share, its number, and the supervisor's pid."""

    settings: Settings
    worker: int
    supervisor: int


class WorkerError(Exception):
    """A worker could not start; it has said why."""


class Supervisor:
    """Runs workers for settings with a port that is known. ``lock`` is a file descriptor that each keeps open."""

    def __init__(self, settings: Settings, lock: int) -> None:
        self._settings = settings
        self._lock = lock
        self._workers: list[subprocess.Popen[bytes]] = []

    def run(self, workers: int, ready: Callable[[], None]) -> bool:
        """Serve until SIGTERM or SIGINT; tell whether every worker then stopped as it should.

        Calls ``ready`` once all accept connections; raises WorkerError if one of them cannot start.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            for number in range(workers):
                self._workers.append(self._start(number))
            for number, worker in enumerate(self._workers):
                _await(number, worker)
            ready()
            while signal.sigwait(SIGNALS) in {signal.SIGCHLD, signal.SIGALRM}:
                self._replace_dead()
        finally:
            stopped = self._stop()
        return stopped

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        # -P: what lies in the folder the server is started in is no module of ours.
        command = [sys.executable, "-P", "-m", "strongroom.cli.worker"]
        worker = subprocess.Popen(  # noqa: S603 - the command is ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(self._lock,)
        )
        if worker.stdin is not None:
            worker.stdin.write(msgspec.json.encode(Brief(self._settings, number, os.getpid())))
            worker.stdin.close()
        return worker

    def _replace_dead(self) -> None:
        for number, worker in enumerate(self._workers):
            if worker.poll() is None:
                continue
            logger.error("worker %d ended with %d; starting another", number, worker.returncode)
            time.sleep(_BETWEEN_STARTS)
            try:
                self._workers[number] = self._start(number)
            except OSError:
                # The others go on meanwhile, and SIGALRM asks for another try.
                logger.exception("worker %d could not be started; trying again", number)
                signal.alarm(_BETWEEN_TRIES)

    def _stop(self) -> bool:
        for worker in self._workers:
            worker.terminate()
        end = time.monotonic() + self._settings.drain + _GRACE
        for worker in self._workers:
            try:
                worker.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        # One that had not come to listen for signals yet had nothing to finish.
        return all(worker.returncode in {0, -signal.SIGTERM} for worker in self._workers)


def _await(number: int, worker: subprocess.Popen[bytes]) -> None:
    if worker.stdout is None or worker.stdout.readline() != READY:
        raise WorkerError(f"worker {number} did not start")
