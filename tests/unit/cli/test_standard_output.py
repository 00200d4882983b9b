"""A command whose output cannot be written says so in one line, and never with the exit code of an answer."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from strongroom.cli.data_folder import readable_errors

FULL = "Error: standard output cannot be written: No space left on device\n"
COMMANDS = [("config check", 2), ("doctor --quick", 3), ("config show", 1), ("completion bash", 1)]
"""A question, the one with codes of its own, and two others; none needs a deployment."""


def run(folder: Path, command: str, output: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "strongroom", *command.split()],
        cwd=folder,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@contextmanager
def full_disk() -> Iterator[int]:
    with Path("/dev/full").open("w") as full:
        yield full.fileno()


@contextmanager
def pipe_without_reader() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


@pytest.mark.parametrize(("command", "code"), COMMANDS)
@pytest.mark.parametrize("variables", [{"PYTHONUNBUFFERED": "1"}, {}])
def test_a_full_disk_is_no_answer(
    tmp_path: Path, command: str, code: int, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with full_disk() as output:
        done = run(tmp_path, command, output)
    assert done.stderr.endswith(FULL)
    assert "Traceback" not in done.stderr
    assert done.returncode == code


@pytest.mark.parametrize(("command", "code"), COMMANDS)
def test_a_reader_that_has_ended_is_no_answer_and_no_message(tmp_path: Path, command: str, code: int) -> None:
    with pipe_without_reader() as output:
        done = run(tmp_path, command, output)
    assert "Error" not in done.stderr
    assert done.returncode == code


def test_an_error_of_the_data_folder_is_not_one_of_the_output() -> None:
    @click.command()
    def read() -> None:
        with readable_errors():
            Path("/nowhere/database").read_bytes()

    done = CliRunner().invoke(read)
    assert done.exit_code == 1
    assert "standard output" not in done.output
    assert "/nowhere/database" in done.output
