"""Many nodes over one database: each has its own audit chains, and none touches those of another."""

import stat
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from joined_nodes import allow_links, join
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.audit_folders import AuditFolders
from strongroom.assembly.audit_log import known_writers, open_audit_key, open_audit_log, verify_log
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.databases.database import OwnStore
from strongroom.assembly.open_folder import OpenFolder
from strongroom.audit.chain import KnownWriter
from strongroom.audit.report import Kind, Report
from strongroom.audit.sink import AuditMark
from strongroom.audit.writer_id import WriterId
from strongroom.clock import ManualClock
from strongroom.settings import Settings
from strongroom.store.audit.segments import segments_of
from strongroom.store.sql.transaction import SqlTransaction
from strongroom.store.sqlite.store import SqlStore

NOW = 1_790_000_000.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(autouse=True)
def linked_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nodes share one SQLite database by links to all of its files, as they will share a database server."""
    allow_links(monkeypatch)


def verify(local: LocalDeployment) -> Report:
    backends = local.deployment.backends
    key = open_audit_key(backends.store, backends.secrets, entropy, local.folder / "audit").public()
    return verify_log(
        AuditFolders((local.folder / "audit",)),
        {local.deployment.node},
        key,
        backends.store,
        lambda _: None,
        boot="boot 0",
    )


def writer_of(local: LocalDeployment) -> str:
    return WriterId(local.deployment.node, 0).name


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "audit").iterdir()}


def make_key(local: LocalDeployment) -> str:
    key_id: str = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    return key_id


def last_use(local: LocalDeployment, key_id: str) -> Any:
    return local.call("GetKeyLastUsage", KeyId=key_id).get("KeyLastUsage", {}).get("Operation")


def test_an_identity_is_made_once_and_kept(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    node, path = local.deployment.node, tmp_path / "data" / "node-id"
    about, *more, last = path.read_text().splitlines()
    assert about.startswith("# The identity of this Strongroom node")
    assert last == node
    assert all(line.startswith("#") for line in more)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    local.reopen()
    assert local.deployment.node == node
    local.deployment.close()


@pytest.mark.parametrize("damage", ["", "# only words\n", "a1b2c3d4e5f\n", "a1b2c3d4e5f6\n0123456789ab\n", "\xff\n"])
def test_a_damaged_identity_is_one_clear_line(tmp_path: Path, clock: ManualClock, damage: str) -> None:
    LocalDeployment(tmp_path / "data", clock).deployment.close()
    (tmp_path / "data" / "node-id").write_text(damage)
    with pytest.raises(DataFolderError, match=r"node-id` is damaged: .*12 hexadecimal digits") as error:
        LocalDeployment(tmp_path / "data", clock)
    assert "\n" not in str(error.value)


def test_a_missing_identity_is_not_replaced_while_there_are_chains_of_it(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    node, path = local.deployment.node, tmp_path / "data" / "node-id"
    make_key(local)
    local.deployment.close()
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(DataFolderError, match=f"is missing, and .* has chains of node {node}"):
        LocalDeployment(tmp_path / "data", clock)
    path.write_bytes(kept)
    LocalDeployment(tmp_path / "data", clock).deployment.close()


def test_a_start_of_one_node_leaves_the_chains_of_another_alone(tmp_path: Path, clock: ManualClock) -> None:
    first = LocalDeployment(tmp_path / "first", clock)
    make_key(first)
    first.deployment.log.checkpoint()
    before, known = content(first.folder), known_writers(first.deployment.backends.store)
    clock.advance(1)
    second = LocalDeployment(join(tmp_path / "second", first.folder), clock)
    make_key(second)
    second.deployment.close()
    assert second.deployment.node != first.deployment.node
    after = known_writers(first.deployment.backends.store)
    assert content(first.folder) == before
    assert {writer: after[writer] for writer in known} == known
    assert not after[writer_of(first)].stopped
    assert after[writer_of(second)].stopped
    assert {segment.writer for segment in segments_of(second.folder / "audit")} == {writer_of(second)}
    # The first node has not noticed: its chain goes on, and ends as it should.
    make_key(first)
    first.deployment.close()
    first.reopen()
    assert verify(first).findings == []
    first.deployment.close()


def test_verification_judges_the_chains_of_its_own_node(tmp_path: Path, clock: ManualClock) -> None:
    first = LocalDeployment(tmp_path / "first", clock)
    second = LocalDeployment(join(tmp_path / "second", first.folder), clock)
    for node in (first, second):
        make_key(node)
        node.deployment.log.checkpoint()
    for node in (first, second):
        report = verify(node)
        assert (report.findings, report.writers, report.records) == ([], [writer_of(node)], 1)
    # A chain of the node itself that is missing is found, whatever the others have.
    for path in (first.folder / "audit").iterdir():
        path.unlink()
    (finding,) = verify(first).findings
    assert (finding.kind, writer_of(first) in finding.text) == (Kind.FILE_MISSING, True)
    assert verify(second).findings == []
    for node in (second, first):
        node.deployment.close()


def test_a_use_on_another_node_is_seen_once_it_is_written_down(tmp_path: Path, clock: ManualClock) -> None:
    first = LocalDeployment(tmp_path / "first", clock)
    second = LocalDeployment(join(tmp_path / "second", first.folder), clock)
    key_id = make_key(first)
    first.call("Encrypt", KeyId=key_id, Plaintext="eA==")
    assert last_use(first, key_id) == "Encrypt"
    assert last_use(second, key_id) is None
    first.deployment.keeper.upkeep()
    assert last_use(second, key_id) == "Encrypt"
    clock.advance(1)
    second.call("GenerateDataKey", KeyId=key_id, KeySpec="AES_256")
    assert (last_use(first, key_id), last_use(second, key_id)) == ("Encrypt", "GenerateDataKey")
    second.deployment.keeper.upkeep()
    assert last_use(first, key_id) == "GenerateDataKey"
    for node in (second, first):
        node.deployment.close()


def execute(store: OwnStore, statement: str) -> None:
    assert isinstance(store, SqlStore)
    store.write(lambda transaction: transaction._connection.exec_driver_sql(statement))


def old_folder(folder: Path, clock: ManualClock, writers: int, *, crashed: bool) -> tuple[str, list[str]]:
    """Make a data folder as the release before nodes had ids left it; return a key, and which writers used it.

    Its writers are ``w0``, ``w1``…; the last one has a use that is not written down yet.
    """
    local = LocalDeployment(folder, clock)
    key_id = make_key(local)
    arn = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["Arn"]
    local.deployment.close()
    settings = Settings(data=str(folder))
    with closing(OpenFolder(settings, clock, entropy)) as opened:
        key = open_audit_key(opened.store, opened.backends.secrets, entropy, opened.folder.audit)
        for path in (folder / "audit").iterdir():
            path.unlink()
        execute(opened.store, "DELETE FROM audit_checkpoint")
        execute(opened.store, "DELETE FROM audit_mark")
        names = [f"w{number}" for number in range(writers)]
        for name in names:
            log = open_audit_log(folder / "audit", name, settings, opened.store, key, clock)
            mark = log.mark()
            record = (
                f'{{"eventTime":"2026-09-21T14:13:25Z","eventName":"Encrypt","eventType":"AwsApiCall",'
                f'"requestID":"r","eventID":"{name}","resources":[{{"ARN":"{arn}"}}]}}'
            )
            log.append(record.encode())
            log.flush()
            written = AuditMark(name, mark.segment, mark.offset)
            opened.store.write(partial(SqlTransaction.put_audit_mark, mark=written))
            if not crashed:
                log.close()
        execute(opened.store, "UPDATE audit_checkpoint SET node = '', first_seen = NULL")
    (folder / "node-id").unlink()
    return key_id, names


@pytest.mark.parametrize("crashed", [False, True])
def test_chains_from_before_nodes_had_ids_are_ended_and_go_on_to_verify(
    tmp_path: Path, clock: ManualClock, *, crashed: bool
) -> None:
    key_id, names = old_folder(tmp_path / "data", clock, 2, crashed=crashed)
    clock.advance(10)
    local = LocalDeployment(tmp_path / "data", clock)
    node = local.deployment.node
    with local.deployment.backends.store.read() as reader:
        records = {record.writer: record for record in reader.audit_writer_records()}
    assert [(records[name].node, records[name].known.stopped) for name in names] == [(node, True)] * 2
    # Uses that were not saved before a crash are read from the old chains.
    assert last_use(local, key_id) == "Encrypt"
    make_key(local)
    local.reopen()
    local.reopen()
    report = verify(local)
    assert (report.findings, report.writers) == ([], [*names, writer_of(local)])
    assert report.uncovered == (4 if crashed else 0)
    before = content(local.folder)
    local.reopen()
    assert {name: before[name] for name in before if "-w" in name} == {
        name: text for name, text in content(local.folder).items() if "-w" in name
    }
    # A chain that was removed since is still missed.
    for segment in segments_of(local.folder / "audit"):
        if segment.writer == "w1":
            segment.path.unlink()
    (finding,) = verify(local).findings
    assert finding.text.startswith("the database has a checkpoint of writer w1, and there is no file of it: ")
    local.deployment.close()


def test_another_node_does_not_claim_old_chains_of_the_first(tmp_path: Path, clock: ManualClock) -> None:
    old_folder(tmp_path / "first", clock, 2, crashed=True)
    before = content(tmp_path / "first")
    second = LocalDeployment(join(tmp_path / "second", tmp_path / "first"), clock)
    store = second.deployment.backends.store
    with store.read() as reader:
        owners = {record.writer: record.node for record in reader.audit_writer_records()}
    assert owners == {"w0": None, "w1": None, writer_of(second): second.deployment.node}
    assert known_writers(store)["w0"] == KnownWriter()
    assert content(tmp_path / "first") == before
    clock.advance(1)
    first = LocalDeployment(tmp_path / "first", clock)
    with store.read() as reader:
        owners = {record.writer: record.node for record in reader.audit_writer_records()}
    assert owners["w0"] == owners["w1"] == first.deployment.node
    assert verify(first).findings == verify(second).findings == []
    for node in (first, second):
        node.deployment.close()


def test_the_writer_of_no_node_is_required_of_every_node_until_it_is_claimed(
    tmp_path: Path, clock: ManualClock
) -> None:
    old_folder(tmp_path / "data", clock, 1, crashed=False)
    for path in (tmp_path / "data" / "audit").iterdir():
        path.unlink()
    local = LocalDeployment(tmp_path / "data", clock)
    (finding,) = verify(local).findings
    assert finding.kind is Kind.FILE_MISSING
    assert content(local.folder) == {}
    local.deployment.close()
