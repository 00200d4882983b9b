"""Clients that people use, pointed at the server the way their manuals say: by variables of the environment."""

from collections.abc import Iterator

import boto3
import pytest

from local_server import RunningServer
from tls_servers import running_tls_server


@pytest.fixture
def _pointed_at_us(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what ``eval $(strongroom ...)`` would set, for clients that run in this process."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose certificate is from a private authority, which ``AWS_CA_BUNDLE`` names."""
    with running_tls_server(tmp_path_factory.mktemp("tls-server")) as server:
        yield server
