"""Names of audit writers: each worker process of each node writes a separate chain. Pure."""

import re

import msgspec

from strongroom.node_id import NodeId, parse_node_id

LONGEST_WRITER = 16
"""The maximum length of a writer's name: the node, ``w``, and up to three digits."""

_NAME = re.compile(r"([0-9a-f]*)w(0|[1-9][0-9]{0,2})")


class WriterId(msgspec.Struct, frozen=True):
    """A worker of a node. ``node`` is None for chains of releases in which nodes had no identity."""

    node: NodeId | None
    worker: int

    @property
    def name(self) -> str:
        """The writer's name in lines, file names and the database: ``a1b2c3d4e5f6w0``, or ``w0`` without a node."""
        return f"{self.node or ''}{self.worker_name}"

    @property
    def worker_name(self) -> str:
        """The worker's name within its node, as in metrics and logs: ``w0``."""
        return worker_name(self.worker)

    def is_of(self, node: NodeId | None) -> bool:
        """Tell whether the chain may be in a node's audit folder: it is the node's, or from before nodes had ids."""
        return self.node is None or self.node == node


def worker_name(worker: int | None) -> str:
    """Return the name of a worker within its node. A server without workers (None) is ``w0``."""
    return f"w{worker or 0}"


def parse_writer(name: str) -> WriterId | None:
    """Return the worker and the node in a writer's name, None for any other name."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    node = parse_node_id(found[1])
    return None if found[1] and node is None else WriterId(node, int(found[2]))
