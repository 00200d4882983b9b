"""The command line: ``strongroom`` and its subcommands, one module each.

``main`` is the group of commands, ``options`` the settings that they share. ``data_folder`` reports errors of an
operator in one line, and ``audit_output`` formats what ``strongroom audit`` prints.
"""

from strongroom.cli.main import main

__all__ = ["main"]
