"""A process slot: restart back-off after its worker exits, and the heartbeat timeout."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from strongroom.settings import Settings
from strongroom.supervisor.process_slot import ProcessSlot, worker
from strongroom.supervisor.supervisor import _reason


class ExitCodeRecorder(logging.Handler):
    """Records the exit code that the worker of a slot has by the time a log line is emitted."""

    def __init__(self, slot: ProcessSlot) -> None:
        super().__init__()
        self.code: int | None = None
        self._slot = slot

    @override
    def emit(self, record: logging.LogRecord) -> None:
        assert self._slot._process is not None
        self.code = self._slot._process.wait(60)


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[ProcessSlot]:
    lock = os.open(tmp_path, os.O_RDONLY)
    slot = ProcessSlot(worker(1), Settings(data=str(tmp_path / "data")), lock)
    yield slot
    slot.kill()
    slot.reap(0)
    os.close(lock)


def restart_delay(slot: ProcessSlot, now: float) -> float:
    """Start a worker, kill it at the same moment, and return the delay before the next start."""
    slot.start(now)
    slot.kill()
    assert slot.reap(now) == -9
    assert slot.pid is None
    return slot.restart_at - now


def test_the_first_restart_is_immediate_and_the_delay_then_grows_to_30_seconds(slot: ProcessSlot) -> None:
    assert [restart_delay(slot, now) for now in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_cannot_be_started_is_retried_with_the_same_delays(
    slot: ProcessSlot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "missing"))
    for expected in (0, 1, 2):
        with pytest.raises(FileNotFoundError):
            slot.start(100)
        assert slot.pid is None
        assert slot.restart_at == 100 + expected


def test_a_worker_that_never_starts_is_retried_for_years(slot: ProcessSlot, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr("subprocess.Popen", refuse)
    for now in range(2_000):
        with pytest.raises(BlockingIOError):
            slot.start(now)
    assert slot.restart_at == 1_999 + 30


def test_a_worker_that_served_for_a_minute_resets_the_restart_delay(slot: ProcessSlot) -> None:
    assert [restart_delay(slot, 0), restart_delay(slot, 1)] == [0, 1]
    slot.start(10)
    slot.ready = True
    slot.kill()
    slot.reap(70)
    assert slot.restart_at == 70


@pytest.mark.parametrize(("ready", "timeout"), [(True, 30), (False, 120)])
def test_a_worker_without_a_heartbeat_is_killed_before_that_is_logged(
    slot: ProcessSlot, *, ready: bool, timeout: int
) -> None:
    slot.start(0)
    slot.ready = ready
    recorder = ExitCodeRecorder(slot)
    logger = logging.getLogger("strongroom.supervisor.process_slot")
    logger.addHandler(recorder)
    for _ in range(timeout):
        slot.check_heartbeat()
    assert recorder.code is None
    slot.check_heartbeat()
    logger.removeHandler(recorder)
    assert recorder.code == -9


@pytest.mark.parametrize(
    ("ready", "timeout", "said"),
    [
        (True, 30, "it sent no heartbeat for 30 s, and was killed"),
        (False, 120, "it was not ready within 120 s, and was killed"),
    ],
)
def test_a_worker_that_the_supervisor_killed_has_not_run_out_of_memory(
    slot: ProcessSlot, said: str, *, ready: bool, timeout: int
) -> None:
    slot.start(0)
    slot.ready = ready
    for _ in range(timeout + 1):
        slot.check_heartbeat()
    assert _reason(slot, slot.reap(0)) == said
    # The next one has ended for a reason of its own.
    slot.start(1)
    slot.kill()
    assert _reason(slot, slot.reap(1)) == "it was ended by SIGKILL; the kernel does so when memory runs out"


def test_a_signal_leaves_a_worker_that_has_ended_to_be_reaped(slot: ProcessSlot) -> None:
    """The supervisor waits for workers with waitid, which does not find one that was reaped already."""
    slot.start(100)
    slot.kill()
    pid = slot.pid
    assert pid is not None
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    slot.stop()
    slot.kill()
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    assert found is not None
    assert found.si_status == 9
