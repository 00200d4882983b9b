"""What keeps a service from answering calls, as the readiness check reports it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_deployment import LocalDeployment
from strongroom.clock import ManualClock
from strongroom.entropy import system_entropy
from strongroom.errors import RandomSourceException
from strongroom.problems import Subject
from strongroom.service.readiness import Condition


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


def test_nothing_keeps_a_whole_deployment(local: LocalDeployment) -> None:
    assert local.deployment.service.readiness.check().obstacles == []


def test_a_database_that_was_moved_away_does(local: LocalDeployment) -> None:
    database = local.folder / "strongroom.db"
    database.rename(database.with_name("elsewhere.db"))
    (obstacle,) = local.deployment.service.readiness.check().obstacles
    assert obstacle.startswith("the key store does not answer (The files of the key store are not those")
    database.with_name("elsewhere.db").rename(database)


def test_a_problem_does_not_keep_calls_from_being_answered(local: LocalDeployment) -> None:
    local.deployment.problems.report(Subject.CLOCK, "the clock jumped")
    assert local.deployment.service.readiness.check() == Condition([], ["the clock jumped"])


def test_a_random_source_that_repeats_itself_does(tmp_path: Path, clock: ManualClock) -> None:
    stuck = False

    def source(length: int) -> bytes:
        return bytes(length) if stuck else system_entropy(length)

    local = LocalDeployment(tmp_path / "data", clock, source=source)
    stuck = True
    with pytest.raises(RandomSourceException):
        local.deployment.backends.random.random_bytes(32)
    (obstacle,) = local.deployment.service.readiness.check().obstacles
    assert obstacle == "the random number generator of the system has repeated itself"
    local.deployment.close()
