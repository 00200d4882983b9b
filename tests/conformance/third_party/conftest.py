"""Clients that people use, pointed at the server the way their manuals say: by variables of the environment."""

from collections.abc import Iterator

import boto3
import pytest

from local_server import RunningServer, running_server
from tls_files import self_signed, signed_by

AWS_NAMES = ("kms.us-east-1.amazonaws.com", "sts.amazonaws.com", "sts.us-east-1.amazonaws.com", "iam.amazonaws.com")


@pytest.fixture
def _pointed_at_us(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what ``eval $(strongroom ...)`` would set, for clients that run in this process."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture(scope="session")
def aws_names() -> tuple[str, ...]:
    """Return the names of AWS's hosts that the certificate of ``tls_server`` also has."""
    return AWS_NAMES


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose certificate is from a private authority, which ``AWS_CA_BUNDLE`` names."""
    folder = tmp_path_factory.mktemp("tls-server")
    authority = self_signed(folder, "authority")
    names = ",".join(["IP:127.0.0.1", *(f"DNS:{name}" for name in AWS_NAMES)])
    pair = signed_by(authority, folder, "server", names=names)
    with running_server(folder / "data", folder / "log", *pair.options, "--region", "us-east-1") as server:
        server.environment["AWS_CA_BUNDLE"] = str(authority.certificate)
        yield server
        assert server.stop() == 0
    log = (folder / "log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log
