"""Fixtures that several folders of unit tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from direct_client import DirectClient
from local_deployment import LocalDeployment
from strongroom.clock import ManualClock


@pytest.fixture
def direct(tmp_path: Path, clock: ManualClock) -> Iterator[DirectClient]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield DirectClient(local)
    local.deployment.close()
