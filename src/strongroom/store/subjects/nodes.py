"""The nodes that share a database: those that serve it, and those that were lost with their disks."""

from collections.abc import Sequence
from typing import Protocol

from strongroom.node_id import NodeId
from strongroom.store.records import MemberRecord, RetiredNode


class NodeReader(Protocol):
    """Reads of nodes."""

    def members(self) -> Sequence[MemberRecord]:
        """Return the nodes that may serve the database; none where only one can."""
        ...

    def retired_node(self, node: NodeId) -> RetiredNode | None:
        """Return how a node was retired, None if it was not."""
        ...


class NodeWriter(Protocol):
    """Writes of nodes."""

    def retire_node(self, retired: RetiredNode) -> None:
        """Note that a node must not write. If that is noted already, only which writer states it is replaced."""
        ...

    def reinstate_node(self, node: NodeId) -> None:
        """Note that a node is not retired any more."""
        ...
