"""Parquet's modular encryption, over TLS with a private authority: ``parquet/round_trip.py``."""

import subprocess
import sys
from pathlib import Path

import pytest
from mypy_boto3_kms.client import KMSClient

from installed_packages import installed_packages
from local_server import RunningServer
from programs import unmeasured

SOURCES = Path(__file__).parent / "parquet"


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config) -> Path:
    return installed_packages(pytestconfig, SOURCES)


def test_a_file_is_written_and_read(
    tls_server: RunningServer, tls_kms: KMSClient, installed: Path, tmp_path: Path
) -> None:
    environment = unmeasured(tls_server.environment) | {"PYTHONPATH": str(installed)}
    aliases = ["alias/parquet-footer", "alias/parquet-column"]
    for alias in aliases:
        tls_kms.create_alias(AliasName=alias, TargetKeyId=tls_kms.create_key()["KeyMetadata"]["KeyId"])
    command = [sys.executable, str(SOURCES / "round_trip.py"), *aliases, str(tmp_path)]

    def round_trip() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)

    done = round_trip()
    assert done.returncode == 0, done.stderr
    content = (tmp_path / "people.parquet").read_bytes()
    assert content.startswith(b"PARE")
    assert b"4711" not in content
    tls_kms.disable_key(KeyId=tls_kms.describe_key(KeyId=aliases[1])["KeyMetadata"]["KeyId"])
    refused = round_trip()
    assert refused.returncode != 0
    assert "DisabledException" in refused.stderr
