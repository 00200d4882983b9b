"""Clients that people use, pointed at the server the way their manuals say: by variables of the environment."""

from collections.abc import Iterator

import boto3
import pytest
from mypy_boto3_kms.client import KMSClient

from clients import ONCE, credentials_of
from local_server import RunningServer, running_server
from tls_files import self_signed, server_of


@pytest.fixture
def _pointed_at_us(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what ``eval $(strongroom ...)`` would set, for clients that run in this process."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a certificate of a private authority, whose certificate ``AWS_CA_BUNDLE`` names."""
    folder = tmp_path_factory.mktemp("private-ca")
    authority = self_signed(folder, "authority")
    options = server_of(authority, folder, "kms").options
    with running_server(folder / "data", folder / "log", *options, "--region", "us-east-1") as server:
        server.environment["AWS_CA_BUNDLE"] = str(authority.certificate)
        yield server
        assert server.stop() == 0
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture(scope="session")
def tls_kms(tls_server: RunningServer) -> KMSClient:
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
