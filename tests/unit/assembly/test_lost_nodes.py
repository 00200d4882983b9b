"""Nodes over one database whose logs are verified together, of which one is lost with its disk and retired."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from joined_nodes import allow_links, join
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.audit_folders import AuditFolders
from strongroom.assembly.audit_log import existing_audit_key, open_audit_log, verify_log
from strongroom.assembly.data_folder import DataFolderError, open_store
from strongroom.assembly.node import read_node_id
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.retirement import reinstate_node, retire_node
from strongroom.audit.report import ChainState, Kind, Report
from strongroom.audit.search import Query
from strongroom.clock import ManualClock
from strongroom.crypto.audit_key import AuditKey
from strongroom.errors import KmsError, WriteOutcomeUnknown
from strongroom.node_id import NodeId
from strongroom.settings import Settings
from strongroom.store.audit.search import search_log
from strongroom.store.audit.segments import segments_of
from strongroom.store.protocol import Transaction
from strongroom.store.records import RetiredNode
from strongroom.store.scopes import AccountScope, Scope
from strongroom.store.sql.transaction import SqlTransaction
from strongroom.store.sqlite.store import SqlStore

NOW = 1_790_000_000.0


class Nodes:
    """Two nodes, ``kept`` and ``lost``, that have each recorded three calls, and have stopped."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.kept = path / "kept"
        self.lost = path / "lost"
        first = LocalDeployment(self.kept, clock)
        second = LocalDeployment(join(self.lost, self.kept), clock)
        for number in range(3):
            for each in (first, second):
                clock.advance(1)
                each.call("GenerateRandom", NumberOfBytes=1 + number)
        self.first, self.second = first, second

    def stop(self) -> "Nodes":
        """Stop both in order."""
        self.second.deployment.close()
        self.first.deployment.close()
        return self

    @property
    def lost_node(self) -> NodeId:
        node = self.second.deployment.node
        assert node is not None
        return node

    def verify(self, *logs: Path, archives: tuple[Path, ...] = (), complete: bool = False) -> Report:
        """Verify logs, by default that of the node that is kept."""
        folders = AuditFolders([each / "audit" if (each / "audit").exists() else each for each in logs], archives)
        settings = Settings(data=str(self.kept))
        with closing(open_existing(settings, self.clock, entropy, also_older=True)) as opened:
            key = existing_audit_key(opened.store, opened.backends.secrets)
            assert key is not None
            nodes = None if complete else folders.nodes()
            return verify_log(folders, nodes, key.public(), opened.store, lambda _: None, boot="boot 0")

    def retire(self, node: NodeId) -> None:
        """Retire a node from the folder of the one that is kept."""
        with closing(open_existing(Settings(data=str(self.kept)), self.clock, entropy)) as opened:
            retire_node(opened, node, self.clock.now())

    def reinstate(self, node: NodeId, folder: Path | None = None) -> None:
        """Take back that a node was retired."""
        with closing(open_existing(Settings(data=str(folder or self.kept)), self.clock, entropy)) as opened:
            reinstate_node(opened, node)

    def call_lost(self) -> None:
        """Have the node that was lost serve again, and stop."""
        again = LocalDeployment(self.lost, self.clock)
        again.call("GenerateRandom", NumberOfBytes=9)
        again.deployment.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def nodes(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    allow_links(monkeypatch)
    return Nodes(tmp_path, clock)


def kinds(report: Report) -> list[Kind]:
    return [each.kind for each in report.findings]


def test_the_logs_of_two_nodes_are_verified_and_searched_together(nodes: Nodes) -> None:
    nodes.stop()
    report = nodes.verify(nodes.kept, nodes.lost)
    assert (report.findings, report.elsewhere) == ([], [])
    assert sorted((each.writer[:12], each.records, each.state) for each in report.chains) == sorted(
        (node, 3, ChainState.STOPPED) for node in (nodes.first.deployment.node, nodes.lost_node)
    )
    found = search_log([nodes.kept / "audit", nodes.lost / "audit"], Query(event="GenerateRandom"))
    writers = [record.chain.writer for record, _ in found if record.chain is not None]
    assert len(set(writers)) == 2
    assert writers == writers[:2] * 3


def test_a_node_whose_folder_is_not_given_is_judged_only_if_all_must_be_there(nodes: Nodes) -> None:
    nodes.stop()
    report = nodes.verify(nodes.kept)
    assert report.findings == []
    assert report.elsewhere == [f"{nodes.lost_node}w0"]
    (finding,) = nodes.verify(nodes.kept, complete=True).findings
    assert finding.kind is Kind.FILE_MISSING
    assert finding.text.endswith("5 lines up to 2026-09-21T14:13:26Z are missing")


def test_a_chain_that_is_missing_of_a_node_whose_folder_is_given_is_found(nodes: Nodes) -> None:
    nodes.stop()
    for segment in segments_of(nodes.lost / "audit"):
        segment.path.unlink()
    assert kinds(nodes.verify(nodes.kept, nodes.lost)) == [Kind.FILE_MISSING]


def test_what_a_retired_node_has_lost_is_found_as_lost(nodes: Nodes) -> None:
    nodes.stop()
    shutil.rmtree(nodes.lost)
    nodes.clock.advance(60)
    nodes.retire(nodes.lost_node)
    (finding,) = nodes.verify(nodes.kept).findings
    assert finding.kind is Kind.LOST
    assert finding.text == (
        f"node {nodes.lost_node} was retired at 2026-09-21T14:14:26Z: "
        f"lines 1 to 5 of writer {nodes.lost_node}w0, up to 2026-09-21T14:13:26Z, are lost"
    )
    report = nodes.verify(nodes.kept, complete=True)
    assert kinds(report) == [Kind.LOST]
    assert [(each.state, each.missing) for each in report.chains if each.missing] == [(ChainState.RETIRED, 5)]


def test_the_loss_is_bounded_by_what_was_shipped(nodes: Nodes, tmp_path: Path) -> None:
    """Of the lost node, which was killed, a copy of its first four lines is left."""
    nodes.second.deployment.log.checkpoint()
    (segment,) = segments_of(nodes.lost / "audit")
    copy = tmp_path / "shipped" / segment.name
    copy.parent.mkdir()
    copy.write_bytes(b"".join(segment.path.read_bytes().splitlines(keepends=True)[:4]))
    nodes.first.deployment.close()
    shutil.rmtree(nodes.lost)
    # Before it is retired, that is a log with its end cut off.
    assert kinds(nodes.verify(nodes.kept, copy.parent)) == [Kind.TRUNCATED]
    nodes.retire(nodes.lost_node)
    (finding,) = nodes.verify(nodes.kept, copy.parent).findings
    assert finding.kind is Kind.LOST
    assert "lines 5 to 5 of" in finding.text
    assert finding.text.endswith("are lost, and those that it may have written after them")
    # A line that was altered in the copy is no loss.
    lines = copy.read_bytes().splitlines(keepends=True)
    copy.write_bytes(b"".join((lines[0], lines[1].replace(b"GenerateRandom", b"GenerateRandon"), *lines[2:])))
    assert Kind.ALTERED in kinds(nodes.verify(nodes.kept, copy.parent))


def test_a_lost_node_that_went_on_after_it_was_retired_is_not_excused(nodes: Nodes) -> None:
    """Its database row was taken away again, and it wrote more."""
    nodes.stop()
    nodes.retire(nodes.lost_node)
    with closing(open_store(nodes.first.deployment.folder)) as store:
        store.write(delete_retirements)
    second = LocalDeployment(nodes.lost, nodes.clock)
    second.call("GenerateRandom", NumberOfBytes=9)
    second.deployment.close()
    shutil.rmtree(nodes.lost)
    assert kinds(nodes.verify(nodes.kept)) == [Kind.FILE_MISSING]


def delete_retirements(transaction: Transaction) -> None:
    transaction._connection.exec_driver_sql("DELETE FROM retired_node")  # type: ignore[attr-defined]


def test_a_retired_node_cannot_start_or_run_a_command(nodes: Nodes) -> None:
    nodes.stop()
    nodes.retire(nodes.lost_node)
    before = {path.name: path.read_bytes() for path in (nodes.lost / "audit").iterdir()}
    with pytest.raises(DataFolderError, match=f"node {nodes.lost_node} was retired, .*move `node-id` and `audit`"):
        LocalDeployment(nodes.lost, nodes.clock)
    with (
        closing(open_existing(Settings(data=str(nodes.lost)), nodes.clock, entropy)) as opened,
        pytest.raises(DataFolderError, match="was retired"),
    ):
        retire_node(opened, NodeId(str(nodes.first.deployment.node)), NOW)
    assert {path.name: path.read_bytes() for path in (nodes.lost / "audit").iterdir()} == before
    # A new disk is a new node.
    old = nodes.lost / "before"
    old.mkdir()
    for name in ("node-id", "audit"):
        (nodes.lost / name).rename(old / name)
    again = LocalDeployment(nodes.lost, nodes.clock)
    assert again.deployment.node not in (nodes.lost_node, nodes.first.deployment.node)
    again.deployment.close()
    # All that it had was found again, so nothing is lost.
    assert nodes.verify(nodes.kept, nodes.lost, old).findings == []


def test_only_another_node_that_is_known_can_be_retired_by_one(nodes: Nodes, tmp_path: Path) -> None:
    nodes.stop()
    own = read_node_id(nodes.first.deployment.folder)
    assert own is not None
    with pytest.raises(DataFolderError, match=f"node {own} is the one of"):
        nodes.retire(own)
    with pytest.raises(DataFolderError, match=r"knows no node 0123456789ab; it knows .*, "):
        nodes.retire(NodeId("0123456789ab"))
    nodes.retire(nodes.lost_node)
    third = LocalDeployment(join(tmp_path / "third", nodes.kept), nodes.clock)
    third.deployment.close()
    nodes.kept = third.folder
    with pytest.raises(DataFolderError, match=f"node {nodes.lost_node} is retired already, as the chain of {own}cli"):
        nodes.retire(nodes.lost_node)


@contextmanager
def without_answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a change made whose outcome stays unknown.

    The connection was lost with the answer to its COMMIT, and the database could not be asked.
    """
    really_write = SqlStore.write

    def write(self: SqlStore, act: Callable[[SqlTransaction], object], *scopes: Scope) -> object:
        result = really_write(self, act, *scopes)
        if AccountScope("") in scopes:
            raise WriteOutcomeUnknown("not known")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, "write", write)
        with pytest.raises(WriteOutcomeUnknown):
            yield


def test_a_retirement_of_which_it_is_not_known_whether_it_was_made_can_be_repeated(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes.stop()
    shutil.rmtree(nodes.lost)
    with without_answer(monkeypatch):
        nodes.retire(nodes.lost_node)
    assert kinds(nodes.verify(nodes.kept, complete=True)) == [Kind.FILE_MISSING]
    nodes.retire(nodes.lost_node)
    assert kinds(nodes.verify(nodes.kept)) == [Kind.LOST]


def test_the_undoing_of_one_of_which_it_is_not_known_whether_it_was_made_can_be_repeated(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes.stop()
    nodes.retire(nodes.lost_node)
    with without_answer(monkeypatch):
        nodes.reinstate(nodes.lost_node)
    # The node goes on, and is excused until that is stated.
    nodes.call_lost()
    with without_answer(monkeypatch):
        nodes.reinstate(nodes.lost_node)
    nodes.reinstate(nodes.lost_node)
    with pytest.raises(DataFolderError, match="is not retired"):
        nodes.reinstate(nodes.lost_node)
    assert nodes.verify(nodes.kept, nodes.lost, complete=True).findings == []
    shutil.rmtree(nodes.lost)
    assert kinds(nodes.verify(nodes.kept, complete=True)) == [Kind.FILE_MISSING]


def test_a_retirement_that_is_taken_back_excuses_nothing(nodes: Nodes, tmp_path: Path) -> None:
    nodes.stop()
    nodes.retire(nodes.lost_node)
    third = LocalDeployment(join(tmp_path / "third", nodes.kept), nodes.clock)
    third.call("GenerateRandom", NumberOfBytes=1)
    third.deployment.close()
    # What the first node's chain states is taken back there.
    with pytest.raises(DataFolderError, match=f"as the chain of {nodes.first.deployment.node}cli states; take it back"):
        nodes.reinstate(nodes.lost_node, third.folder)
    nodes.reinstate(nodes.lost_node)
    with pytest.raises(DataFolderError, match="is not retired"):
        nodes.reinstate(nodes.lost_node)
    nodes.call_lost()
    assert nodes.verify(nodes.kept, nodes.lost, third.folder, complete=True).findings == []
    shutil.rmtree(nodes.lost)
    assert kinds(nodes.verify(nodes.kept, third.folder, complete=True)) == [Kind.FILE_MISSING]
    nodes.retire(nodes.lost_node)
    assert kinds(nodes.verify(nodes.kept, third.folder, complete=True)) == [Kind.LOST]


def test_what_a_node_states_that_is_lost_later_is_stated_again(nodes: Nodes, tmp_path: Path) -> None:
    nodes.stop()
    third = LocalDeployment(join(tmp_path / "third", nodes.kept), nodes.clock)
    third.call("GenerateRandom", NumberOfBytes=1)
    third.deployment.close()
    first = NodeId(str(nodes.first.deployment.node))
    shutil.rmtree(nodes.lost)
    nodes.retire(nodes.lost_node)
    shutil.rmtree(nodes.kept / "audit")
    (nodes.kept / "node-id").unlink()
    nodes.kept, statements = third.folder, (first, nodes.lost_node)
    for lost in statements:
        assert Kind.FILE_MISSING in kinds(nodes.verify(nodes.kept, complete=True))
        nodes.retire(lost)
    # The commands of the first node had a chain, too.
    assert kinds(nodes.verify(nodes.kept, complete=True)) == [Kind.LOST] * 3
    # It may be repeated.
    nodes.retire(first)
    assert kinds(nodes.verify(nodes.kept, complete=True)) == [Kind.LOST] * 3


def test_a_database_that_has_forgotten_a_lost_node_hides_nothing(nodes: Nodes) -> None:
    nodes.stop()
    shutil.rmtree(nodes.lost)
    nodes.retire(nodes.lost_node)
    with closing(open_store(nodes.first.deployment.folder)) as store:
        store.write(lambda transaction: forget(transaction, nodes.lost_node))
    (finding,) = nodes.verify(nodes.kept).findings
    assert (finding.kind, "lines 1 to 5 of" in finding.text) == (Kind.LOST, True)


def forget(transaction: Transaction, node: str) -> None:
    transaction._connection.exec_driver_sql("DELETE FROM audit_checkpoint WHERE node = ?", (node,))  # type: ignore[attr-defined]


def test_a_retirement_that_failed_excuses_nothing(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: object, _retired: RetiredNode) -> None:
        raise KmsError("no")

    nodes.stop()
    shutil.rmtree(nodes.lost)
    with monkeypatch.context() as patch:
        patch.setattr("strongroom.store.sql.nodes.NodeWrites.retire_node", fail)
        with pytest.raises(KmsError):
            nodes.retire(nodes.lost_node)
    assert nodes.verify(nodes.kept).findings == []
    assert kinds(nodes.verify(nodes.kept, complete=True)) == [Kind.FILE_MISSING]


def test_two_processes_that_write_one_chain_are_noticed(nodes: Nodes, tmp_path: Path) -> None:
    """The folder of a running node was copied. What the database has not taken is not served either."""
    first = nodes.first
    first.deployment.log.checkpoint()
    (tmp_path / "copy").mkdir()
    copy = shutil.copytree(nodes.kept / "audit", tmp_path / "copy" / "audit")
    other = open_audit_log(
        copy,
        f"{first.deployment.node}w0",
        first.settings,
        first.deployment.backends.store,
        existing_key(first),
        nodes.clock,
    )
    other.append(b'{"eventName":"Forged"}')
    other.checkpoint()
    first.call("GenerateRandom", NumberOfBytes=1)
    with pytest.raises(KmsError, match=r"another process writes the audit chain of .* stop one of them"):
        first.deployment.log.checkpoint()
    assert not first.deployment.log.writable()
    assert "another process writes" in str(first.deployment.problems.of_node())
    # The one that the database has goes on.
    other.append(b'{"eventName":"Forged"}')
    other.checkpoint()
    other.close()


def existing_key(local: LocalDeployment) -> AuditKey:
    found = existing_audit_key(local.deployment.backends.store, local.deployment.backends.secrets)
    assert found is not None
    return found


def test_a_database_that_was_set_back_does_not_stop_a_chain(nodes: Nodes) -> None:
    """As after a failover that has lost commits."""
    first = nodes.first
    store, log, writer = first.deployment.backends.store, first.deployment.log, f"{first.deployment.node}w0"
    log.checkpoint()
    with store.read() as reader:
        earlier = reader.audit_writers()[writer]
    first.call("GenerateRandom", NumberOfBytes=1)
    log.checkpoint()
    store.write(lambda transaction: transaction.put_audit_writer(writer, earlier, NOW))
    first.call("GenerateRandom", NumberOfBytes=1)
    log.checkpoint()
    assert log.writable()
    nodes.stop()
    assert nodes.verify(nodes.kept, nodes.lost).findings == []
