"""The command line: ``strongroom`` and its subcommands."""

from strongroom.cli.main import main

__all__ = ["main"]
