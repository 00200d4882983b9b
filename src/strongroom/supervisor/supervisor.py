"""Several worker processes that share one port, and the process that looks after them.

The supervisor takes the data folder and keeps it for as long as any worker lives: they inherit its lock. It serves
nobody itself. A worker that dies, or stands still, is replaced; what the others are doing goes on.
"""

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from strongroom.settings import Settings
from strongroom.supervisor.worker_slot import HEARTBEAT_INTERVAL, WorkerSlot

logger = logging.getLogger(__name__)

STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_GRACE = 10.0
_MOMENT = 1.0
_MANY = 4096


class WorkerError(Exception):
    """A worker could not start; it has said why."""


class Supervisor:
    """Runs workers for settings with a port that is known. ``lock`` is a file descriptor that each keeps open."""

    def __init__(self, settings: Settings, lock: int) -> None:
        self._drain = settings.drain
        self._slots = [WorkerSlot(settings, number, lock) for number in range(settings.workers)]
        self._asked_to_stop = False
        self._tick = time.monotonic()

    def run(self, ready: Callable[[], None]) -> bool:
        """Serve until SIGTERM or SIGINT; tell whether every worker then stopped as it should.

        Calls ``ready`` once all accept connections; raises WorkerError if one of them cannot start.
        """
        with self._signals() as wakeup:
            try:
                self._start(wakeup)
                if not self._asked_to_stop:
                    ready()
                self._look_after(wakeup)
            finally:
                stopped = self._stop(wakeup)
                # All is done. Whoever asks once more, as terminals do, must not make it look like a crash.
                signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
        return stopped

    def _start(self, wakeup: int) -> None:
        for slot in self._slots:
            _fill(slot)
        while not (self._asked_to_stop or all(slot.ready for slot in self._slots)):
            self._wait(wakeup, self._tick + HEARTBEAT_INTERVAL)
            self._count_silence()
            for slot, code in self._ended():
                if code == -signal.SIGTERM:
                    self._await_stop(wakeup)
                if not self._asked_to_stop:
                    raise WorkerError(f"worker {slot.number} did not start")

    def _await_stop(self, wakeup: int) -> None:
        """Wait a moment: who stops all processes of the server may have come to a worker first."""
        end = time.monotonic() + _MOMENT
        while not self._asked_to_stop and time.monotonic() < end:
            self._wait(wakeup, end)

    def _look_after(self, wakeup: int) -> None:
        while not self._asked_to_stop:
            empty = [slot.start_at for slot in self._slots if slot.pid is None]
            self._wait(wakeup, min([self._tick + HEARTBEAT_INTERVAL, *empty]))
            for slot, code in self._ended():
                wait = slot.start_at - time.monotonic()
                logger.error("worker %d ended with %d; starting another in %.0f s", slot.number, code, max(0.0, wait))
            now = time.monotonic()
            for slot in self._slots:
                if slot.pid is None and slot.start_at <= now and not self._asked_to_stop:
                    _refill(slot)
            self._count_silence()

    def _count_silence(self) -> None:
        now = time.monotonic()
        if now >= self._tick + HEARTBEAT_INTERVAL:
            self._tick = now
            for slot in self._slots:
                slot.count_silence()

    def _stop(self, wakeup: int) -> bool:
        for slot in self._slots:
            slot.terminate()
        end = time.monotonic() + self._drain + _GRACE
        codes: list[int] = []
        while any(slot.pid for slot in self._slots):
            if time.monotonic() >= end:
                for slot in self._slots:
                    slot.kill()
            self._wait(wakeup, end if time.monotonic() < end else None)
            codes.extend(code for _place, code in self._ended())
        # One that had not come to listen for signals yet had nothing to finish.
        return all(code in {0, -signal.SIGTERM} for code in codes)

    def _wait(self, wakeup: int, until: float | None) -> None:
        """Wait for a signal, a worker's word, or a moment; take note of the words."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        found, _, _ = select.select(
            [wakeup, *(each.heartbeats.fileno() for each in self._slots if each.heartbeats)], [], [], timeout
        )
        if wakeup in found:
            os.read(wakeup, _MANY)
        for slot in self._slots:
            slot.hear()

    def _ended(self) -> Iterator[tuple[WorkerSlot, int]]:
        """Yield the slots whose worker has ended, emptied, with its exit code."""
        with suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                slot = next((each for each in self._slots if each.pid == ended.si_pid), None)
                if slot is None:
                    # The first process of a container inherits those whose parents have gone.
                    os.waitpid(ended.si_pid, 0)
                else:
                    yield slot, slot.empty(time.monotonic())

    @contextmanager
    def _signals(self) -> Iterator[int]:
        """Have signals noted, and make what is yielded readable at each."""
        heard, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            signal.set_wakeup_fd(told, warn_on_full_buffer=False)
            for number in STOP:
                signal.signal(number, self._ask_to_stop)
            signal.signal(signal.SIGCHLD, _note)
            yield heard
        finally:
            signal.set_wakeup_fd(-1)
            os.close(heard)
            os.close(told)

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_stop = True


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: that the signal came is enough."""


def _refill(slot: WorkerSlot) -> None:
    try:
        _fill(slot)
    except OSError:
        # The others go on meanwhile.
        logger.exception("worker %d could not be started; trying again", slot.number)


def _fill(slot: WorkerSlot) -> None:
    # Ctrl-C goes to all processes of a terminal. Workers inherit it blocked: they stop when the supervisor says so.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        slot.fill(time.monotonic())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
