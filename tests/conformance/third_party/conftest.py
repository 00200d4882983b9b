"""Clients that people use, pointed at the server the way their manuals say: by variables of the environment."""

import boto3
import pytest

from local_server import RunningServer


@pytest.fixture
def _pointed_at_us(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what ``eval $(strongroom ...)`` would set, for clients that run in this process."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
