"""Fixtures that several folders of unit tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments import Bench
from doors import Door
from strongroom.clock import ManualClock


@pytest.fixture
def door(tmp_path: Path, clock: ManualClock) -> Iterator[Door]:
    bench = Bench(tmp_path / "data", clock)
    yield Door(bench)
    bench.deployment.close()
