"""MongoDB's client-side field level encryption, over TLS with a private authority: ``mongodb/round_trip.py``."""

import subprocess
import sys
from pathlib import Path

import pytest
from mypy_boto3_kms.client import KMSClient

from installed_packages import installed_packages
from local_server import RunningServer
from programs import unmeasured

SOURCES = Path(__file__).parent / "mongodb"


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config) -> Path:
    return installed_packages(pytestconfig, SOURCES)


def round_trip(server: RunningServer, installed: Path, *keys: str) -> subprocess.CompletedProcess[str]:
    environment = unmeasured(server.environment) | {"PYTHONPATH": str(installed)}
    command = [sys.executable, str(SOURCES / "round_trip.py"), *keys]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_a_field_is_encrypted_and_its_data_key_moved(
    tls_server: RunningServer, tls_kms: KMSClient, installed: Path
) -> None:
    key, other = (tls_kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    done = round_trip(tls_server, installed, key, other)
    assert done.returncode == 0, done.stderr


def test_a_disabled_key_is_refused(tls_server: RunningServer, tls_kms: KMSClient, installed: Path) -> None:
    key = tls_kms.create_key()["KeyMetadata"]["Arn"]
    tls_kms.disable_key(KeyId=key)
    done = round_trip(tls_server, installed, key, key)
    assert done.returncode != 0
    assert "DisabledException" in done.stderr
