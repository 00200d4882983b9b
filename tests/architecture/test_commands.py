"""Every command has a form for programs, and says what its exit codes mean."""

import gc
import re
import sys
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from command_tree import commands
from strongroom.__main__ import _loaded
from strongroom.cli.main import main
from strongroom.cli.output import Question
from strongroom.settings import Settings
from strongroom.settings_sources import option_of

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
SOURCE = Path(__file__).parents[2] / "src" / "strongroom"

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


def options_of(name: str) -> dict[str, list[str]]:
    """Return the options of a command by the names of their values."""
    return {str(each.name): each.opts for each in COMMANDS[name].params if isinstance(each, click.Option)}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_messages_about_settings_name_the_options_of_a_command(name: str) -> None:
    fields = {each.name for each in msgspec.structs.fields(Settings)}
    for field, names in options_of(name).items():
        if field in fields:
            assert option_of(field) in names


@pytest.mark.parametrize("name", ["serve", "config show", "config check", "xks-proxy serve"])
def test_rules_of_settings_name_options_that_there_are(name: str) -> None:
    """What takes the options of a server says with them how to set things right."""
    there = {option for names in options_of(name).values() for option in names}
    for path in (SOURCE / "settings_rules.py", SOURCE / "settings_paths.py", SOURCE / "settings_values.py"):
        assert set(re.findall(r"--[a-z][a-z-]+", path.read_text(encoding="utf-8"))) <= there


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("migrate", "--from", "data", "--to", "mysql://h/d"), "--to"),
        (("migrate", "--from", "mysql://h/d", "--to", "data"), "--from"),
        (("migrate", "--from", "~/data", "--to", "postgresql://h/d"), "--from"),
        (("xks-proxy", "serve", "--listen", "here"), "--listen"),
        (("database", "migrate", "--store", "mysql://h/d"), "--store"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_with_its_option(arguments: tuple[str, ...], option: str) -> None:
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 1
    assert f"Error: {option} is not valid: " in refused.stderr


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
