"""Open faults of the database: counted each time, reported once, and ended when they were not met again."""

import logging
import threading

import pytest

from strongroom.clock import ManualClock
from strongroom.problems import Problems, Subject
from strongroom.store.counters import StoreCounters
from strongroom.store.fault_watch import FaultWatch
from strongroom.store.faults import FaultKind, StoreDamaged, StoreFault, StoreUnavailable

FULL = StoreFault(FaultKind.FULL, "SQLITE_FULL: database or disk is full", "writing kms_key", writing=True)
PAGE = StoreFault(FaultKind.DAMAGED, "SQLITE_CORRUPT: malformed", "reading alias", writing=False)
READ = StoreFault(FaultKind.IO, "SQLITE_IOERR_READ: disk I/O error", "reading alias", writing=False)
ROW = StoreFault(FaultKind.ROW, "ValueError at rows:1", "reading", writing=False)


class Watched:
    """A watch with all that it tells."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.problems = Problems()
        self.counters = StoreCounters()
        self.watch = FaultWatch("strongroom.db", self.problems, self.counters, clock.timer)

    @property
    def open(self) -> list[str]:
        return [each.text for each in self.problems.current()]


@pytest.fixture
def watched(clock: ManualClock) -> Watched:
    return Watched(clock)


def test_a_fault_is_counted_each_time_and_said_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for table in ("kms_key", "alias", "kms_key"):
            watched.watch.note(StoreFault(FULL.kind, FULL.reason, f"writing {table}", writing=True))
    text = (
        "`strongroom.db` cannot be written: its disk is full (SQLITE_FULL: database or disk is full, while writing "
        "kms_key); free space or inodes on the disk"
    )
    assert watched.open == caplog.messages == [text]
    assert watched.counters.faults[FaultKind.FULL] == sum(watched.counters.faults.values()) == 3


def test_another_reason_of_an_open_fault_is_told_once_a_minute(watched: Watched) -> None:
    """Such as that a server which has stopped is back, and refuses the password."""
    reasons = [f"server {number} is away" for number in range(3)]
    for _ in range(3):
        for reason in reasons:
            watched.watch.note(StoreFault(FaultKind.CONNECTION, reason, "reading", writing=False))
    assert [reasons[0] in each for each in watched.open] == [True]
    watched.clock.advance(61)
    watched.watch.note(StoreFault(FaultKind.CONNECTION, reasons[2], "reading", writing=False))
    assert [reasons[2] in each for each in watched.open] == [True]
    assert reasons[0] not in watched.open[0]


def test_conflicts_are_counted_and_are_no_problem(watched: Watched) -> None:
    for kind in (FaultKind.CONFLICT, FaultKind.ROLLED_BACK):
        watched.watch.note(StoreFault(kind, "", "", writing=True))
    assert watched.open == []
    assert sum(watched.counters.faults.values()) == 2


def test_a_fault_of_writing_ends_when_a_write_has_succeeded(watched: Watched) -> None:
    watched.watch.note(FULL)
    watched.clock.advance(60)
    watched.watch.settle()
    assert watched.watch.has_open_writes()
    watched.watch.wrote()
    watched.watch.settle()
    assert not watched.watch.has_open_writes()
    assert watched.open == []


def test_a_fault_that_comes_and_goes_stays_open(watched: Watched) -> None:
    for _ in range(3):
        watched.watch.note(FULL)
        watched.clock.advance(1)
        watched.watch.wrote()
        watched.watch.settle()
        assert len(watched.open) == 1
    watched.clock.advance(4)
    watched.watch.settle()
    assert watched.open == []


def test_faults_of_reading_end_when_they_were_not_met_for_a_while(watched: Watched) -> None:
    watched.watch.note(READ)
    watched.watch.note(ROW)
    watched.clock.advance(50)
    watched.watch.settle()
    (text,) = watched.open
    assert "; `strongroom.db` has a damaged row (" in text
    watched.clock.advance(11)
    watched.watch.settle()
    assert "row" in watched.open[0]
    assert "disk" not in watched.open[0]
    watched.clock.advance(600)
    watched.watch.settle()
    assert watched.open == []


def test_damage_ends_only_when_a_later_check_finds_the_whole_database_in_order(watched: Watched) -> None:
    watched.watch.found_whole(watched.clock.timer())
    watched.watch.note(PAGE)
    watched.clock.advance(10_000)
    watched.watch.settle()
    watched.watch.wrote()
    watched.watch.found_whole(watched.clock.timer() - 10_000)
    assert watched.watch.has_damage()
    watched.watch.found_whole(watched.clock.timer())
    assert not watched.watch.has_damage()
    assert watched.open == []


def test_each_damaged_table_is_named(watched: Watched) -> None:
    watched.watch.note(PAGE)
    watched.watch.note(StoreFault(PAGE.kind, PAGE.reason, "reading grant", writing=False))
    assert "while reading alias" in watched.open[0]
    assert "while reading grant" in watched.open[0]


def test_threads_that_meet_a_fault_together_report_it_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    threads = [threading.Thread(target=watched.watch.note, args=(FULL,)) for _ in range(20)]
    with caplog.at_level(logging.INFO):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(caplog.messages) == 1
    assert sum(watched.counters.faults.values()) == 20
    assert [each.subject for each in watched.problems.current()] == [Subject.STORE]


@pytest.mark.parametrize(
    "kind", [kind for kind in FaultKind if kind not in {FaultKind.CONFLICT, FaultKind.ROLLED_BACK}]
)
def test_every_kind_has_an_error_for_clients_and_words_for_the_operator(kind: FaultKind) -> None:
    error = StoreFault(kind, "SQLITE_X: x", "reading alias", writing=False).error("strongroom.db")
    permanent = kind in {FaultKind.DAMAGED, FaultKind.SCHEMA, FaultKind.ROW, FaultKind.EMPTIED}
    assert isinstance(error, StoreDamaged if permanent else StoreUnavailable)
    assert error.code == ("KMSInternalException" if permanent else "DependencyTimeoutException")
    assert error.status == 500
    assert "SQLITE" not in (error.message or "")
    assert error.explanation.startswith("`strongroom.db` ")
    assert "(SQLITE_X: x, while reading alias); " in error.explanation
