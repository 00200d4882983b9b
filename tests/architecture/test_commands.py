"""Every command has a form for programs, and says what its exit codes mean."""

import gc
import re
import sys
from pathlib import Path

import click
import pytest

from command_tree import commands
from strongroom.__main__ import _loaded
from strongroom.cli.main import main
from strongroom.cli.output import Question

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")

FOR_PEOPLE = {
    "serve": "it serves until it is stopped, and what it says is a log (`log-format`)",
    "xks-proxy serve": "the same",
    "completion": "what it prints is a script for a shell",
    "xks-proxy export": "what it prints is a JSON document already, in the form that the AWS console takes",
}
"""Commands without --json, with the reason."""


COMMANDS = dict(commands())


def test_all_commands_are_found() -> None:
    assert {"serve", "keys", "audit search", "backup", "backup verify", "xks-proxy key add"} <= set(COMMANDS)


def test_each_command_prints_json_where_it_is_asked_for() -> None:
    without = {
        name
        for name, command in COMMANDS.items()
        if not any(isinstance(each, click.Option) and "--json" in each.opts for each in command.params)
    }
    assert without == set(FOR_PEOPLE)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_and_option_is_explained(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for each in command.params:
        if isinstance(each, click.Option):
            assert each.help, each.opts


GROUPS = {" ".join(name.split()[:-1]) for name in COMMANDS}


@pytest.mark.parametrize("name", sorted(GROUPS | set(COMMANDS)))
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_each_command_shows_its_help_as_the_program_runs_it(
    name: str, option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["strongroom", *name.split(), option])
    run = _loaded()
    # Loading has excluded all that there is now from garbage collections.
    gc.unfreeze()
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"Usage: strongroom {name}".rstrip())


def test_the_help_of_a_group_has_whole_sentences() -> None:
    for group in (main, *(each for each in main.commands.values() if isinstance(each, click.Group))):
        with click.Context(group, info_name=group.name, terminal_width=60, max_content_width=60) as context:
            shown = group.get_help(context).partition("Commands:")[2]
        assert len(group.commands) == len(re.findall(r"^  [a-z-]+ +\S", shown, re.MULTILINE))
        assert "..." not in shown


def test_the_page_has_the_json_of_each_command() -> None:
    described = set(re.findall(r"^\| `strongroom ([a-z -]+)`", PAGE, re.MULTILINE))
    assert described == set(COMMANDS) - set(FOR_PEOPLE)


def test_the_page_has_the_exit_codes_of_each_question() -> None:
    section = PAGE.partition("## Exit codes")[2].partition("\n## ")[0]
    asked = {name for name, command in COMMANDS.items() if isinstance(command, Question)} | {"doctor"}
    rows = re.findall(r"^\| (`.*?`) \| ", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z -]+)`", row)} == asked


def test_the_help_of_a_question_has_its_exit_codes() -> None:
    for name, command in COMMANDS.items():
        if isinstance(command, Question):
            for code in ("with 1", "with 2"):
                assert code in " ".join((command.help or "").split()), name
