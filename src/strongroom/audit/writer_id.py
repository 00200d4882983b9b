"""Names of audit writers: each worker process of each node writes a separate chain, and so do its commands. Pure."""

import re

import msgspec

from strongroom.node_id import NodeId, parse_node_id

LONGEST_WRITER = 16
"""The maximum length of a writer's name: the node, ``w`` or ``x``, and up to three digits."""

COMMANDS = "cli"
"""What the writer of a node's commands has in place of the name of a worker."""

_XKS = "x"
_WORKER = "w"
_NAME = re.compile(rf"([0-9a-f]*)(?:([{_WORKER}{_XKS}])(0|[1-9][0-9]{{0,2}})|{COMMANDS})")


class WriterId(msgspec.Struct, frozen=True):
    """A worker of a node, or its commands together, whose ``worker`` is None.

    ``node`` is None for chains of releases in which nodes had no identity. ``xks`` tells that the worker is one of the
    node's XKS proxy, a process beside the server.
    """

    node: NodeId | None
    worker: int | None
    xks: bool = False

    @property
    def name(self) -> str:
        """The writer's name in lines, file names and the database: ``a1b2c3d4e5f6w0``, or ``w0`` without a node."""
        return f"{self.node or ''}{self.worker_name}"

    @property
    def worker_name(self) -> str:
        """The worker's name within its node, as in metrics and logs: ``w0``, ``x0``; ``cli`` for the commands."""
        return COMMANDS if self.worker is None else worker_name(self.worker, xks=self.xks)

    def is_of(self, node: NodeId | None) -> bool:
        """Tell whether the chain may be in a node's audit folder: it is the node's, or from before nodes had ids."""
        return self.node is None or self.node == node


def worker_name(worker: int | None, *, xks: bool = False) -> str:
    """Return the name of a worker within its node. A server without workers (None) is ``w0``; ``xks``: a proxy."""
    return f"{_XKS if xks else _WORKER}{worker or 0}"


def parse_writer(name: str) -> WriterId | None:
    """Return the worker (or the commands) and the node in a writer's name, None for any other name."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    node = parse_node_id(found[1])
    worker, xks = None if found[3] is None else int(found[3]), found[2] == _XKS
    if node is None and (found[1] or worker is None or xks):
        return None
    return WriterId(node, worker, xks)
