"""A database that was rolled back and is accepted: objects, keys that are due, and the notes of the log."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from audits import command_records
from local_deployment import LocalDeployment, entropy
from strongroom.assembly.data_folder import DataFolderError
from strongroom.assembly.database_history import accept_older, compare_with_log
from strongroom.assembly.deployment import Deployment
from strongroom.assembly.open_folder import OpenFolder
from strongroom.assembly.overdue_deletions import overdue_keys
from strongroom.assembly.restored_objects import shared_objects
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.material import MaterialBinding
from strongroom.keys.specs import KeySpec
from strongroom.store.audit.log import AuditLog
from strongroom.store.protocol import Transaction
from strongroom.store.sql.transaction import SqlTransaction
from strongroom.store.subjects.destructions import ErasedDomainKey, ErasedMaterial


def roll_back(local: LocalDeployment, act: Callable[[], object]) -> None:
    """Close a deployment whose database is as it was before an act."""
    local.deployment.close()
    older = local.folder.with_name("older.db")
    shutil.copy2(local.folder / "strongroom.db", older)
    local.reopen()
    act()
    local.deployment.close()
    for each in local.folder.glob("strongroom.db-w*"):
        each.unlink()
    shutil.copy2(older, local.folder / "strongroom.db")


def test_what_a_missing_commit_may_have_given_to_a_key_is_not_destroyed(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    owner = MaterialBinding("000000000000", "us-east-1", "key", "ab" * 32, KeySpec.SYMMETRIC_DEFAULT)
    gone = ErasedMaterial(None, b"erased", owner)
    made = ErasedMaterial(None, b"made", owner, uncommitted=True)
    object_made = ErasedDomainKey("us-east-1", 2, "cd" * 16, uncommitted=True)

    def add(transaction: Transaction) -> None:
        for each in (gone, made, object_made):
            transaction.add_destruction(each, clock.now() + 3600)

    local.deployment.backends.store.write(add)
    roll_back(local, lambda: local.call("CreateKey"))
    with closing(OpenFolder(local.settings, clock, entropy, also_older=True)) as opened:
        accept_older(opened.folder, opened.store, opened.trail, entropy, clock.now())
        with opened.store.read() as reader:
            assert [each.erased for each in reader.destructions(float("inf"), 10)] == [gone]
        assert shared_objects(opened.folder, opened.store) == {bytes.fromhex(object_made.object_id)}


def test_a_key_is_not_erased_whose_deletion_a_missing_commit_has_cancelled(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "data", clock)
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    arn = local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)["KeyId"]
    roll_back(local, lambda: local.call("CancelKeyDeletion", KeyId=key_id))
    clock.advance(8 * DAY)
    with closing(OpenFolder(local.settings, clock, entropy, also_older=True)) as opened:
        accepted = accept_older(opened.folder, opened.store, opened.trail, entropy, clock.now())
    assert accepted.waiting_anew == [arn]
    (record,) = [each for each in command_records(local.folder) if each["eventName"] == "AcceptOlderDatabase"]
    assert record["serviceEventDetails"]["newWaitingPeriod"] == {"count": 1, "keys": [arn]}
    local.deployment = Deployment(local.settings, clock, entropy)
    with closing(local.deployment):
        clock.advance(6 * DAY)
        local.deployment.keeper.run()
        local.call("CancelKeyDeletion", KeyId=key_id)


def set_back(data: Path, older: Path) -> None:
    for each in data.glob("strongroom.db-w*"):
        each.unlink()
    shutil.copy2(older, data / "strongroom.db")


@pytest.fixture
def rolled_back(tmp_path: Path, clock: ManualClock) -> LocalDeployment:
    """Return a folder that lacks the last change, which a command has made, as its own chain notes."""
    local = LocalDeployment(tmp_path / "data", clock)
    local.deployment.close()
    shutil.copy2(local.folder / "strongroom.db", tmp_path / "older.db")
    with closing(OpenFolder(local.settings, clock, entropy)) as opened:
        opened.registrar.create_account("111122223333", "us-east-1", "111122223333")
    set_back(local.folder, tmp_path / "older.db")
    return local


def test_a_decision_that_fails_after_its_record_decides_nothing(
    rolled_back: LocalDeployment, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is in a new segment of the chain that noted what is missing, and each segment begins with a note."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with closing(OpenFolder(rolled_back.settings, clock, entropy, also_older=True)) as opened:
        missing = compare_with_log(opened.folder, opened.store)
        assert missing is not None
        with monkeypatch.context() as patched:
            patched.setattr(SqlTransaction, "begin_history", fail)
            with pytest.raises(OSError, match="No space left"):
                accept_older(opened.folder, opened.store, opened.trail, entropy, clock.now())
        assert len(command_records(rolled_back.folder)) == 3
        still = compare_with_log(opened.folder, opened.store)
        assert still is not None
        assert still.note.position == missing.note.position
        accept_older(opened.folder, opened.store, opened.trail, entropy, clock.now())
        assert compare_with_log(opened.folder, opened.store) is None


def test_an_accepted_database_has_a_later_history_than_any_that_is_noted(
    rolled_back: LocalDeployment, tmp_path: Path, clock: ManualClock
) -> None:
    with closing(OpenFolder(rolled_back.settings, clock, entropy, also_older=True)) as opened:
        accept_older(opened.folder, opened.store, opened.trail, entropy, clock.now())
    rolled_back.reopen()
    rolled_back.call("CreateKey")
    rolled_back.deployment.close()
    set_back(rolled_back.folder, tmp_path / "older.db")
    with closing(OpenFolder(rolled_back.settings, clock, entropy, also_older=True)) as opened:
        accept_older(opened.folder, opened.store, opened.trail, entropy, clock.now())
        assert compare_with_log(opened.folder, opened.store) is None
        assert opened.store.position().history == 3


def test_a_decision_that_the_log_cannot_note_is_none_yet(
    rolled_back: LocalDeployment, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(OpenFolder(rolled_back.settings, clock, entropy, also_older=True)) as opened:
        with monkeypatch.context() as patched:
            # After the change: only the end of the log notes it.
            patched.setattr(AuditLog, "close", lambda log: log._chain.end())
            with pytest.raises(DataFolderError, match=r"could not note that .* is accepted.* run this again"):
                accept_older(opened.folder, opened.store, opened.trail, entropy, clock.now())
        accept_older(opened.folder, opened.store, opened.trail, entropy, clock.now())
        assert compare_with_log(opened.folder, opened.store) is None


def test_a_damaged_key_that_no_period_can_be_given_is_not_named(tmp_path: Path, clock: ManualClock) -> None:
    """Its material is damaged, so it cannot be written again. The keeper erases it when it is due."""
    local = LocalDeployment(tmp_path / "data", clock)
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    roll_back(local, lambda: local.call("CancelKeyDeletion", KeyId=key_id))
    with closing(sqlite3.connect(local.folder / "strongroom.db")) as database, database:
        database.execute("UPDATE key_material SET token = zeroblob(77) WHERE key_id = ?", (key_id,))
    clock.advance(8 * DAY)
    with closing(OpenFolder(local.settings, clock, entropy, also_older=True)) as opened:
        accepted = accept_older(opened.folder, opened.store, opened.trail, entropy, clock.now())
        with opened.store.read() as reader:
            assert [each.arn for each in overdue_keys(reader, clock.now())] == accepted.waiting_anew
            assert len(reader.keys_to_delete(clock.now(), 10)) == 1
    assert accepted.waiting_anew == []
