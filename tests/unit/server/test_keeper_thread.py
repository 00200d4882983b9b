"""The thread of the chores."""

import logging
from collections.abc import Callable

import pytest

from server_processes import wait_until
from strongroom.errors import DependencyTimeoutException
from strongroom.server.keeper_thread import keeping


def failing(error: Exception, rounds: list[None]) -> Callable[[], None]:
    def chores() -> None:
        rounds.append(None)
        raise error

    return chores


@pytest.mark.parametrize("error", [DependencyTimeoutException("the store is away"), RuntimeError("a defect")])
def test_a_round_that_fails_is_logged_and_the_next_one_comes(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    rounds: list[None] = []
    with caplog.at_level(logging.WARNING), keeping(failing(error, rounds), lambda: 0.01, lambda: None):
        wait_until(lambda: len(rounds) > 3)
    is_defect = isinstance(error, RuntimeError)
    assert str(error) in caplog.text
    assert ("Traceback" in caplog.text) == is_defect
    assert (len(caplog.records) > 1) == is_defect


def test_a_new_interval_need_not_wait_for_the_end_of_the_old_one() -> None:
    rounds: list[None] = []
    intervals = [3600.0]
    with keeping(lambda: rounds.append(None), lambda: intervals[-1], lambda: None) as begin_round:
        wait_until(lambda: len(rounds) == 1)
        intervals.append(0.01)
        begin_round()
        wait_until(lambda: len(rounds) > 3)


def test_after_a_round_that_has_left_work_the_next_one_does_not_wait_for_the_interval() -> None:
    rounds: list[bool] = []

    def chores() -> bool:
        rounds.append(len(rounds) < 3)
        return rounds[-1]

    with keeping(chores, lambda: 3600, lambda: None):
        wait_until(lambda: len(rounds) == 4)
    assert rounds == [True, True, True, False]


def test_the_end_does_not_wait_for_work_that_is_left() -> None:
    rounds: list[None] = []

    def chores() -> bool:
        rounds.append(None)
        return True

    with keeping(chores, lambda: 3600, lambda: None):
        wait_until(lambda: len(rounds) > 1)


def test_the_end_does_not_wait_for_the_interval() -> None:
    rounds: list[None] = []
    with keeping(lambda: rounds.append(None), lambda: 3600, lambda: None):
        wait_until(lambda: len(rounds) == 1)
    assert len(rounds) == 1
