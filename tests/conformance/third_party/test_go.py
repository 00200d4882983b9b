"""The AWS SDKs for Go, and the key manager of step-ca: the programs in ``go``, compiled with Debian's packages."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from connect_proxy import tunnels_to
from local_server import RunningServer
from programs import installed, program, unmeasured
from tls_servers import AWS_NAMES

SOURCES = Path(__file__).parent / "go"
GOPATH = Path("/usr/share/gocode")
PACKAGES = (
    "golang-go",
    "golang-github-aws-aws-sdk-go-dev",
    "golang-github-aws-aws-sdk-go-v2-dev",
    "golang-github-smallstep-certificates-dev",
)


def compiler() -> str:
    """Return the program ``go``, once the libraries are there."""
    version_1 = "/usr/share/gocode/src/github.com/aws/aws-sdk-go/service/kms/api.go"
    version_2 = "/usr/share/gocode/src/github.com/aws/aws-sdk-go-v2/service/kms/api_client.go"
    step = "/usr/share/gocode/src/github.com/smallstep/certificates/kms/awskms/awskms.go"
    installed(version_1, "golang-github-aws-aws-sdk-go-dev")
    installed(version_2, "golang-github-aws-aws-sdk-go-v2-dev")
    installed(step, "golang-github-smallstep-certificates-dev")
    return program("go", "golang-go")


@pytest.fixture(scope="module")
def clients(pytestconfig: pytest.Config) -> Path:
    """Return the program, in pytest's cache until its sources or packages change (``pytest --cache-clear``)."""
    assert pytestconfig.cache is not None
    go = compiler()
    versions = subprocess.run(["dpkg-query", "--show", *PACKAGES], check=True, stdout=subprocess.PIPE)
    parts = [versions.stdout, *(path.read_bytes() for path in sorted(SOURCES.glob("*.go")))]
    folder = pytestconfig.cache.mkdir("go")
    made = folder / f"clients-{hashlib.sha256(b''.join(parts)).hexdigest()}"
    if not made.exists():
        environment = unmeasured(os.environ) | {
            "GO111MODULE": "off",
            "GOFLAGS": "",
            "GOPATH": str(GOPATH),
            # After a change of the sources, the packages need not be compiled again.
            "GOCACHE": str(folder / "packages"),
        }
        # It gets its name when it is complete.
        scratch = folder / f"{made.name}.{os.getpid()}"
        command = [go, "build", "-o", str(scratch), "."]
        done = subprocess.run(command, cwd=SOURCES, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        scratch.rename(made)
    return made


def run(clients: Path, name: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clients, name],
        cwd=folder,
        env=unmeasured(environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("name", ["v2-encryption", "v2-signatures", "v2-lists", "v2-grants", "v2-errors", "v1"])
def test_a_program_of_the_sdk(tls_server: RunningServer, clients: Path, tmp_path: Path, name: str) -> None:
    done = run(clients, name, tmp_path, tls_server.environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["v2-encryption", "v1"])
def test_without_its_authority_the_certificate_is_refused(
    tls_server: RunningServer, clients: Path, tmp_path: Path, name: str
) -> None:
    environment = {key: value for key, value in tls_server.environment.items() if key != "AWS_CA_BUNDLE"}
    done = run(clients, name, tmp_path, environment)
    assert done.returncode != 0
    assert "certificate signed by unknown authority" in done.stderr


@pytest.mark.parametrize("name", ["v2-grants", "v1"])
def test_the_authority_can_be_one_of_the_system(
    tls_server: RunningServer, clients: Path, tmp_path: Path, name: str
) -> None:
    environment = dict(tls_server.environment)
    environment["SSL_CERT_FILE"] = environment.pop("AWS_CA_BUNDLE")
    done = run(clients, name, tmp_path, environment)
    assert done.returncode == 0, done.stderr


def test_what_step_ca_signs(tls_server: RunningServer, clients: Path, tmp_path: Path) -> None:
    with tunnels_to(tls_server, *AWS_NAMES) as proxy:
        proxies = {"HTTPS_PROXY": proxy.url, "NO_PROXY": "", "no_proxy": ""}
        done = run(clients, "step", tmp_path, tls_server.environment | proxies)
        assert done.returncode == 0, done.stderr
        assert set(proxy.asked_for) == {"kms.us-east-1.amazonaws.com:443"}
    chain = ("-CAfile", "root.pem", "-untrusted", "intermediate.pem", "leaf.pem")
    subprocess.run(["openssl", "verify", *chain], cwd=tmp_path, check=True, capture_output=True)


def test_the_sources_are_formatted() -> None:
    formatter = Path(compiler()).with_name("gofmt")
    done = subprocess.run([formatter, "-l", SOURCES], capture_output=True, text=True, check=True)
    assert done.stdout == ""
