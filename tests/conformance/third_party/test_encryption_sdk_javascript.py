"""The AWS Encryption SDK for JavaScript, over TLS with a private authority: ``encryption_sdk/messages.mjs``.

What it writes is read by the one for Python, and the other way round.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from aws_encryption_sdk import CommitmentPolicy, EncryptionSDKClient, StrictAwsKmsMasterKeyProvider
from mypy_boto3_kms.client import KMSClient

from installed_packages import npm_packages
from local_server import RunningServer
from programs import program

SOURCES = Path(__file__).parent / "encryption_sdk"
MESSAGE = b"written in one language, read in another"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npm_packages(SOURCES, tmp_path_factory.mktemp("encryption-sdk"))


def run(server: RunningServer, installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = server.environment | {"NODE_EXTRA_CA_CERTS": server.environment["AWS_CA_BUNDLE"]}
    command = [program("node", "nodejs"), "messages.mjs", *arguments]
    return subprocess.run(
        command, cwd=installed, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_messages_of_one_language_are_read_in_the_other(
    tls_server: RunningServer, tls_kms: KMSClient, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in tls_server.environment:
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, tls_server.environment[name])
    key = tls_kms.create_key()["KeyMetadata"]["Arn"]
    python: Any = EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    provider = StrictAwsKmsMasterKeyProvider(key_ids=[key])
    message = tmp_path / "message"

    done = run(tls_server, installed, "encrypt", str(message), key)
    assert done.returncode == 0, done.stderr
    assert python.decrypt(source=message.read_bytes(), key_provider=provider)[0] == MESSAGE

    written, _ = python.encrypt(source=MESSAGE, key_provider=provider, encryption_context={"tenant": "blue"})
    message.write_bytes(written)
    done = run(tls_server, installed, "decrypt", str(message), key)
    assert done.returncode == 0, done.stderr

    tls_kms.disable_key(KeyId=key)
    refused = run(tls_server, installed, "decrypt", str(message), key)
    assert refused.returncode != 0
    assert "is disabled" in refused.stderr
