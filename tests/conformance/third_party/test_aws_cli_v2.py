"""Version 2 of the AWS CLI, from Debian's package. ``conformance/test_aws_cli.py`` has version 1 in more depth."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local_server import RunningServer
from programs import installed, unmeasured


class Cli:
    """Runs ``aws`` in a folder. This release reads no variable for an endpoint, so it gets an option."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        # Another ``aws`` may come first on the PATH: the virtual environment has version 1.
        program = str(installed("/usr/bin/aws", "awscli"))
        self._command = [program, "--endpoint-url", server.endpoint, "--output", "json"]
        self.environment = unmeasured(server.environment) | {"AWS_PAGER": "", "LC_ALL": "C.UTF-8"}
        self._folder = folder

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments],
            cwd=self._folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def __call__(self, *arguments: str) -> Any:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "{}")


@pytest.fixture
def aws(tls_server: RunningServer, tmp_path: Path) -> Cli:
    return Cli(tls_server, tmp_path)


def test_it_is_version_2(aws: Cli) -> None:
    assert aws.run("--version").stdout.startswith("aws-cli/2.")


def test_it_encrypts_and_signs(aws: Cli, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"from the command line")
    key = aws("kms", "create-key")["KeyMetadata"]["KeyId"]
    encrypted = aws("kms", "encrypt", "--key-id", key, "--plaintext", "fileb://secret")
    (tmp_path / "sealed").write_bytes(base64.b64decode(encrypted["CiphertextBlob"]))
    opened = aws("kms", "decrypt", "--ciphertext-blob", "fileb://sealed")
    assert base64.b64decode(opened["Plaintext"]) == b"from the command line"
    listed = aws("kms", "list-keys", "--page-size", "1")["Keys"]
    assert [each["KeyId"] for each in listed].count(key) == 1

    signing = aws("kms", "create-key", "--key-usage", "SIGN_VERIFY", "--key-spec", "ECC_NIST_P256")["KeyMetadata"][
        "KeyId"
    ]
    message = ("--key-id", signing, "--message", "fileb://secret", "--signing-algorithm", "ECDSA_SHA_256")
    signed = aws("kms", "sign", *message)
    (tmp_path / "signature").write_bytes(base64.b64decode(signed["Signature"]))
    assert aws("kms", "verify", *message, "--signature", "fileb://signature")["SignatureValid"] is True


def test_it_manages_identities(aws: Cli) -> None:
    account = aws("sts", "get-caller-identity")["Account"]
    aws("iam", "create-user", "--user-name", "of-version-2")
    assert aws("iam", "get-user", "--user-name", "of-version-2")["User"]["Arn"] == (
        f"arn:aws:iam::{account}:user/of-version-2"
    )
    aws("iam", "delete-user", "--user-name", "of-version-2")
    refused = aws.run("iam", "get-user", "--user-name", "of-version-2")
    assert refused.returncode == 254
    assert "NoSuchEntity" in refused.stderr


def test_without_its_authority_the_certificate_is_refused(aws: Cli) -> None:
    del aws.environment["AWS_CA_BUNDLE"]
    refused = aws.run("kms", "list-keys")
    assert refused.returncode == 255
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
