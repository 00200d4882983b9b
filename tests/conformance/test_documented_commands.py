"""Every command of the documents is run as it is written, in a fresh clone, by a newcomer.

The clone has the files that git knows; the home folder is empty, and the environment has nothing of AWS. What cannot be
run is in ``LEFT_OUT``, with the reason; a block that is neither run nor there fails.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from strongroom.cli import main

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "RELEASING.md",
    "SECURITY.md",
    *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")),
)
DECISIONS = tuple(f"docs/adr/{path.name}" for path in ROOT.glob("docs/adr/*.md"))

PATIENCE = 150
"""Seconds for the commands of a page."""

LOAD = "loads the machine for minutes"
SUITE = "runs this test, or much of the suite it belongs to"
CHANGE = "a step of a change that the reader makes to the source"
RELEASE = "makes a release: it needs the keys of the maintainer"
PLACEHOLDERS = "a synopsis; its commands and options are compared with the command line below"
LOADED = "settings; tests/architecture/test_documents.py loads them"

LEFT_OUT = {
    ("README.md", "make test"): SUITE,
    ("README.md", "strongroom serve [--data DIR]"): PLACEHOLDERS,
    ("README.md", "strongroom account create ID"): PLACEHOLDERS,
    ("README.md", "strongroom audit verify [--public-key FILE]"): PLACEHOLDERS,
    ("CONTRIBUTING.md", ".venv/bin/python -m pytest tests/unit tests/contract -k grant"): SUITE,
    ("CONTRIBUTING.md", '"""GetContextKeysForCustomPolicy'): CHANGE,
    ("CONTRIBUTING.md", "(\n"): CHANGE,
    ("CONTRIBUTING.md", ".venv/bin/python -m pytest -q"): CHANGE,
    ("CONTRIBUTING.md", '"GetContextKeysForCustomPolicy"'): CHANGE,
    ("CONTRIBUTING.md", "def test_the_condition_keys"): CHANGE,
    ("CONTRIBUTING.md", '"aws:'): CHANGE,
    ("RELEASING.md", ".ci/run"): SUITE,
    ("RELEASING.md", "tools/venv dev"): RELEASE,
    ("RELEASING.md", "python3 -m venv /tmp/wheel"): RELEASE,
    ("RELEASING.md", "(cd dist &&"): RELEASE,
    ("docs/performance.md", "make bench"): LOAD,
    ("docs/identities.md", "[[identity-provider"): LOADED,
    ("docs/identities.md", "trusted-proxies ="): LOADED,
    ("docs/settings.md", "[[request-quotas]]"): LOADED,
}
"""Blocks, and commands in blocks, that are not run, by the page and their beginning."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    language: str
    text: str


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [Block(page, language, textwrap.dedent(body)) for _, language, body in found]


def is_left_out(page: str, text: str) -> bool:
    return any(page == entry and text.startswith(start) for entry, start in LEFT_OUT)


def commands_of(block: Block) -> str:
    """Return a block as shell commands, without those that are left out; empty for one that is not run.

    With its first command, all of a block is left out.
    """
    if block.language not in {"python", "sh"} or is_left_out(block.page, block.text):
        return ""
    if block.language == "python":
        return f"python - <<'END'\n{block.text}END\n"
    lines = block.text.replace("\\\n", " ").splitlines()
    return "".join(f"{line}\n" for line in lines if not is_left_out(block.page, line))


class Clone:
    """A fresh clone, and the shells that a newcomer opens in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "strongroom"
        tracked = subprocess.run(
            ["/usr/bin/git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
        )
        for name in filter(None, tracked.stdout.decode().split("\0")):
            if (ROOT / name).exists():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        self._take_environment()
        (folder / "home").mkdir()
        # The port of the README may be taken by another test.
        self.environment = {
            "HOME": str(folder / "home"),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "STRONGROOM_LISTEN": "127.0.0.1:0",
        }

    def _take_environment(self) -> None:
        """Take the virtual environment of these tests, which `tools/venv` then finds ready."""
        used = Path(sys.prefix)
        stamp = used / ".strongroom-dev"
        assert stamp.is_file(), "run the tests in the environment that tools/venv dev makes"
        assert stamp.read_bytes() == (ROOT / "requirements/dev.txt").read_bytes(), "tools/venv dev first"
        (self.folder / ".venv").symlink_to(used)

    def run(self, script: str) -> str:
        """Run a script that must succeed and say nothing on standard error; return its output."""
        with subprocess.Popen(
            ["/bin/sh", "-eu", "-c", script],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                printed, complaints = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                # Not the shell alone, but all that it has started.
                os.killpg(process.pid, signal.SIGKILL)
                raise
        assert (process.returncode, complaints) == (0, ""), f"{script}\n{printed}"
        return printed


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("newcomer"))


@pytest.fixture(scope="module")
def served(clone: Clone) -> Iterator[Clone]:
    """The clone while ``make serve`` runs in another shell."""
    with (
        (clone.folder.parent / "log").open("w") as log,
        subprocess.Popen(
            ["/usr/bin/make", "serve"],
            env=clone.environment,
            cwd=clone.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        assert any(line.startswith(". ") for line in process.stdout)
        yield clone
        os.killpg(process.pid, signal.SIGINT)
        assert "Strongroom has stopped.\n" in process.stdout.readlines()
    assert "Traceback" not in (clone.folder.parent / "log").read_text()


def script_of(page: str, *, without: str = "") -> str:
    return "".join(commands_of(block) for block in blocks_of(page) if block.text != without)


@pytest.mark.timeout(180)
def test_the_readme(served: Clone) -> None:
    assert Block("README.md", "sh", "make serve\n") in blocks_of("README.md")
    printed = served.run(script_of("README.md", without="make serve\n"))
    assert "The log is whole." in printed
    assert "b'hello'\n" in printed
    assert "a secret\n" in printed


@pytest.mark.timeout(180)
def test_the_page_on_identities(served: Clone) -> None:
    printed = served.run(". strongroom-data/env.sh\n" + script_of("docs/identities.md"))
    assert "because     arn:aws:iam::000000000000:user/ann inline policy decrypt-payroll" in printed


@pytest.mark.timeout(180)
def test_the_other_pages(clone: Clone) -> None:
    for page in PAGES:
        if page not in {"README.md", "docs/identities.md"} and (script := script_of(page)):
            clone.run(script)


def test_every_block_is_run_or_left_out_for_a_reason() -> None:
    blocks = [block for page in (*PAGES, *DECISIONS) for block in blocks_of(page)]
    assert [block for block in blocks if not commands_of(block) and not is_left_out(block.page, block.text)] == []
    assert [block for block in blocks if commands_of(block) and block.page in DECISIONS] == []


def test_nothing_is_left_out_that_is_no_longer_there() -> None:
    for page, start in LEFT_OUT:
        lines = [line for block in blocks_of(page) for line in (block.text, *block.text.splitlines())]
        assert any(line.startswith(start) for line in lines), (page, start)


def named_commands() -> set[str]:
    """Return the commands of ``strongroom`` that the documents name, in blocks or in the text."""
    found = set()
    for page in (*PAGES, *DECISIONS):
        text = (ROOT / page).read_text(encoding="utf-8")
        found |= set(re.findall(r"`strongroom ([^`]+)`", text))
        for block in blocks_of(page):
            # What follows on an indented line belongs to the command.
            found |= set(re.findall(r"^strongroom (.*)$", re.sub(r"\n +", " ", block.text), re.MULTILINE))
    return {" ".join(command.partition("#")[0].split()) for command in found}


@pytest.mark.parametrize("line", sorted(named_commands()))
def test_the_command_and_its_options_exist(line: str) -> None:
    command: click.Command = main
    for word in line.split():
        if not isinstance(command, click.Group):
            break
        if word in command.commands:
            command = command.commands[word]
    assert command is not main or line.startswith("-"), line
    known = {name for parameter in command.params for name in parameter.opts} | {"--help", "--version"}
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", line)) <= known


def test_the_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for page in (*PAGES, *DECISIONS)
        for name in re.findall(r"(?:`|^ *)make ([a-z-]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"demo", "serve", "test"} <= named <= targets
