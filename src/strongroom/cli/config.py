"""``strongroom config check`` and ``strongroom config show``: the settings, where they come from, what is wrong."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from strongroom.assembly.settings_files import unusable_files
from strongroom.cli.data_folder import readable_errors
from strongroom.cli.groups import Group
from strongroom.cli.options import config_option, data_option, find_settings, serve_options
from strongroom.cli.output import Question, json_option, printable, show_json, table, terminal_width, with_nulls
from strongroom.settings_rules import Mistake
from strongroom.settings_sources import FoundSettings, SourceKind
from strongroom.settings_values import FIELDS, meant, without_secrets

_HEADER = ("SETTING", "VALUE", "FROM")
_WIDEST = 80
"""The widest column where there is no terminal: few values are longer."""


@click.group(cls=Group)
def config() -> None:
    """Show the settings and where each comes from, or check them without starting a server.

    Both take the options of `strongroom serve`, and read the same file and the same variables.
    """


@config.command("show")
@click.argument("names", metavar="[SETTING]...", nargs=-1)
@click.option("--changed", is_flag=True, help="Only settings that do not have their default.")
@json_option
@config_option
@data_option
@serve_options
def show(
    *,
    names: tuple[str, ...],
    changed: bool,
    as_json: bool,
    config: Path | None,
    regions: tuple[str, ...],
    **flags: object,
) -> None:
    """Show each SETTING, or all: its value and where that comes from.

    That is the default, a line of the settings file, a variable or an option. Passwords in addresses are hidden; files
    with secrets are named and not read. A setting that cannot be used is shown with its default, and a line on standard
    error says what is wrong.
    """
    for name in names:
        if name not in FIELDS:
            raise click.BadParameter(f"there is no setting `{name}`{meant(name, FIELDS)}", param_hint="SETTING")
    with readable_errors():
        found = find_settings(config, **flags, regions=regions or None)
    for each in found.mistakes:
        click.echo(f"Warning: {printable(each.text)}", err=True)
    shown = [each for each in names or FIELDS if not changed or found.sources[each].kind is not SourceKind.DEFAULT]
    if as_json:
        show_json({name: _described(found, name) for name in shown})
        return
    rows = [(name, _text(_value(found, name)), found.sources[name].text) for name in shown]
    widths = [max(len(row[number]) for row in (_HEADER, *rows)) for number in range(2)]
    for line in table(_HEADER, [min(each, _WIDEST) for each in widths], rows, terminal_width()):
        click.echo(line)


@config.command("check", cls=Question)
@json_option
@config_option
@data_option
@serve_options
def check(*, as_json: bool, config: Path | None, regions: tuple[str, ...], **flags: object) -> None:
    """Tell everything that is wrong with the settings and the files that they name. Exits with 1 if anything is.

    It changes nothing, and needs no data folder. Variables that have no effect are told too, and are no fault. Exits
    with 2 if the settings file cannot be read. `strongroom doctor` checks a whole deployment.
    """
    with readable_errors():
        found = find_settings(config, **flags, regions=regions or None)
        mistakes = [*found.mistakes, *_in_files(found)]
    if as_json:
        show_json({"mistakes": [with_nulls(each, "setting") for each in mistakes], "notes": found.notes})
    else:
        for line in _lines(found, mistakes):
            click.echo(printable(line))
    if mistakes:
        raise SystemExit(1)


def _in_files(found: FoundSettings) -> Iterator[Mistake]:
    """Yield what is wrong with files of settings that are not wrong themselves."""
    wrong = {each.setting for each in found.mistakes}
    yield from (each for each in unusable_files(found.settings) if each.setting not in wrong)


def _lines(found: FoundSettings, mistakes: list[Mistake]) -> Iterator[str]:
    for each in mistakes:
        yield f"wrong: {each.text}"
    for note in found.notes:
        yield f"note: {note}"
    if mistakes:
        yield f"The settings cannot be used: {len(mistakes)} {'mistake' if len(mistakes) == 1 else 'mistakes'}."
    else:
        given = sum(each.kind is not SourceKind.DEFAULT for each in found.sources.values())
        yield f"The settings can be used. {given} of {len(found.sources)} do not have their default."


def _described(found: FoundSettings, name: str) -> dict[str, object]:
    source = found.sources[name]
    return {"value": _value(found, name), "source": source.kind, "named": source.named or None, "line": source.line}


def _value(found: FoundSettings, name: str) -> object:
    return without_secrets(msgspec.to_builtins(msgspec.structs.asdict(found.settings)[FIELDS[name].name]))


def _text(value: object) -> str:
    """Return a value as a table has it; TOML has no value for none."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
