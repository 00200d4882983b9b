"""The data folder of ``strongroom dev``: no other command opens its keys."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from programs import program
from server_processes import wait_until
from strongroom.testing import server

ASKS = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that a development server has served, with the access key of AWS's examples."""
    data = tmp_path_factory.mktemp("development") / "data"
    with server(options=["--data", str(data), "--fixed-credentials"]):
        pass
    return data


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "strongroom", *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    "command",
    [
        ("serve", "--listen", "127.0.0.1:0", "--workers", "2"),
        ("backup", "--to", ".", "--unencrypted"),
        ("account", "list"),
    ],
)
def test_no_other_command_opens_it(folder: Path, command: tuple[str, ...]) -> None:
    refused = run(*command, "--data", str(folder))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"`{folder}` was made by strongroom dev" in refused.stderr
    assert refused.stdout == ""


def test_it_moves_into_no_other_database(folder: Path) -> None:
    refused = run("migrate", "--from", str(folder), "--to", "postgresql://nobody@127.0.0.1:1/none")
    assert refused.returncode == 1
    assert "was made by strongroom dev" in refused.stderr


def test_a_shell_that_points_at_it_has_no_command_use_it(folder: Path) -> None:
    for name in ("env.sh", "env.fish"):
        assert "STRONGROOM_" not in (folder / name).read_text()


def test_fish_reaches_a_server_by_the_line_that_it_prints(tmp_path: Path) -> None:
    log = tmp_path / "log"
    started = [sys.executable, "-m", "strongroom", "dev", "--port", "0"]
    with log.open("w") as out, subprocess.Popen(started, stdout=out, stderr=out) as dev:
        try:
            wait_until(lambda: "env.fish" in log.read_text())
            (line,) = [each for each in log.read_text().splitlines() if each.startswith("source ")]
            script = f"{line}; and {shlex.quote(sys.executable)} -c {shlex.quote(ASKS)}"
            command = [program("fish", "fish"), "-c", script]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        finally:
            dev.terminate()
    assert done.stdout == "arn:aws:iam::000000000000:root\n", done.stderr


def test_it_can_be_diagnosed(folder: Path) -> None:
    found = run("doctor", "--data", str(folder))
    assert found.stdout
    assert "was made by strongroom dev" not in found.stdout + found.stderr
