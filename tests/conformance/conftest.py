"""A real server over a real socket, and the clients people use."""

from collections.abc import Iterator

import pytest
from mypy_boto3_kms.client import KMSClient

from clients import client_of
from local_server import RunningServer, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder / "data", folder / "log", "--region", "us-east-1", "--region", "eu-west-1") as server:
        yield server
        assert server.stop() == 0
    log = (folder / "log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


@pytest.fixture(scope="session")
def kms(server: RunningServer) -> KMSClient:
    return client_of(server)


@pytest.fixture
def key_id(kms: KMSClient) -> str:
    return kms.create_key()["KeyMetadata"]["KeyId"]
