"""What keeps a service from answering calls, as it tells whoever asks whether it is ready."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments import Bench
from strongroom.clock import ManualClock


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock) -> Iterator[Bench]:
    bench = Bench(tmp_path / "data", clock)
    yield bench
    bench.deployment.close()


def test_nothing_keeps_a_whole_deployment(bench: Bench) -> None:
    assert bench.deployment.service.obstacles() == []


def test_a_database_that_was_moved_away_does(bench: Bench) -> None:
    database = bench.folder / "strongroom.db"
    database.rename(database.with_name("elsewhere.db"))
    bench.deployment.keeper.upkeep()
    assert bench.deployment.service.obstacles() == ["the key store does not answer"]
    database.with_name("elsewhere.db").rename(database)
