"""The supervisor: starts the worker processes, which share one port, and replaces those that exit or hang.

The supervisor holds the lock of the data folder, and its workers inherit it. So the folder stays locked while any of
them lives. The supervisor itself answers no requests. While one worker is replaced, the others keep serving.
"""

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from strongroom.crypto.seal import Unsealed
from strongroom.settings import Settings
from strongroom.supervisor.signals import RELOAD_SIGNAL, STOP_SIGNALS
from strongroom.supervisor.worker_slot import HEARTBEAT_INTERVAL, WorkerSlot

logger = logging.getLogger(__name__)

_KILL_AFTER_DRAIN = 10.0
_STOP_SIGNAL_DELAY = 1.0
_MAX_READ = 4096


class WorkerError(Exception):
    """A worker could not start; the message says why."""


class Supervisor:
    """Runs ``settings.workers`` workers. The settings must name a port, not 0, so that all workers share it.

    ``lock`` is the file descriptor of the data folder's lock, which every worker inherits. ``reload`` reads the
    settings anew after SIGHUP, and calls its argument with those to run with from now on. ``unsealed`` is for workers.
    """

    def __init__(
        self,
        settings: Settings,
        lock: int,
        reload: Callable[[Callable[[Settings], None]], None],
        unsealed: Unsealed | None = None,
    ) -> None:
        self._reload = reload
        self._reloading = False
        self._drain = settings.drain
        self._slots = [WorkerSlot(settings, number, lock, unsealed) for number in range(settings.workers)]
        self._stopping = False
        self._checked_at = time.monotonic()

    def run(self, ready: Callable[[], None]) -> bool:
        """Serve until SIGTERM or SIGINT; return whether every worker then stopped without an error.

        Calls ``ready`` once all workers accept connections. Raises WorkerError if one of them cannot start.
        """
        with self._signal_pipe() as wakeup:
            try:
                self._start_workers(wakeup)
                if not self._stopping:
                    ready()
                self._watch_workers(wakeup)
            finally:
                stopped = self._stop_workers(wakeup)
                # A second stop signal, which terminals send, must not make a clean exit look like a crash.
                signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        return stopped

    def _start_workers(self, wakeup: int) -> None:
        for slot in self._slots:
            _start(slot)
        while not (self._stopping or all(slot.ready for slot in self._slots)):
            self._wait(wakeup, self._checked_at + HEARTBEAT_INTERVAL)
            self._check_heartbeats()
            for slot, code in self._reap_workers():
                if code == -signal.SIGTERM:
                    self._await_stop_signal(wakeup)
                if not self._stopping:
                    raise WorkerError(f"worker {slot.number} did not start: {_reason(slot, code)}")

    def _await_stop_signal(self, wakeup: int) -> None:
        """Wait briefly for a stop signal: one sent to all processes of the server may reach a worker first."""
        end = time.monotonic() + _STOP_SIGNAL_DELAY
        while not self._stopping and time.monotonic() < end:
            self._wait(wakeup, end)

    def _watch_workers(self, wakeup: int) -> None:
        while not self._stopping:
            restarts = [slot.restart_at for slot in self._slots if slot.pid is None]
            self._wait(wakeup, min([self._checked_at + HEARTBEAT_INTERVAL, *restarts]))
            for slot, code in self._reap_workers():
                delay = max(0.0, slot.restart_at - time.monotonic())
                why = f" ({slot.failure})" if slot.failure else ""
                logger.error("worker %d ended with %d%s; starting another in %.0f s", slot.number, code, why, delay)
            if self._reloading and not self._stopping:
                self._reloading = False
                self._reload(self._configure)
            now = time.monotonic()
            for slot in self._slots:
                if slot.pid is None and slot.restart_at <= now and not self._stopping:
                    _restart(slot)
            self._check_heartbeats()

    def _configure(self, settings: Settings) -> None:
        self._drain = settings.drain
        for slot in self._slots:
            slot.configure(settings)

    def _check_heartbeats(self) -> None:
        now = time.monotonic()
        if now >= self._checked_at + HEARTBEAT_INTERVAL:
            self._checked_at = now
            for slot in self._slots:
                slot.check_heartbeat()

    def _stop_workers(self, wakeup: int) -> bool:
        for slot in self._slots:
            slot.terminate()
        end = time.monotonic() + self._drain + _KILL_AFTER_DRAIN
        # Workers that ended together have sent one SIGCHLD, which may have been read already.
        codes = [code for _slot, code in self._reap_workers()]
        while any(slot.pid for slot in self._slots):
            if time.monotonic() >= end:
                for slot in self._slots:
                    slot.kill()
            self._wait(wakeup, end if time.monotonic() < end else None)
            codes.extend(code for _slot, code in self._reap_workers())
        # A worker that had not installed its signal handlers yet had no requests to finish.
        return all(code in {0, -signal.SIGTERM} for code in codes)

    def _wait(self, wakeup: int, until: float | None) -> None:
        """Wait for a signal, a heartbeat or a moment, and read the heartbeats. Waits without limit if it is None."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        readable, _, _ = select.select(
            [wakeup, *(each.heartbeats.fileno() for each in self._slots if each.heartbeats)], [], [], timeout
        )
        if wakeup in readable:
            os.read(wakeup, _MAX_READ)
        for slot in self._slots:
            slot.read_heartbeats()

    def _reap_workers(self) -> Iterator[tuple[WorkerSlot, int]]:
        """Reap the workers that have ended; yield the slot of each, which is now empty, with its exit code."""
        with suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                slot = next((each for each in self._slots if each.pid == ended.si_pid), None)
                if slot is None:
                    # The first process of a container inherits orphan processes, and has to reap them.
                    os.waitpid(ended.si_pid, 0)
                else:
                    yield slot, slot.reap(time.monotonic())

    @contextmanager
    def _signal_pipe(self) -> Iterator[int]:
        """Handle the signals of a supervisor. Yield a file descriptor that becomes readable at each of them."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
            for number in STOP_SIGNALS:
                signal.signal(number, self._on_stop_signal)
            signal.signal(RELOAD_SIGNAL, self._on_reload_signal)
            signal.signal(signal.SIGCHLD, _on_child_ended)
            yield reading
        finally:
            signal.set_wakeup_fd(-1)
            os.close(reading)
            os.close(writing)

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _on_reload_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._reloading = True


def _reason(slot: WorkerSlot, code: int) -> str:
    """Return why a worker that did not start has ended."""
    if slot.failure:
        return slot.failure
    if code >= 0:
        return f"it ended with {code}; see the lines of the log before this one"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    killed = "; the kernel does so when memory runs out" if -code == signal.SIGKILL else ""
    return f"it was ended by {name}{killed}"


def _on_child_ended(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: a handler is needed only for SIGCHLD to reach the wakeup pipe."""


def _restart(slot: WorkerSlot) -> None:
    try:
        _start(slot)
    except OSError as error:
        # The other workers keep serving, so this is no reason to stop.
        logger.error("worker %d could not be started, trying again: %s", slot.number, error.strerror)  # noqa: TRY400 - one line is enough


def _start(slot: WorkerSlot) -> None:
    # Ctrl-C goes to all processes of a terminal. Workers inherit SIGINT blocked: only the supervisor stops them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        slot.start(time.monotonic())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
