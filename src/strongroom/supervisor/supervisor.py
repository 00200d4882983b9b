"""The supervisor: starts the processes of a node, and replaces those that exit or hang.

These are the workers, which share one port, and the agent, where nodes share a database. Workers serve while the agent
has a lease. So it starts before them, and is stopped after they have answered what they began. What ships the audit
log or sends events is stopped last, when the last lines are written.

The supervisor holds the lock of the data folder, and its processes inherit it. So the folder stays locked while any of
them lives. The supervisor itself answers no requests. While one worker is replaced, the others keep serving. While the
agent is replaced, they go on as long as its last lease runs.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from strongroom.crypto.seal import Unsealed
from strongroom.descriptors import readable
from strongroom.settings import Settings
from strongroom.supervisor.process_slot import AGENT, EVENT_SENDER, HEARTBEAT_INTERVAL, SHIPPER, ProcessSlot, worker
from strongroom.supervisor.service_manager import ServiceManager
from strongroom.supervisor.signals import RELOAD_SIGNAL, STOP_SIGNALS

logger = logging.getLogger(__name__)

_KILL_AFTER_DRAIN = 10.0
_LEAST_FOR_A_STAGE = 5.0
"""For how many seconds processes may run that are stopped when the others have taken all the time."""
_STAGES = 3
_STOP_SIGNAL_DELAY = 1.0
_MAX_READ = 4096


def stop_by(begun: float, now: float, drain: float) -> float:
    """Return when processes are killed that are stopped ``now``, if the stop of the server has ``begun`` then.

    All stages share ``drain`` and ten seconds. Times are monotonic seconds.
    """
    return max(begun + drain + _KILL_AFTER_DRAIN, now + _LEAST_FOR_A_STAGE)


def longest_stop(drain: float) -> float:
    """Return how many seconds a stop takes at most."""
    return drain + _KILL_AFTER_DRAIN + (_STAGES - 1) * _LEAST_FOR_A_STAGE


class ProcessError(Exception):
    """A process could not start; the message says why."""


class Supervisor:
    """Runs ``settings.workers`` workers, and what the settings ask for beside them.

    That is an agent if nodes share the database, and processes that ship the audit log and send events. The settings
    must name a port, not 0, so that all workers share it.
    ``lock`` is the file descriptor of the data folder's lock, which every process inherits. ``reload`` reads the
    settings anew after SIGHUP, and calls its argument with those to run with from now on. ``unsealed`` is for workers.
    ``service_manager`` hears that the supervisor lives, and when it stops.
    """

    def __init__(
        self,
        settings: Settings,
        lock: int,
        reload: Callable[[Callable[[Settings], None]], None],
        unsealed: Unsealed | None = None,
        service_manager: ServiceManager | None = None,
    ) -> None:
        self._reload = reload
        self._service_manager = service_manager or ServiceManager()
        self._reloading = False
        self._drain = settings.drain
        agent = [ProcessSlot(AGENT, settings, lock)] if settings.is_on_postgresql else []
        # It needs no lease, and may have a lot to ship when all else has ended.
        shipper = [ProcessSlot(SHIPPER, settings, lock)] if settings.audit_ship else []
        sender = [ProcessSlot(EVENT_SENDER, settings, lock)] if settings.events else []
        workers = [ProcessSlot(worker(number), settings, lock, unsealed) for number in range(settings.workers)]
        self._stages: Sequence[Sequence[ProcessSlot]] = ([*shipper, *sender], agent, workers)
        """In the order in which they are started. They are stopped in the opposite one."""
        self._slots = [*shipper, *sender, *agent, *workers]
        self._stopping = False
        self._checked_at = time.monotonic()

    def run(self, ready: Callable[[], None]) -> bool:
        """Serve until SIGTERM or SIGINT; return whether every process then stopped without an error.

        Calls ``ready`` once all workers accept connections. Raises ProcessError if one of them cannot start.
        """
        with self._signal_pipe() as wakeup:
            try:
                self._start(wakeup)
                if not self._stopping:
                    ready()
                self._watch(wakeup)
            finally:
                stopped = self._stop(wakeup)
                # A second stop signal, which terminals send, must not make a clean exit look like a crash.
                signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        return stopped

    def _start(self, wakeup: int) -> None:
        for slots in self._stages:
            if not self._stopping:
                self._start_stage(slots, wakeup)

    def _start_stage(self, slots: Sequence[ProcessSlot], wakeup: int) -> None:
        for slot in slots:
            _start(slot)
        while not (self._stopping or all(slot.ready for slot in slots)):
            self._wait(wakeup, self._checked_at + HEARTBEAT_INTERVAL)
            self._check_heartbeats()
            for slot, code in self._reap():
                if code == -signal.SIGTERM:
                    self._await_stop_signal(wakeup)
                if not self._stopping:
                    raise ProcessError(f"{slot.name} did not start: {_reason(slot, code)}")

    def _await_stop_signal(self, wakeup: int) -> None:
        """Wait briefly for a stop signal: one sent to all processes of the server may reach one of them first."""
        end = time.monotonic() + _STOP_SIGNAL_DELAY
        while not self._stopping and time.monotonic() < end:
            self._wait(wakeup, end)

    def _watch(self, wakeup: int) -> None:
        while not self._stopping:
            restarts = [slot.restart_at for slot in self._slots if slot.pid is None]
            self._wait(wakeup, min([self._checked_at + HEARTBEAT_INTERVAL, *restarts]))
            for slot, code in self._reap():
                delay = max(0.0, slot.restart_at - time.monotonic())
                why = f" ({slot.failure})" if slot.failure else ""
                logger.error("%s ended with %d%s; starting another in %.0f s", slot.name, code, why, delay)
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
            self._service_manager.alive()
            for slot in self._slots:
                slot.check_heartbeat()

    def _stop(self, wakeup: int) -> bool:
        self._service_manager.stopping()
        # Processes that ended together have sent one SIGCHLD, which may have been read already.
        codes = [code for _slot, code in self._reap()]
        begun = time.monotonic()
        for slots in reversed(self._stages):
            codes += self._stop_stage(slots, wakeup, stop_by(begun, time.monotonic(), self._drain))
        # A process that had not installed its signal handlers yet had nothing to finish.
        return all(code in {0, -signal.SIGTERM} for code in codes)

    def _stop_stage(self, slots: Sequence[ProcessSlot], wakeup: int, end: float) -> list[int]:
        """Stop some of the processes, and kill them at the ``end``; return the exit codes of all that have ended."""
        for slot in slots:
            slot.stop()
        codes = [code for _slot, code in self._reap()]
        while any(slot.pid for slot in slots):
            if time.monotonic() >= end:
                for slot in slots:
                    slot.kill()
            self._wait(wakeup, end if time.monotonic() < end else None)
            codes.extend(code for _slot, code in self._reap())
        return codes

    def _wait(self, wakeup: int, until: float | None) -> None:
        """Wait for a signal, a heartbeat or a moment, and read the heartbeats. Waits without limit if it is None."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        heartbeats = (each.heartbeats.fileno() for each in self._slots if each.heartbeats)
        if wakeup in readable([wakeup, *heartbeats], timeout):
            os.read(wakeup, _MAX_READ)
        for slot in self._slots:
            slot.read_heartbeats()

    def _reap(self) -> Iterator[tuple[ProcessSlot, int]]:
        """Reap the processes that have ended; yield the slot of each, which is now empty, with its exit code."""
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


def _reason(slot: ProcessSlot, code: int) -> str:
    """Return why a process that did not start has ended."""
    if slot.failure:
        return slot.failure
    if code >= 0:
        return f"it ended with {code}; see the lines of the log before this one"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    killed = "; the kernel does so when memory runs out" if -code == signal.SIGKILL else ""
    return f"it was ended by {name}{killed}"


def _on_child_ended(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: a handler is needed only for SIGCHLD to reach the wakeup pipe."""


def _restart(slot: ProcessSlot) -> None:
    try:
        _start(slot)
    except OSError as error:
        # The other processes keep serving, so this is no reason to stop.
        logger.error("%s could not be started, trying again: %s", slot.name, error.strerror)  # noqa: TRY400 - one line is enough


def _start(slot: ProcessSlot) -> None:
    # Ctrl-C goes to all processes of a terminal. Processes inherit SIGINT blocked: only the supervisor stops them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        slot.start(time.monotonic())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
