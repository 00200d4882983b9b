"""The nodes that share a database, in SQL."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, select

from strongroom.node_id import NodeId
from strongroom.store.records import MemberRecord, RetiredNode
from strongroom.store.sql.schema import retired_node
from strongroom.store.sql.statements import of, upsert, where

_RETIRED = select(retired_node).where(where(retired_node, "node"))
_RETIRE = upsert(retired_node, "node", kept=("retired_at",))
_REINSTATE = delete(retired_node).where(where(retired_node, "node"))


class NodeReads:
    """Reads of nodes. See ``subjects.nodes``."""

    _connection: Connection

    def members(self) -> Sequence[MemberRecord]:
        """Return the nodes that may serve the database: none, because only one can."""
        return ()

    def retired_node(self, node: NodeId) -> RetiredNode | None:
        """Return how a node was retired, None if it was not."""
        row = self._connection.execute(_RETIRED, of(node=node)).one_or_none()
        return None if row is None else RetiredNode(NodeId(row.node), row.retired_at, row.stated_by)


class NodeWrites(NodeReads):
    """Writes of nodes. They have no entry in the change log: no cache holds any of this."""

    def retire_node(self, retired: RetiredNode) -> None:
        """Note that a node must not write. If that is noted already, only which writer states it is replaced."""
        self._connection.execute(_RETIRE, msgspec.structs.asdict(retired))

    def reinstate_node(self, node: NodeId) -> None:
        """Note that a node is not retired any more."""
        self._connection.execute(_REINSTATE, of(node=node))
