"""Names of audit writers: each worker process of each node writes a separate chain, and so do its commands. Pure."""

import re

import msgspec

from strongroom.node_id import NodeId, parse_node_id

LONGEST_WRITER = 16
"""The maximum length of a writer's name: the node, ``w``, and up to three digits."""

COMMANDS = "cli"
"""What the writer of a node's commands has in place of the name of a worker."""

_NAME = re.compile(rf"([0-9a-f]*)(?:w(0|[1-9][0-9]{{0,2}})|{COMMANDS})")


class WriterId(msgspec.Struct, frozen=True):
    """A worker of a node, or its commands together, whose ``worker`` is None.

    ``node`` is None for chains of releases in which nodes had no identity.
    """

    node: NodeId | None
    worker: int | None

    @property
    def name(self) -> str:
        """The writer's name in lines, file names and the database: ``a1b2c3d4e5f6w0``, or ``w0`` without a node."""
        return f"{self.node or ''}{self.worker_name}"

    @property
    def worker_name(self) -> str:
        """The worker's name within its node, as in metrics and logs: ``w0``; ``cli`` for the commands."""
        return COMMANDS if self.worker is None else worker_name(self.worker)

    def is_of(self, node: NodeId | None) -> bool:
        """Tell whether the chain may be in a node's audit folder: it is the node's, or from before nodes had ids."""
        return self.node is None or self.node == node


def worker_name(worker: int | None) -> str:
    """Return the name of a worker within its node. A server without workers (None) is ``w0``."""
    return f"w{worker or 0}"


def parse_writer(name: str) -> WriterId | None:
    """Return the worker (or the commands) and the node in a writer's name, None for any other name."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    node = parse_node_id(found[1])
    worker = None if found[2] is None else int(found[2])
    if node is None and (found[1] or worker is None):
        return None
    return WriterId(node, worker)
