"""What the tests of backups share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_deployment import LocalDeployment
from strongroom.clock import ManualClock

NOW = 1_790_000_000.0


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[LocalDeployment]:
    """Yield a deployment with its data in a temporary folder."""
    made = LocalDeployment(tmp_path / "data", ManualClock(NOW))
    yield made
    made.deployment.close()
