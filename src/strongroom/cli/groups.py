"""Groups of commands, whose help has a whole sentence about each command."""

import click
from typing_extensions import override

from strongroom.cli.standard_output import checked_output

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
"""Settings of what a shell runs: the group of all commands, which hands them on, and commands that are loaded alone."""


class Group(click.Group):
    """A group of commands. Its help wraps the first sentence of each, which click would cut at the end of a line."""

    group_class = type
    """Groups in it are of this class as well."""

    @override
    def invoke(self, ctx: click.Context) -> object:
        with checked_output():
            return super().invoke(ctx)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [(name, _sentence(each)) for name, each in commands.items() if each is not None and not each.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _sentence(command: click.Command) -> str:
    return command.get_short_help_str(limit=len(command.help or "") + 1)
