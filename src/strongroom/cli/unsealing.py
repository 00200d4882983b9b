"""How commands get the passphrase of a seal: from the file that the settings name, or from a person at a terminal."""

import sys

import click

from strongroom.assembly.unsealing import Unsealing
from strongroom.entropy import system_entropy
from strongroom.settings import Settings


def unsealing_of(settings: Settings) -> Unsealing:
    """Return what opens the seals of a data folder for a command."""
    return Unsealing(settings, system_entropy, _ask if sys.stdin.isatty() else None)


def _ask(name: str) -> str:
    """Ask for the passphrase of a seal. What is typed is not shown."""
    found: str = click.prompt(f"Passphrase of the seal {name!a}", hide_input=True, err=True)
    return found
