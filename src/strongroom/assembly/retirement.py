"""Retires a node that was lost with its disk: states in another node's audit chain what is missing of its chains.

That can be taken back: by mistake, or by one who can write the database, a node may be retired that is not lost.
"""

from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.node import require_node_id
from strongroom.assembly.open_folder import OpenFolder
from strongroom.audit.retirement import LastLine, Retirement, reinstate_event, retire_event
from strongroom.audit.writer_id import WriterId, parse_writer
from strongroom.crypto.audit_key import AuditPublicKey
from strongroom.node_id import NodeId
from strongroom.store.audit.segment_reader import read_statements
from strongroom.store.audit.segments import segments_of
from strongroom.store.protocol import Reader, Transaction
from strongroom.store.records import AuditWriterRecord, RetiredNode
from strongroom.store.scopes import AccountScope


def retire_node(opened: OpenFolder, node: NodeId, now: float) -> Retirement:
    """Retire another node, after stating that; return what was stated. ``now`` is in epoch seconds.

    From then on it gets no lease and cannot start, and what is missing of its chains is found as lost. Raises
    DataFolderError for this node, for one that the database does not know or that serves, and if it is retired already
    by a node that is not retired itself. This node may repeat what it has stated: where it could not find out whether
    the database has taken the retirement, its log says that it has failed.
    """
    own = require_node_id(opened.folder)
    if node == own:
        raise DataFolderError(f"node {node} is the one of `{opened.folder.path}`; retire it with another node's folder")
    key = opened.audit_key().public()
    speaker = WriterId(own, None).name
    with opened.trail.changing():
        with opened.store.read() as reader:
            _require_gone(reader, node, speaker, opened.folder.database_name)
            records = [each for each in reader.audit_writer_records() if each.node == node]
        retirement = Retirement(node, [_last_line(each, key) for each in records])
        with opened.trail.recording(retire_event(retirement)):
            retired = RetiredNode(node, now, speaker)

            def act(transaction: Transaction) -> None:
                # It may have joined, or been retired by another node, since it was looked at.
                _require_gone(transaction, node, speaker, opened.folder.database_name)
                transaction.retire_node(retired)

            opened.store.write(act, AccountScope(""))
    return retirement


def reinstate_node(opened: OpenFolder, node: NodeId) -> None:
    """Take back that a node was retired, after stating that: it gets a lease, and goes on with its chains.

    What is missing of them is a removal again, if this node's chain has stated that it is lost. This node may repeat
    that where it could not find out whether the database has taken it: its log says that it has failed. Raises
    DataFolderError if the node is not retired, neither by the database nor by this node's log, for this node, and if
    the chain of another node that is known and not retired states it.
    """
    own = require_node_id(opened.folder)
    if node == own:
        raise DataFolderError(f"node {node} is the one of `{opened.folder.path}`; use another node's folder")
    speaker = WriterId(own, None).name
    with opened.trail.changing():
        with opened.store.read() as reader:
            is_retired = _may_reinstate(reader, node, speaker)
        if not is_retired and not _states(opened, node, speaker):
            raise DataFolderError(f"node {node} is not retired")
        with opened.trail.recording(reinstate_event(node)):

            def act(transaction: Transaction) -> None:
                if _may_reinstate(transaction, node, speaker):
                    transaction.reinstate_node(node)

            opened.store.write(act, AccountScope(""))


def _states(opened: OpenFolder, node: NodeId, speaker: str) -> bool:
    """Tell whether the log of this node states that another one is lost."""
    key = opened.audit_key().public()
    return read_statements(segments_of(opened.folder.audit), key.verifies).retires(speaker, node)


def _may_reinstate(reader: Reader, node: NodeId, speaker: str) -> bool:
    """Tell whether the database has a node as retired; raises DataFolderError if ``speaker`` may not take that back."""
    retired = reader.retired_node(node)
    if retired is None:
        return False
    stated = parse_writer(retired.stated_by)
    # One that is forged may name any chain.
    known = {each.node for each in reader.audit_writer_records() if each.node not in (None, node)}
    is_of_another = retired.stated_by != speaker and stated is not None and stated.node in known
    if is_of_another and not _is_lost(reader, retired.stated_by):
        raise DataFolderError(f"node {node} is retired, as the chain of {retired.stated_by} states; take it back there")
    return True


def _require_gone(reader: Reader, node: NodeId, speaker: str, database: str) -> None:
    """Make sure that a node is known, not retired by others than ``speaker``, and does not serve.

    Raises DataFolderError.
    """
    known = {each.node for each in reader.audit_writer_records() if each.node is not None}
    if node not in known:
        raise DataFolderError(f"{database} knows no node {node}; it knows {', '.join(sorted(known))}")
    retired = reader.retired_node(node)
    if retired is not None and retired.stated_by != speaker and not _is_lost(reader, retired.stated_by):
        raise DataFolderError(
            f"node {node} is retired already, as the chain of {retired.stated_by} states; it can be repeated there"
        )
    if any(each.node == node and each.is_alive for each in reader.members()):
        raise DataFolderError(
            f"node {node} serves {database}; stop it, or if it was lost just now, wait until its lease has ended"
        )


def _is_lost(reader: Reader, writer: str) -> bool:
    """Tell whether a writer's node was retired, so that what its chain states may be lost."""
    parsed = parse_writer(writer)
    return parsed is not None and parsed.node is not None and reader.retired_node(parsed.node) is not None


def _last_line(record: AuditWriterRecord, key: AuditPublicKey) -> LastLine:
    checkpoint = record.known.checkpoint
    stated = None if checkpoint is None else checkpoint.read_signed(record.writer, key.verifies)
    if stated is None:
        return LastLine(record.writer, 0, "", record.known.stopped)
    return LastLine(record.writer, stated.sequence + 1, stated.time, record.known.stopped)
