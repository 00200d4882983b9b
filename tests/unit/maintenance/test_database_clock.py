"""The keeper where the database has a clock of its own: nothing is due before it is by both clocks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_deployment import LocalDeployment
from strongroom.clock import DAY, ManualClock
from strongroom.problems import Subject
from strongroom.store.faults import StoreUnavailable
from strongroom.store.sqlite.store import SqlStore

MONTH = 31 * DAY


class DatabaseClock:
    """The clock of a database, which runs as fast as that of the machine, and may be ahead of it."""

    def __init__(self, clock: ManualClock) -> None:
        self._origin = clock.now() - clock.uptime()
        self._clock = clock
        self.ahead = 0.0
        self.answers = True

    def time(self) -> float:
        if not self.answers:
            raise StoreUnavailable("The key store does not answer.", "told not to answer")
        return self._origin + self._clock.uptime() + self.ahead


@pytest.fixture
def database(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> DatabaseClock:
    database = DatabaseClock(clock)
    monkeypatch.setattr(SqlStore, "time", lambda _store: database.time())
    return database


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock, database: DatabaseClock) -> Iterator[LocalDeployment]:
    """Open a deployment whose clock is confirmed, beside a database whose clock is right."""
    assert database.ahead == 0
    local = LocalDeployment(tmp_path / "data", clock)
    local.deployment.keeper.run()
    clock.advance(600)
    local.deployment.keeper.run()
    yield local
    local.deployment.close()


def doomed(local: LocalDeployment, days: int) -> str:
    key_id: str = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=days)
    return key_id


def deletion_date(local: LocalDeployment, key_id: str) -> float:
    date: float = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["DeletionDate"]
    return date


def deleted(local: LocalDeployment) -> int:
    return local.deployment.keeper.counters.keys["deleted"]


def problem(local: LocalDeployment) -> str:
    found: list[Any] = [each for each in local.deployment.problems.current() if each.subject is Subject.DATABASE_CLOCK]
    return found[0].text if found else ""


def test_what_is_due_by_this_machine_alone_waits_for_the_database(
    local: LocalDeployment, database: DatabaseClock
) -> None:
    doomed(local, 30)
    database.ahead = -MONTH
    local.clock.advance(30 * DAY)
    local.deployment.keeper.run()
    assert deleted(local) == 0
    assert "the clock of this machine is 31.0 days ahead of that of the database" in problem(local)
    local.clock.advance(MONTH)
    local.deployment.keeper.run()
    assert deleted(local) == 1


def test_what_is_due_by_the_database_alone_waits_for_this_machine(
    local: LocalDeployment, database: DatabaseClock
) -> None:
    doomed(local, 30)
    database.ahead = MONTH
    local.deployment.keeper.run()
    assert deleted(local) == 0
    assert "the clock of this machine is 31.0 days behind that of the database" in problem(local)
    database.ahead = 30.0
    local.deployment.keeper.run()
    assert problem(local) == ""
    local.clock.advance(30 * DAY)
    local.deployment.keeper.run()
    assert deleted(local) == 1


def test_a_waiting_period_begins_at_the_later_time(local: LocalDeployment, database: DatabaseClock) -> None:
    database.ahead = MONTH
    local.deployment.keeper.run()
    assert deletion_date(local, doomed(local, 7)) == pytest.approx(local.clock.now() + MONTH + 7 * DAY)
    database.ahead = -MONTH
    local.deployment.keeper.run()
    assert deletion_date(local, doomed(local, 7)) == pytest.approx(local.clock.now() + 7 * DAY)


def test_its_time_goes_on_while_the_database_does_not_answer(local: LocalDeployment, database: DatabaseClock) -> None:
    watch = local.deployment.clock_watch
    database.ahead = -MONTH
    local.deployment.keeper.run()
    database.answers = False
    local.clock.advance(3600)
    watch.observe(report=True)
    assert watch.moment().earliest == pytest.approx(local.clock.now() - MONTH)
    assert watch.database_difference == pytest.approx(MONTH)
    # A jump of the wall clock changes nothing.
    local.clock.step(1000 * DAY)
    assert watch.moment().earliest == pytest.approx(local.clock.now() - MONTH - 1000 * DAY)


def test_small_differences_are_no_problem_and_are_measured(local: LocalDeployment, database: DatabaseClock) -> None:
    database.ahead = -59.0
    local.deployment.keeper.run()
    assert problem(local) == ""
    assert local.deployment.keeper.counters.database_clock_difference == pytest.approx(59.0)
