"""The settler, where the nodes cannot be read."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from typing import NoReturn

import psycopg
import pytest

from server_processes import wait_until
from strongroom.clock import ManualClock, SystemClock
from strongroom.store.leases.bounds import LONGEST_LEASE, over_everywhere
from strongroom.store.postgresql.settler import Settler
from strongroom.store.unsettled import NotSettled


@pytest.mark.parametrize("error", [psycopg.OperationalError("gone"), RuntimeError("a defect")])
def test_a_change_is_answered_when_every_lease_has_ended_whatever_goes_wrong(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def connect() -> NoReturn:
        raise error

    clock, answered = ManualClock(1000.0), Event()
    with caplog.at_level(logging.WARNING), closing(Settler(connect, clock)) as settler:
        settler.when_settled(1, answered.set)
        wait_until(lambda: settler.failures > 2)
        assert not answered.is_set()
        clock.advance(over_everywhere(LONGEST_LEASE))
        assert answered.wait(60)
        assert settler.waited_out == 1
        # The thread goes on.
        again = Event()
        settler.when_settled(2, again.set)
        clock.advance(over_everywhere(LONGEST_LEASE))
        assert again.wait(60)
    assert len(caplog.records) == 1
    assert str(error) in caplog.text


def test_a_process_that_ends_does_not_wait_for_a_node_that_has_vanished() -> None:
    def connect() -> NoReturn:
        raise psycopg.OperationalError("gone")

    with closing(Settler(connect, SystemClock())) as settler, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(settler.settle, 1)
        wait_until(lambda: settler.unsettled == 1)
        settler.hurry(0.01)
        with pytest.raises(NotSettled):
            waiting.result(20)
        # What is written later does not wait either.
        with pytest.raises(NotSettled):
            settler.settle(2)
