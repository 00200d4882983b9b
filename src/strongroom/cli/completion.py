"""``strongroom completion``: what has a shell complete commands and options."""

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

_SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "fish": FishComplete, "zsh": ZshComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print a script that has SHELL complete the commands and options of strongroom.

    \b
    bash (4.4 or newer), in ~/.bashrc:  eval "$(strongroom completion bash)"
    zsh, in ~/.zshrc after compinit:    eval "$(strongroom completion zsh)"
    fish, once:  strongroom completion fish > ~/.config/fish/completions/strongroom.fish
    """
    click.echo(_SHELLS[shell](context.find_root().command, {}, "strongroom", "_STRONGROOM_COMPLETE").source())
