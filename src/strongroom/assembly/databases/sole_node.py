"""Makes sure that no other process serves as this node, because its data folder was copied."""

import time
from collections.abc import Callable

from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.clock import Clock
from strongroom.node_id import NodeId
from strongroom.store.leases.bounds import over_everywhere
from strongroom.store.leases.page import PageFile, PageWriter
from strongroom.store.leases.requests import FindMember, Member
from strongroom.store.postgresql.member_connection import MemberConnection

_LOOK = 0.1
"""The time between two looks at the other process, seconds."""


def require_sole_node(
    folder: DataFolder,
    node: NodeId,
    connection: MemberConnection,
    clock: Clock,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Refuse to start while another process renews the lease of this node; raises DataFolderError.

    The folder must be locked. A row whose leases were on this folder's page is of an earlier start. Any other one is
    watched until its lease has ended, and is then removed.
    """
    found = _member(connection, node)
    if found is None or found.incarnation == _own_incarnation(folder, clock):
        return
    deadline = clock.uptime() + over_everywhere(found.lease)
    while clock.uptime() < deadline:
        pause(_LOOK)
        now = _member(connection, node)
        if now is None:
            return
        if now != found:
            raise DataFolderError(
                f"another server serves as node {node}, from a copy of `{folder.path}`: stop it, or make this folder a "
                "new node by moving `node-id` and `audit` away"
            )
    connection.remove(found)


def _member(connection: MemberConnection, node: NodeId) -> Member | None:
    reply = connection.perform(FindMember(node))
    return reply if isinstance(reply, Member) else None


def _own_incarnation(folder: DataFolder, clock: Clock) -> bytes | None:
    """Return the incarnation of the last agent of this folder, under this start of the machine; None if it had none."""
    if not folder.generation.exists():
        return None
    try:
        file = PageFile(folder.generation, clock.boot(), writing=True)
    except BlockingIOError:
        # An agent that is about to end, which is of this folder.
        return None
    try:
        return PageWriter(file.memory, file.place).incarnation
    finally:
        file.close()
