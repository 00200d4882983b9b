"""The commands of ``strongroom``, with their names as they are typed."""

from collections.abc import Iterator

import click

from strongroom.cli.main import main


def commands(group: click.Group = main, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield all commands that do something, with their names as they are typed."""
    for name, command in group.commands.items():
        typed = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, typed)
            if command.invoke_without_command:
                yield typed, command
        else:
            yield typed, command
