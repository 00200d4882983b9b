"""A worker's place: when the next process comes."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from strongroom.settings import Settings
from strongroom.supervisor.worker_slot import Place


class Coroner(logging.Handler):
    """Sees how a worker has ended by the time that something is logged of it."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.code: int | None = None
        self._place = place

    @override
    def emit(self, record: logging.LogRecord) -> None:
        assert self._place._process is not None
        self.code = self._place._process.wait(5)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    lock = os.open(tmp_path, os.O_RDONLY)
    place = Place(Settings(data=str(tmp_path / "data")), 1, lock)
    yield place
    place.kill()
    place.empty(0)
    os.close(lock)


def end(place: Place, now: float) -> float:
    """Fill the place, kill the worker at a moment, and return how long the next one has to wait."""
    place.fill(now)
    place.kill()
    assert place.empty(now) == -9
    assert place.pid is None
    return place.start_at - now


def test_the_first_to_end_is_replaced_at_once_and_those_after_it_ever_later(place: Place) -> None:
    assert [end(place, now) for now in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_cannot_be_started_is_tried_again_later(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "missing"))
    for expected in (0, 1, 2):
        with pytest.raises(FileNotFoundError):
            place.fill(100)
        assert place.pid is None
        assert place.start_at == 100 + expected


def test_a_worker_that_served_for_a_minute_makes_up_for_those_before(place: Place) -> None:
    assert [end(place, 0), end(place, 1)] == [0, 1]
    place.fill(10)
    place.ready = True
    place.kill()
    place.empty(70)
    assert place.start_at == 70


@pytest.mark.parametrize(("ready", "patience"), [(True, 30), (False, 120)])
def test_a_worker_that_stands_still_is_killed_before_anything_is_said_of_it(
    place: Place, *, ready: bool, patience: int
) -> None:
    place.fill(0)
    place.ready = ready
    coroner = Coroner(place)
    logger = logging.getLogger("strongroom.supervisor.worker_slot")
    logger.addHandler(coroner)
    for _ in range(patience):
        place.count_silence()
    assert coroner.code is None
    place.count_silence()
    logger.removeHandler(coroner)
    assert coroner.code == -9
