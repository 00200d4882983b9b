"""Prints the manual page strongroom(1), made of the help of every command.

``man_page.py`` prints it. It is kept in ``deploy/man`` and goes into the wheel from there, so that building a wheel
needs none of our dependencies; ``make man`` writes it again, and a test compares it with the commands.
"""

import inspect
import re
import sys
from collections.abc import Iterator

import click

from strongroom import __version__
from strongroom.cli.main import main as root

_NAME = "strongroom"
_ENVIRONMENT = """
Every setting is also a variable: `listen` is `STRONGROOM_LISTEN`. Variables override the settings file, and options
override both.
"""
_FILES = {
    "strongroom.toml": "The settings, read from the folder that the command is run in, or from where `--config` says.",
    "strongroom-data": "The data folder, unless `data` names another one. It holds the database, the root key, the "
    "audit log and the access keys.",
}


def page() -> str:
    """Return the page as roff, in the macros of man(7). It has no date, so that it changes with the commands alone."""
    summary = (root.help or "").rstrip(".")
    return "\n".join(
        [
            f'.TH {_NAME.upper()} 1 "" "Strongroom {__version__}" "Strongroom"',
            '.\\" Made by tools/man_page.py from the help of the commands.',
            ".SH NAME",
            rf"{_NAME} \- {_text(summary[0].lower() + summary[1:])}",
            ".SH SYNOPSIS",
            rf".B {_NAME}",
            r"\fIcommand\fR [\fIoption\fR]... [\fIargument\fR]...",
            ".SH DESCRIPTION",
            *_paragraphs(root.help or ""),
            ".SH COMMANDS",
            *(line for path, command in _commands(root, (_NAME,)) for line in _section(path, command)),
            ".SH ENVIRONMENT",
            *_paragraphs(_ENVIRONMENT),
            ".SH FILES",
            *(line for name, text in _FILES.items() for line in (".TP", rf"\fB{_text(name)}\fR", _inline(text))),
            ".SH SEE ALSO",
            r"The documents that are named here, such as \fIdocs/commands.md\fR, are in \fIshare/doc/strongroom\fR",
            "of the environment that has the program.",
            "",
        ]
    )


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something, with its path; groups only where they can be run by themselves."""
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


def _section(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    context = _context(path, command)
    arguments = [piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    yield f".SS {_text(' '.join([*path[1:], *arguments]))}"
    yield from _paragraphs(command.help or "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        # Arguments are in the heading and in the text.
        if record is not None and isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            yield ".TP"
            yield rf"\fB{_text(record[0])}\fR"
            yield _inline(record[1])


def _context(path: tuple[str, ...], command: click.Command) -> click.Context:
    parent: click.Context | None = None
    for name in path[:-1]:
        parent = click.Context(root, info_name=name, parent=parent)
    return click.Context(command, info_name=path[-1], parent=parent)


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; click keeps the lines of one that begins with a line ``\\b``."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text).strip()):
        lines = paragraph.splitlines()
        if lines[0] == "\b":
            yield from (".PP", ".nf", *map(_text, lines[1:]), ".fi")
        else:
            yield from (".PP", _inline(" ".join(line.strip() for line in lines)))


def _inline(text: str) -> str:
    """Return a line of text with what is between backticks in bold."""
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fR", _text(text))


def _text(text: str) -> str:
    """Return text as roff: no character in it is a request or an escape, and no hyphen becomes a dash."""
    escaped = (
        text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("^", r"\(ha").replace("~", r"\(ti")
    )
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    sys.stdout.write(page())
