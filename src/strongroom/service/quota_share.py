"""The part of the request quotas that a node may use, where several serve one database.

Each node counts by itself, because a look at the others would cost a round trip a call. So a quota is divided by the
worker processes that live. The parts follow when a node joins or leaves, within one interval of the keeper.
"""

from collections.abc import Sequence

from strongroom.errors import KmsError
from strongroom.node_id import NodeId
from strongroom.service.request_quotas import RequestQuotas
from strongroom.store.protocol import Readable
from strongroom.store.records import MemberRecord


def share_of(node: NodeId, members: Sequence[MemberRecord]) -> float:
    """Return the part of a node: 1 if it is alone. One that is about to join counts as if it had one worker."""
    living = {each.node: max(1, each.workers) for each in members if each.is_alive or each.node == node}
    own = living.setdefault(node, 1)
    return own / sum(living.values())


class QuotaShare:
    """Keeps the share of a node's quotas current, if it has any. The other workers of the node do the same."""

    def __init__(self, quotas: RequestQuotas | None, store: Readable, node: NodeId) -> None:
        self._quotas = quotas
        self._store = store
        self._node = node

    def refresh(self) -> None:
        """Look who lives. If the database does not answer, the share stays as it is; the store has said why."""
        if self._quotas is None:
            return
        try:
            with self._store.read() as reader:
                members = reader.members()
        except KmsError:
            return
        self._quotas.share = share_of(self._node, members)
