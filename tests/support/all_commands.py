"""All commands of ``strongroom``, by their names as they are typed."""

from collections.abc import Iterator

import click

from strongroom.cli.main import main


def _commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        typed = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from _commands(command, typed)
            if command.invoke_without_command:
                yield typed, command
        else:
            yield typed, command


COMMANDS = dict(_commands(main))
"""All commands that do something."""
