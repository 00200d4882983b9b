"""The command line: ``strongroom`` and its subcommands, one module each.

``main`` is the group of commands, ``options`` the settings that they share, ``times`` and ``progress`` their times and
progress bars. ``output`` has tables, JSON and exit codes. ``data_folder`` reports errors of an operator in one line.
``audit_output`` formats what ``strongroom audit`` prints, and ``backup_options`` has what ``backup`` and ``restore``
share. ``worker`` is what the supervisor runs, and ``reload`` reads settings anew while a server runs.
"""

from strongroom.cli.main import main

__all__ = ["main"]
