"""Clients that people use, pointed at the server the way their manuals say: by variables of the environment."""

from collections.abc import Iterator

import boto3
import pytest
from mypy_boto3_kms.client import KMSClient

from clients import ONCE, credentials_of
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


@pytest.fixture(scope="session")
def tls_kms(tls_server: RunningServer) -> KMSClient:
    """Return a boto3 client of it with the root access key."""
    keys = credentials_of(tls_server)
    return boto3.client(
        "kms",
        region_name="us-east-1",
        endpoint_url=tls_server.endpoint,
        verify=tls_server.environment["AWS_CA_BUNDLE"],
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=ONCE,
    )
