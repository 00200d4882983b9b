"""A worker's slot: when the next process comes."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from strongroom.settings import Settings
from strongroom.supervisor.worker_slot import WorkerSlot


class Coroner(logging.Handler):
    """Sees how a worker has ended by the time that something is logged of it."""

    def __init__(self, slot: WorkerSlot) -> None:
        super().__init__()
        self.code: int | None = None
        self._place = slot

    @override
    def emit(self, record: logging.LogRecord) -> None:
        assert self._place._process is not None
        self.code = self._place._process.wait(5)


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[WorkerSlot]:
    lock = os.open(tmp_path, os.O_RDONLY)
    slot = WorkerSlot(Settings(data=str(tmp_path / "data")), 1, lock)
    yield slot
    slot.kill()
    slot.empty(0)
    os.close(lock)


def end(slot: WorkerSlot, now: float) -> float:
    """Fill the slot, kill the worker at a moment, and return how long the next one has to wait."""
    slot.fill(now)
    slot.kill()
    assert slot.empty(now) == -9
    assert slot.pid is None
    return slot.start_at - now


def test_the_first_to_end_is_replaced_at_once_and_those_after_it_ever_later(slot: WorkerSlot) -> None:
    assert [end(slot, now) for now in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_cannot_be_started_is_tried_again_later(
    slot: WorkerSlot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "missing"))
    for expected in (0, 1, 2):
        with pytest.raises(FileNotFoundError):
            slot.fill(100)
        assert slot.pid is None
        assert slot.start_at == 100 + expected


def test_a_worker_that_served_for_a_minute_makes_up_for_those_before(slot: WorkerSlot) -> None:
    assert [end(slot, 0), end(slot, 1)] == [0, 1]
    slot.fill(10)
    slot.ready = True
    slot.kill()
    slot.empty(70)
    assert slot.start_at == 70


@pytest.mark.parametrize(("ready", "patience"), [(True, 30), (False, 120)])
def test_a_worker_that_stands_still_is_killed_before_anything_is_said_of_it(
    slot: WorkerSlot, *, ready: bool, patience: int
) -> None:
    slot.fill(0)
    slot.ready = ready
    coroner = Coroner(slot)
    logger = logging.getLogger("strongroom.supervisor.worker_slot")
    logger.addHandler(coroner)
    for _ in range(patience):
        slot.count_silence()
    assert coroner.code is None
    slot.count_silence()
    logger.removeHandler(coroner)
    assert coroner.code == -9
