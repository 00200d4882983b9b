"""Runs a process that the supervisor has started: ``python -m strongroom.cli.process MODULE``.

The module has a command of its own name. The supervisor names it, so that ``ps`` shows which process is which.
"""

import sys
from importlib import import_module

from strongroom.cli.loading import without_garbage_collection

if __name__ == "__main__":
    name = sys.argv[1]
    with without_garbage_collection():
        module = import_module(name)
    getattr(module, name.rpartition(".")[2])([])
