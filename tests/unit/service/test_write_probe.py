"""A readiness check tries a write at an interval, and does not wait long for it."""

from threading import Event, Thread

import pytest
from typing_extensions import override

from store_simulators import WrappedStore
from strongroom.clock import ManualClock
from strongroom.errors import DependencyTimeoutException
from strongroom.service.write_probe import WriteProbe
from strongroom.store.protocol import Store


class SlowStore(WrappedStore):
    """A store whose writes wait until ``released`` is set, and fail if ``error`` is."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.released = Event()
        self.error: Exception | None = None
        self.tries = 0

    @override
    def try_write(self) -> None:
        self.tries += 1
        assert self.released.wait(60)
        if self.error is not None:
            raise self.error
        super().try_write()


@pytest.fixture
def slow(store: Store) -> SlowStore:
    return SlowStore(store)


def test_checks_in_a_row_share_one_write(slow: SlowStore, clock: ManualClock) -> None:
    slow.released.set()
    probe = WriteProbe(slow, clock.timer)
    assert [probe.failure() for _ in range(5)] == [None] * 5
    assert slow.tries == 1
    clock.advance(5)
    slow.error = DependencyTimeoutException("The key store cannot be written now: its disk is full.")
    for _ in range(3):
        assert probe.failure() == "writes fail: The key store cannot be written now: its disk is full."
    assert slow.tries == 2
    clock.advance(5)
    slow.error = None
    assert probe.failure() is None


def test_a_failure_is_looked_at_again_after_a_second(slow: SlowStore, clock: ManualClock) -> None:
    slow.released.set()
    slow.error = DependencyTimeoutException("The key store did not answer in time.")
    probe = WriteProbe(slow, clock.timer)
    assert probe.failure() == "writes fail: The key store did not answer in time."
    slow.error = None
    clock.advance(0.9)
    assert probe.failure() == "writes fail: The key store did not answer in time."
    clock.advance(0.1)
    assert probe.failure() is None


def test_a_defect_is_no_success(slow: SlowStore, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    slow.released.set()
    slow.error = ZeroDivisionError()
    assert WriteProbe(slow, clock.timer).failure() == "writes fail: the log says why"
    assert "ZeroDivisionError" in caplog.text


def test_a_write_that_takes_long_is_not_waited_for_and_not_tried_twice(slow: SlowStore, clock: ManualClock) -> None:
    probe = WriteProbe(slow, clock.timer)
    for _ in range(2):
        assert probe.failure() == "a write to the key store takes longer than two seconds"
        clock.advance(10)
    assert slow.tries == 1
    slow.released.set()
    assert probe.failure() is None


def test_without_a_thread_there_is_no_answer(
    slow: SlowStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", no_thread)
    assert WriteProbe(slow, clock.timer).failure() == "no thread can be started"
