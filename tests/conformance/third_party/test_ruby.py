"""The AWS SDK for Ruby, from Debian's package: ``ruby/round_trip.rb``."""

import subprocess
from pathlib import Path

import pytest

from local_server import RunningServer
from programs import installed, program, unmeasured

SCRIPT = Path(__file__).parent / "ruby" / "round_trip.rb"
LIBRARY = "/usr/share/rubygems-integration/all/specifications/aws-sdk-kms-*.gemspec"


@pytest.fixture(scope="module")
def ruby() -> str:
    """Return the program, once the library is there."""
    installed(LIBRARY, "ruby-aws-sdk-kms")
    return program("ruby", "ruby")


def run(ruby: str, part: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [ruby, "-W:no-deprecated", str(SCRIPT), part]
    return subprocess.run(
        command, env=unmeasured(environment), capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("part", ["encryption", "key_life", "lists"])
def test_round_trips(tls_server: RunningServer, ruby: str, part: str) -> None:
    done = run(ruby, part, tls_server.environment)
    assert done.returncode == 0, done.stderr


def test_the_authority_can_be_one_of_the_system(tls_server: RunningServer, ruby: str) -> None:
    environment = dict(tls_server.environment)
    environment["SSL_CERT_FILE"] = environment.pop("AWS_CA_BUNDLE")
    done = run(ruby, "lists", environment)
    assert done.returncode == 0, done.stderr


def test_without_its_authority_the_certificate_is_refused(tls_server: RunningServer, ruby: str) -> None:
    environment = {key: value for key, value in tls_server.environment.items() if key != "AWS_CA_BUNDLE"}
    done = run(ruby, "encryption", environment)
    assert done.returncode != 0
    assert "certificate verify failed" in done.stderr
