"""Statements in the audit log about nodes that were lost together with their disks. Pure.

A node's chains are on its own disk. What the database has of them, the last checkpoint of each, proves what is missing
once they are gone. An operator then retires the node: a command on another node states that in its own chain, signed.
From then on verification calls what is missing lost, not removed, as far as the statement goes.
"""

from collections.abc import Sequence

import msgspec

from strongroom.audit.operator_events import AUDIT_SOURCE, OperatorEvent
from strongroom.audit.writer_id import parse_writer
from strongroom.node_id import NodeId

RETIRED = "RetireAuditNode"
REINSTATED = "ReinstateAuditNode"


class LastLine(msgspec.Struct, frozen=True):
    """What was known of a chain when its node was retired: its last line that the database had a checkpoint of.

    ``sequence`` is 0, and ``time`` empty, if it had none. ``stopped`` tells whether nothing was written after it.
    """

    writer: str
    sequence: int
    time: str
    stopped: bool


class Retirement(msgspec.Struct, frozen=True):
    """The statement of a retirement."""

    node: NodeId
    chains: Sequence[LastLine]


class LostChain(msgspec.Struct, frozen=True):
    """A chain of a node that was retired at ``time``, as in records."""

    node: NodeId
    time: str
    last: LastLine

    def loses(self, sequence: int) -> bool:
        """Tell whether the statement covers that the line of this number is missing."""
        return sequence <= self.last.sequence

    def words(self, found: int) -> str:
        """Return what is lost of a chain of which the first ``found`` lines were found, in a sentence without its end.

        Empty if nothing is.
        """
        last, first = self.last, found + 1
        if first <= last.sequence:
            what = f"lines {first} to {last.sequence} of writer {last.writer}, up to {last.time}, are lost"
            more = "" if last.stopped else ", and those that it may have written after them"
        elif not last.stopped:
            what, more = f"what writer {last.writer} may have written after line {found} is lost", ""
        else:
            return ""
        return f"node {self.node} was retired at {self.time}: {what}{more}"


def retire_event(retirement: Retirement) -> OperatorEvent:
    """Return the event of the statement that a node is retired."""
    details = {"node": retirement.node, "chains": retirement.chains}
    return OperatorEvent(name=RETIRED, command="audit retire", source=AUDIT_SOURCE, details=details)


class Reinstatement(msgspec.Struct, frozen=True):
    """The statement that a retirement was a mistake."""

    node: NodeId


def reinstate_event(node: NodeId) -> OperatorEvent:
    """Return the event of the statement that a node is not retired any more."""
    return OperatorEvent(name=REINSTATED, command="audit retire", source=AUDIT_SOURCE, details={"node": node})


def may_retire(speaker: str, retirement: Retirement) -> bool:
    """Tell whether a chain may state a retirement: that of another node's commands, about chains of that node.

    Chains from before nodes had ids belong to the node that has claimed them.
    """
    commands = parse_writer(speaker)
    if commands is None or commands.worker is not None or commands.node == retirement.node:
        return False
    return all(
        (writer := parse_writer(each.writer)) is not None and writer.is_of(retirement.node)
        for each in retirement.chains
    )
