"""Finds the nodes that share a database, and tells how each of them does."""

from collections.abc import Callable, Sequence
from contextlib import closing
from enum import StrEnum

import msgspec

from strongroom.assembly.databases.chosen import database_of
from strongroom.assembly.node import read_node_id
from strongroom.audit.writer_id import parse_writer
from strongroom.clock import Clock
from strongroom.entropy import Entropy
from strongroom.node_id import NodeId
from strongroom.settings import Settings
from strongroom.store.protocol import Reader
from strongroom.store.records import MemberRecord

_AGAIN = 0.5
"""Seconds between two looks at the acknowledgements: each takes a moment."""


class NodeState(StrEnum):
    """How a node does."""

    SERVING = "serving"
    LATE = "late"
    """It has missed renewals of its lease, which runs; or it does not acknowledge changes."""
    GONE = "gone"
    """Its lease has ended, and it has not stopped: it is dead, or does not reach the database."""


class NodeStatus(msgspec.Struct, frozen=True):
    """A node. What is not known of one that is gone is None. Durations are in seconds."""

    node: NodeId
    state: NodeState
    is_this: bool
    release: str | None = None
    listen: str | None = None
    regions: Sequence[str] | None = None
    workers: int | None = None
    lease: float | None = None
    joined: float | None = None
    """How long ago it has joined the others."""
    renewed: float | None = None
    """How long ago it has renewed its lease."""
    behind: int | None = None
    """How many changes it has not acknowledged."""


def node_statuses(
    settings: Settings, clock: Clock, entropy: Entropy, pause: Callable[[float], None]
) -> list[NodeStatus] | None:
    """Return the nodes of a database, None if it is one that a single node has to itself. ``pause`` waits for seconds.

    Raises SettingsError, DataFolderError, and KmsError if the database cannot be read.
    """
    database = database_of(settings, clock, entropy)
    if not database.is_shared:
        return None
    this = read_node_id(database.folder)
    with closing(database.open_to_read()) as store:
        with store.read() as reader:
            members = reader.members()
            gone = _others_at_work(reader, members)
        if any(each.behind for each in members):
            pause(_AGAIN)
            with store.read() as reader:
                members = still_behind(members, reader.members())
    return [
        *(_status(each, this) for each in members),
        *(NodeStatus(each, NodeState.GONE, each == this) for each in gone),
    ]


def still_behind(before: Sequence[MemberRecord], after: Sequence[MemberRecord]) -> list[MemberRecord]:
    """Return the members as they are, but behind by those changes only that the first look found, too.

    There are always newer ones while calls change things.
    """
    newest = {each.node: each.acked + each.behind for each in before}
    return [
        msgspec.structs.replace(each, behind=max(0, newest.get(each.node, each.acked) - each.acked)) for each in after
    ]


def _others_at_work(reader: Reader, members: Sequence[MemberRecord]) -> list[NodeId]:
    """Return the nodes that have not ended their audit chains, and are no members any more: others went on without."""
    found = set()
    for record in reader.audit_writer_records():
        writer = parse_writer(record.writer)
        is_worker = writer is not None and writer.worker is not None and not writer.xks
        if is_worker and record.node is not None and not record.known.stopped:
            found.add(record.node)
    return sorted(each for each in found - {member.node for member in members} if reader.retired_node(each) is None)


def _status(member: MemberRecord, this: NodeId | None) -> NodeStatus:
    state = NodeState.SERVING
    if not member.is_alive:
        state = NodeState.GONE
    elif member.renewed > member.lease / 2 or member.behind:
        state = NodeState.LATE
    return NodeStatus(
        member.node,
        state,
        is_this=member.node == this,
        release=member.release,
        listen=member.listen,
        regions=member.regions,
        workers=member.workers,
        lease=member.lease,
        joined=round(member.joined, 3),
        renewed=round(member.renewed, 3),
        behind=member.behind,
    )
