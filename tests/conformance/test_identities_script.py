"""``demo/who-may-do-what.sh``, the story of identities told by the AWS CLI.

The story checks itself; here is that it does.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients import client_with, credentials_of
from local_server import RunningServer, running_server
from programs import put_unmeasured

SCRIPT = Path(__file__).parents[2] / "demo" / "who-may-do-what.sh"
INSTALLED = Path(sys.executable).parent


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of its own, because the story adds an account to it."""
    with running_server(tmp_path / "data", tmp_path / "log") as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Return a folder with the AWS CLI; tests replace it, or add to it."""
    folder = tmp_path / "commands"
    folder.mkdir()
    put_unmeasured(INSTALLED / "aws", folder)
    return folder


def run(server: RunningServer, command: list[str], commands: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(commands), str(INSTALLED), server.environment["PATH"]))
    data = str(Path(server.environment["AWS_SHARED_CREDENTIALS_FILE"]).parent)
    environment = server.environment | {"PATH": path, "STRONGROOM_DATA": data}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def command(folder: Path, name: str, body: str) -> None:
    """Replace a command by another."""
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def test_the_story_holds_and_leaves_nothing_in_iam(server: RunningServer, commands: Path) -> None:
    iam = client_with(server, "iam", credentials_of(server))
    told = run(server, [str(SCRIPT)], commands)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.count("\n  refused  User: ") == SCRIPT.read_text().count("\nrefused ") > 0
    assert iam.list_users()["Users"] == []
    assert iam.list_roles()["Roles"] == []


def test_the_story_fails_where_a_call_is_allowed_that_must_be_refused(server: RunningServer, commands: Path) -> None:
    command(commands, "strongroom", "exit 0")
    command(commands, "aws", "echo one two")
    told = run(server, [str(SCRIPT)], commands)
    assert told.returncode == 1
    assert told.stderr == "this call should have been refused\n"


def test_the_story_fails_where_a_call_is_refused_that_must_be_allowed(server: RunningServer, commands: Path) -> None:
    command(commands, "strongroom", "exit 0")
    command(commands, "aws", "echo 'An error occurred (AccessDenied)' >&2; exit 254")
    told = run(server, [str(SCRIPT)], commands)
    assert told.returncode == 254
    assert "Three users" not in told.stdout
