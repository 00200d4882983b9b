"""Running a write again: for which faults, how often, for how long."""

import logging
from collections.abc import Callable

import pytest

from strongroom.store.retries import MAX_RETRIES, Fault, WriteConflict, run_with_retries


class Broken(Exception):
    """A fault after which a write is not run again."""


class Deadlock(Exception):
    """A transient fault."""


def fault_of(error: Exception) -> Fault | None:
    return {WriteConflict: Fault.CONFLICT, Deadlock: Fault.TRANSIENT}.get(type(error))


def failing(*faults: type[Exception]) -> tuple[Callable[[], int], list[int]]:
    """Return an attempt that raises some faults, one a run, and then returns how often it has been run."""
    runs: list[int] = []

    def attempt() -> int:
        runs.append(len(runs) + 1)
        if len(runs) <= len(faults):
            raise faults[len(runs) - 1]("secret")
        return len(runs)

    return attempt, runs


def run(attempt: Callable[[], int], time_limit: float = 10.0, timer: Callable[[], float] = lambda: 0.0) -> int:
    return run_with_retries(attempt, fault_of, time_limit, timer)


def test_a_write_that_succeeds_is_run_once() -> None:
    assert run(failing()[0]) == 1


def test_a_write_is_run_again_after_each_fault_that_allows_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert run(failing(Deadlock, WriteConflict, Deadlock)[0]) == 4
    assert caplog.messages == [
        "retrying a write after a transient fault (Deadlock)",
        "retrying a write after a conflict fault (WriteConflict)",
        "retrying a write after a transient fault (Deadlock)",
    ]


@pytest.mark.parametrize(("kind", "fault"), [(Fault.TRANSIENT, Deadlock), (Fault.CONFLICT, WriteConflict)])
def test_a_fault_that_comes_every_time_is_raised_in_the_end(kind: Fault, fault: type[Exception]) -> None:
    attempt, runs = failing(*[fault] * 99)
    with pytest.raises(fault):
        run(attempt)
    assert len(runs) == 1 + MAX_RETRIES[kind]


def test_another_fault_is_raised_at_once() -> None:
    attempt, runs = failing(Broken)
    with pytest.raises(Broken):
        run(attempt)
    assert runs == [1]


def test_no_retry_begins_after_the_time_limit() -> None:
    times = iter([0.0, 9.9, 10.0])
    attempt, runs = failing(*[Deadlock] * 99)
    with pytest.raises(Deadlock):
        run(attempt, 10.0, lambda: next(times))
    assert runs == [1, 2]
