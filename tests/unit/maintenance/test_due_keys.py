"""Which keys a duty works on in a round, without a database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from strongroom.clock import ManualClock
from strongroom.keys.arns import KeyLocator
from strongroom.maintenance.due_keys import DueKeys
from strongroom.maintenance.duty import Duty, Regions
from strongroom.store.protocol import Readable
from strongroom.trusted_time import Moment

MOMENT = cast("Moment", None)


class Backlog:
    """Keys that are due, a store to read them from, and a timer that work moves on."""

    def __init__(self, number: int) -> None:
        self.due = [KeyLocator("000000000000", "us-east-1", f"{each:05}") for each in range(number)]
        self.rows_read = 0
        self.seconds = 0.0
        self.goes_on: list[bool] = []
        """Of each round, whether the next one should come soon."""
        self.duty = Duty("tested", "tested", self._find, cast("Any", None))
        self.keys = DueKeys(cast("Readable", self), None, lambda: self.seconds)

    @contextmanager
    def read(self) -> Iterator[None]:
        yield

    def _find(self, _reader: object, _moment: Moment, limit: int, _regions: Regions) -> list[KeyLocator]:
        found = self.due[:limit]
        self.rows_read += len(found)
        return found

    def round(self, fails: Callable[[str], bool] = lambda _key_id: False, seconds: float = 2.0) -> list[str]:
        """Work for some seconds, one for each key; return the keys that were tried."""
        tried = list[str]()

        def act(locator: KeyLocator) -> bool:
            tried.append(locator.key_id)
            self.seconds += 1
            if fails(locator.key_id):
                return False
            self.due.remove(locator)
            return True

        self.goes_on.append(self.keys.work(self.duty, MOMENT, seconds, act).goes_on)
        return tried


def test_a_round_ends_in_time_and_the_next_one_goes_on() -> None:
    backlog = Backlog(5)
    assert [backlog.round() for _ in range(4)] == [["00000", "00001"], ["00002", "00003"], ["00004"], []]
    assert backlog.goes_on == [True, True, False, False]


def test_one_key_is_tried_even_if_there_is_no_time() -> None:
    backlog = Backlog(3)
    assert [backlog.round(seconds=0) for _ in range(4)] == [["00000"], ["00001"], ["00002"], []]


def test_after_a_hurry_no_key_is_tried() -> None:
    backlog = Backlog(3)
    backlog.keys.hurry()
    assert backlog.round() == []
    backlog = Backlog(3)

    def hurry(_key_id: str) -> bool:
        backlog.keys.hurry()
        return True

    assert backlog.round(hurry, seconds=1e9) == ["00000"]


def test_keys_that_fail_come_after_the_others_and_take_turns() -> None:
    backlog = Backlog(6)
    broken = {"00000", "00001", "00002"}
    rounds = [backlog.round(broken.__contains__) for _ in range(6)]
    assert rounds[:3] == [["00000", "00001"], ["00002", "00003"], ["00004", "00005"]]
    assert rounds[3:] == [["00000", "00001"], ["00002", "00000"], ["00001", "00002"]]
    assert backlog.goes_on == [True, True, False, False, False, False]
    broken.clear()
    assert backlog.round(seconds=9) == ["00000", "00001", "00002"]
    assert not backlog.due


def test_a_key_that_failed_and_is_not_due_any_more_is_forgotten() -> None:
    backlog = Backlog(1)
    backlog.round({"00000"}.__contains__)
    del backlog.due[0]
    assert backlog.round() == backlog.round() == []


def test_what_stays_due_is_read_a_few_times_only() -> None:
    backlog = Backlog(20_000)
    assert len(backlog.round(lambda _key_id: True, seconds=1e9)) == 20_000
    assert backlog.rows_read < 5 * 20_000


def test_a_round_of_a_clock_that_does_not_move_has_no_end_in_time() -> None:
    clock, backlog = ManualClock(0), Backlog(150)
    done = list[str]()

    def act(locator: KeyLocator) -> bool:
        backlog.due.remove(locator)
        done.append(locator.key_id)
        return True

    DueKeys(cast("Readable", backlog), None, clock.timer).work(backlog.duty, MOMENT, 2.0, act)
    assert len(done) == 150
