"""``env.sh`` and ``env.fish``: AWS clients reach the server from any shell, whatever its environment says about AWS."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from child_processes import killed
from free_ports import free_port
from local_server import RunningServer, running_server
from programs import program
from server_processes import wait_until

PACKAGES = {"sh": "dash", "dash": "dash", "bash": "bash", "zsh": "zsh", "fish": "fish"}
SCRIPT = """\
aws sts get-caller-identity --query Arn --output text
aws kms list-keys
aws iam list-users
python -c 'import boto3; print(boto3.client("kms").meta.region_name, boto3.client("kms").list_keys()["Truncated"])'
strongroom who-can kms:CreateKey
"""
ANSWERS = """\
arn:aws:iam::000000000000:root
{
    "Keys": []
}
{
    "Users": []
}
eu-west-1 False
arn:aws:iam::000000000000:root\tthe account root needs no policy of its own
"""
CORPORATE = """\
[default]
region = ap-south-1
role_arn = arn:aws:iam::999999999999:role/corporate
source_profile = corporate
services = elsewhere
output = text
[profile corporate]
region = ap-south-1
[services elsewhere]
kms =
  endpoint_url = http://127.0.0.1:9
sts =
  endpoint_url = http://127.0.0.1:9
iam =
  endpoint_url = http://127.0.0.1:9
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose data folder has a name that shells could misread; botocore would expand a ``$HOME`` in it."""
    folder = tmp_path_factory.mktemp("environment")
    data = folder / 'it\'s \\ $(here) "and" `now`'
    with running_server(data, folder / "log", "--region", "eu-west-1", "--workers", "1") as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def corporate(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which AWS clients go elsewhere, and the commands are not on the PATH."""
    aws = tmp_path / ".aws"
    aws.mkdir()
    (aws / "config").write_text(CORPORATE)
    keys = "aws_access_key_id = AKIACORPORATE\naws_secret_access_key = secret\naws_session_token = token\n"
    (aws / "credentials").write_text(f"[default]\n{keys}[corporate]\n{keys}")
    proxies = {
        name: "http://127.0.0.1:9"
        for scheme in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        for name in (scheme, scheme.lower())
    }
    return proxies | {
        "HOME": str(tmp_path),
        "PATH": os.defpath.strip(":"),
        "NO_PROXY": "intranet.example.com",
        "AWS_PROFILE": "corporate",
        "AWS_DEFAULT_PROFILE": "corporate",
        "AWS_ACCESS_KEY_ID": "AKIACORPORATE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_SECURITY_TOKEN": "token",
        "AWS_ROLE_ARN": "arn:aws:iam::999999999999:role/corporate",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/",
        "AWS_CONFIG_FILE": str(aws / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(aws / "credentials"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:9",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_REGION": "ap-south-1",
        "AWS_DEFAULT_REGION": "ap-south-1",
        "AWS_DEFAULT_OUTPUT": "table",
        "STRONGROOM_DATA": "/nowhere",
        "STRONGROOM_CONFIG": "/nowhere",
    }


def file_of(server: RunningServer, shell: str) -> Path:
    data = Path(server.environment["AWS_SHARED_CREDENTIALS_FILE"]).parent
    return data / ("env.fish" if shell == "fish" else "env.sh")


def in_shell(shell: str, file: Path, script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Read the file from its own folder, by its short name, then run the script."""
    read = "source env.fish" if shell == "fish" else "set -eu\n. ./env.sh"
    command = [program(shell, PACKAGES[shell]), "-c", f"{read}\n{script}"]
    return subprocess.run(
        command, env=environment, cwd=file.parent, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("shell", PACKAGES)
def test_clients_reach_the_server_from_a_shell_that_points_elsewhere(
    server: RunningServer, corporate: dict[str, str], shell: str
) -> None:
    done = in_shell(shell, file_of(server, shell), SCRIPT, corporate)
    assert (done.returncode, done.stdout, done.stderr) == (0, ANSWERS, "")


@pytest.mark.parametrize("shell", PACKAGES)
def test_exceptions_from_proxies_are_kept(server: RunningServer, corporate: dict[str, str], shell: str) -> None:
    show = "env | grep -i ^no_proxy= | sort -f"
    both = corporate | {"NO_PROXY": "a.example.com,b.example.com", "no_proxy": "c.example.com"}
    done = in_shell(shell, file_of(server, shell), show, both)
    assert sorted(done.stdout.split()) == [
        "NO_PROXY=127.0.0.1,a.example.com,b.example.com",
        "no_proxy=127.0.0.1,c.example.com",
    ]
    done = in_shell(shell, file_of(server, shell), show, corporate)
    assert sorted(done.stdout.split()) == [
        "NO_PROXY=127.0.0.1,intranet.example.com",
        "no_proxy=127.0.0.1,intranet.example.com",
    ]


def test_without_the_file_they_go_elsewhere(server: RunningServer, corporate: dict[str, str]) -> None:
    aws = Path(sys.executable).with_name("aws")
    pointed = corporate | {"AWS_ENDPOINT_URL_STS": server.endpoint, "AWS_MAX_ATTEMPTS": "1"}
    done = subprocess.run([aws, "sts", "get-caller-identity"], env=pointed, capture_output=True, check=False)
    assert done.returncode != 0


def test_commands_read_the_settings_file_of_the_server(tmp_path: Path, corporate: dict[str, str]) -> None:
    """Without it, they would look for a database in the data folder, and for no token."""
    config = tmp_path / "the settings.toml"
    config.write_text("keeper-interval = 60\n")
    options = ("--config", os.path.relpath(config), "--workers", "1")
    with running_server(tmp_path / "data", tmp_path / "log", *options) as server:
        for shell in ("sh", "fish"):
            done = in_shell(shell, file_of(server, shell), "strongroom config show --json keeper-interval", corporate)
            assert not done.stderr
            found = json.loads(done.stdout)["keeper-interval"]
            assert (found["value"], Path(found["named"]).resolve()) == (60, config)
        assert server.stop() == 0


@pytest.mark.parametrize("name", ["env.sh", "env.fish"])
def test_the_file_is_for_its_owner_and_holds_no_secret(server: RunningServer, name: str) -> None:
    file = file_of(server, name.removeprefix("env."))
    assert file.stat().st_mode & 0o777 == 0o600
    secret = file.with_name("credentials").read_text().rpartition("=")[2].strip()
    assert secret not in file.read_text()


def test_a_server_that_cannot_write_the_file_says_so_and_serves(tmp_path: Path) -> None:
    (tmp_path / "env.sh.new").mkdir(parents=True)
    command = [sys.executable, "-m", "strongroom", "serve", "--data", str(tmp_path), "--listen", "127.0.0.1:0"]
    with (
        subprocess.Popen(
            [*command, "--workers", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        killed(process),
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().split()[-1]
        connection = HTTPConnection(urlsplit(url).netloc)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        process.terminate()
        printed, log = process.communicate(timeout=30)
    assert (process.returncode, printed) == (0, "Strongroom has stopped.\n")
    assert "cannot write the environment of clients" in log


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_is_ready_has_written_the_files(tmp_path: Path, workers: str) -> None:
    """A script may wait for ``/readyz`` and read the file at once."""
    data, port = tmp_path / "data", free_port()
    command = [sys.executable, "-m", "strongroom", "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen([*command, "--workers", workers], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: accepts(port) or process.poll() is not None)
            assert f"http://127.0.0.1:{port}" in (data / "env.sh").read_text()
            assert (data / "env.fish").exists()
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


def accepts(port: int) -> bool:
    """Tell whether a server accepts connections on a loopback port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
