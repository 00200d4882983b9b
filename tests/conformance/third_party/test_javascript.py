"""The AWS SDK for JavaScript, version 3, on Node.js: ``javascript/round_trip.mjs``."""

import subprocess
from pathlib import Path

import pytest

from installed_packages import npm_packages
from local_server import RunningServer, running_server
from programs import program
from tls_files import self_signed

SOURCES = Path(__file__).parent / "javascript"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npm_packages(SOURCES, tmp_path_factory.mktemp("javascript"))


def test_what_names_a_private_authority(installed: Path, tmp_path: Path) -> None:
    """Node.js reads neither AWS_CA_BUNDLE nor SSL_CERT_FILE."""
    pair, command = self_signed(tmp_path, "authority"), [program("node", "nodejs"), "round_trip.mjs", "symmetric"]
    variables = ("NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", "SSL_CERT_FILE")
    with running_server(tmp_path / "data", tmp_path / "log", *pair.options) as server:
        for name in variables:
            environment = {each: text for each, text in server.environment.items() if each not in variables}
            environment |= {name: str(pair.certificate), "AWS_MAX_ATTEMPTS": "1"}
            done = subprocess.run(
                command, cwd=installed, env=environment, capture_output=True, text=True, timeout=100, check=False
            )
            assert (done.returncode == 0) is (name == "NODE_EXTRA_CA_CERTS"), done.stderr
            assert done.returncode == 0 or "SELF_SIGNED_CERT" in done.stderr


@pytest.mark.parametrize("what", ["symmetric", "signatures", "publicKeyEncryption", "macsAndSharedSecrets"])
def test_round_trips(server: RunningServer, installed: Path, what: str) -> None:
    command = [program("node", "nodejs"), "round_trip.mjs", what]
    done = subprocess.run(
        command, cwd=installed, env=server.environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
