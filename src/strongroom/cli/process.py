"""Runs a process that the supervisor has started: ``python -m strongroom.cli.process MODULE``.

The module, one of this package, is named so that ``ps`` shows which process is which.
"""

# Each process imports only what it needs, and that without garbage collections.
# ruff: noqa: PLC0415

import sys
from typing import TYPE_CHECKING

from strongroom.cli.loading import without_garbage_collection

if TYPE_CHECKING:
    import click


def _loaded(module: str) -> "click.Command":
    """Load a module and return its command; raises ValueError for one that the supervisor does not start."""
    match module:
        case "strongroom.cli.worker":
            from strongroom.cli.worker import worker as command
        case "strongroom.cli.agent":
            from strongroom.cli.agent import agent as command
        case "strongroom.cli.audit_shipper":
            from strongroom.cli.audit_shipper import audit_shipper as command
        case "strongroom.cli.event_sender":
            from strongroom.cli.event_sender import event_sender as command
        case _:
            raise ValueError(f"{module} is no process of a server")
    return command


if __name__ == "__main__":
    with without_garbage_collection():
        run = _loaded(sys.argv[1])
    run([])
