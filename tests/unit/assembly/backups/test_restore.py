"""Restores: what comes back, what does not, and what is refused."""

import base64
import gzip
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from audits import command_records
from backup_scene import back_up, decryption, encryption, reopened, restore
from key_import import import_material
from local_deployment import LocalDeployment, Refused
from strongroom.assembly.backups.maker import MadeBackup
from strongroom.assembly.backups.restored_folder import restored_folder
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.restored_objects import shared_objects
from strongroom.backup.blocks import BackupError
from strongroom.clock import DAY
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.file import create_root_key
from strongroom.keys.specs import KeySpec
from strongroom.store.protocol import Transaction
from strongroom.store.subjects.destructions import ErasedDomainKey, ErasedMaterial

NOW = 1_790_000_000.0
TEXT = base64.b64encode(b"secret").decode()


def new_key(deployment: LocalDeployment, **more: Any) -> str:
    key_id: str = deployment.call("CreateKey", **more)["KeyMetadata"]["KeyId"]
    return key_id


def state_of(deployment: LocalDeployment, key_id: str) -> str | None:
    """Return the state of a key, None if it does not exist."""
    try:
        state: str = deployment.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["KeyState"]
    except Refused as refused:
        return None if refused.code == "NotFoundException" else refused.code
    return state


def destroy(deployment: LocalDeployment, key_id: str) -> None:
    """Destroy a key, as the keeper does after its waiting period."""
    deployment.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    deployment.clock.advance(7 * DAY + 1)
    deployment.deployment.keeper.run()
    assert state_of(deployment, key_id) is None


def event_of(data: Path) -> dict[str, Any]:
    (record,) = [each for each in command_records(data) if each["eventName"] == "RestoreBackup"]
    assert record["eventType"] == "AwsServiceEvent"
    details: dict[str, Any] = record["serviceEventDetails"]
    return details


def test_everything_is_as_it_was(deployment: LocalDeployment, tmp_path: Path) -> None:
    key_id = new_key(deployment, Tags=[{"TagKey": "team", "TagValue": "blue"}], MultiRegion=True)
    deployment.call("CreateAlias", AliasName="alias/a", TargetKeyId=key_id)
    deployment.call("ReplicateKey", KeyId=key_id, ReplicaRegion="eu-west-1")
    blob = deployment.call("Encrypt", KeyId="alias/a", Plaintext=TEXT)["CiphertextBlob"]
    deployment.call("RotateKeyOnDemand", KeyId=key_id)
    made = back_up(deployment, tmp_path)
    result = restore(deployment, made, tmp_path / "new")
    assert result.accounts == ["000000000000"]
    other = reopened(deployment, tmp_path / "new")
    for region in ("us-east-1", "eu-west-1"):
        assert other.call("Decrypt", CiphertextBlob=blob, region=region)["Plaintext"] == TEXT
    ours, theirs = (each.call("DescribeKey", KeyId=key_id) for each in (deployment, other))
    assert ours == theirs
    assert other.call("ListResourceTags", KeyId=key_id) == deployment.call("ListResourceTags", KeyId=key_id)
    assert new_key(other)
    assert other.deployment.node != deployment.deployment.node
    other.deployment.close()
    assert not list(tmp_path.glob(".*"))


def test_the_restore_is_the_first_record_of_the_new_log(deployment: LocalDeployment, tmp_path: Path) -> None:
    new_key(deployment)
    made = back_up(deployment, tmp_path)
    restore(deployment, made, tmp_path / "new")
    assert [each["eventName"] for each in command_records(tmp_path / "new")] == ["RestoreBackup"]
    details = event_of(tmp_path / "new")
    assert details["backupManifest"] == made.signed.digest
    assert (details["rootKey"], details["auditLog"], details["keys"]) == ("given", "not given", 1)
    _, closed = details["closedWriters"]
    assert closed["writer"] == f"{deployment.deployment.node}w0"
    assert closed["sequence"] > 1


def test_without_a_root_key_a_new_one_is_made(deployment: LocalDeployment, tmp_path: Path) -> None:
    key_id = new_key(deployment)
    blob = deployment.call("Encrypt", KeyId=key_id, Plaintext=TEXT)["CiphertextBlob"]
    made = back_up(deployment, tmp_path, encryption(), with_domain_keys=True)
    restore(deployment, made, tmp_path / "new", root_key=False, decryption=decryption())
    assert (tmp_path / "new" / "root.key").read_text() != (deployment.folder / "root.key").read_text()
    other = reopened(deployment, tmp_path / "new")
    assert other.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == TEXT
    other.deployment.close()
    without = back_up(deployment, tmp_path, encryption())
    with pytest.raises(DataFolderError, match="give --root-key"):
        restore(deployment, without, tmp_path / "third", root_key=False, decryption=decryption())


def test_the_root_key_of_another_deployment_is_refused(deployment: LocalDeployment, tmp_path: Path) -> None:
    made = back_up(deployment, tmp_path)
    (deployment.folder / "root.key").rename(tmp_path / "kept")
    create_root_key(deployment.folder / "root.key", bytes)
    with pytest.raises(UnsealError, match="not the root key of the backup"):
        restore(deployment, made, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def destroyed(deployment: LocalDeployment, tmp_path: Path) -> tuple[MadeBackup, str, str]:
    """A backup, a key that was destroyed after it, and one that was not."""
    key_id, other = new_key(deployment), new_key(deployment)
    made = back_up(deployment, tmp_path)
    destroy(deployment, key_id)
    return made, key_id, other


def test_a_key_that_was_destroyed_after_the_backup_stays_destroyed(
    deployment: LocalDeployment, tmp_path: Path, destroyed: tuple[MadeBackup, str, str]
) -> None:
    made, key_id, other = destroyed
    result = restore(deployment, made, tmp_path / "new", audit=[deployment.folder])
    arn = f"arn:aws:kms:us-east-1:000000000000:key/{key_id}"
    assert result.settled.destroyed == [arn]
    assert event_of(tmp_path / "new")["destroyedAgain"] == {"count": 1, "keys": [arn]}
    restored = reopened(deployment, tmp_path / "new")
    assert (state_of(restored, key_id), state_of(restored, other)) == (None, "Enabled")
    restored.deployment.close()
    assert [each["eventName"] for each in command_records(tmp_path / "new")][:2] == ["RestoreBackup", "DeleteKey"]


def test_it_comes_back_disabled_if_it_is_named(
    deployment: LocalDeployment, tmp_path: Path, destroyed: tuple[MadeBackup, str, str]
) -> None:
    made, key_id, other = destroyed
    result = restore(deployment, made, tmp_path / "new", audit=[deployment.folder / "audit"], bring_back=[key_id])
    assert [each.rpartition("/")[2] for each in result.settled.brought_back] == [key_id]
    restored = reopened(deployment, tmp_path / "new")
    assert (state_of(restored, key_id), state_of(restored, other)) == ("Disabled", "Enabled")
    restored.deployment.close()
    with pytest.raises(BackupError, match="was not destroyed"):
        restore(deployment, made, tmp_path / "third", audit=[deployment.folder], bring_back=[other])
    assert not (tmp_path / "third").exists()


def test_without_the_audit_log_it_is_back(
    deployment: LocalDeployment, tmp_path: Path, destroyed: tuple[MadeBackup, str, str]
) -> None:
    made, key_id, _ = destroyed
    restore(deployment, made, tmp_path / "new")
    restored = reopened(deployment, tmp_path / "new")
    assert state_of(restored, key_id) == "Enabled"
    restored.deployment.close()


def test_a_log_that_was_changed_or_is_not_all_there_is_refused(
    deployment: LocalDeployment, tmp_path: Path, destroyed: tuple[MadeBackup, str, str]
) -> None:
    made, _, _ = destroyed
    copy = tmp_path / "copy"
    shutil.copytree(deployment.folder / "audit", copy)
    first, *others = sorted(copy.glob("*w0-*"))
    content = others[0].read_bytes()
    assert b"DeleteKey" in content
    others[0].write_bytes(content.replace(b"DeleteKey", b"EraseKey_"))
    with pytest.raises(DataFolderError, match="is not what was written"):
        restore(deployment, made, tmp_path / "new", audit=[copy])
    for path in others:
        path.unlink()
    (commands,) = copy.glob("*cli-*")
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(DataFolderError, match=r"part of the log|no records of audit writer"):
        restore(deployment, made, tmp_path / "new", audit=[copy])
    first.unlink()
    commands.unlink()
    with pytest.raises(DataFolderError, match="holds no audit log"):
        restore(deployment, made, tmp_path / "new", audit=[copy])
    assert not (tmp_path / "new").exists()


def test_archived_segments_are_read_too(
    deployment: LocalDeployment, tmp_path: Path, destroyed: tuple[MadeBackup, str, str]
) -> None:
    made, key_id, _ = destroyed
    log, archive = tmp_path / "log", tmp_path / "archive"
    shutil.copytree(deployment.folder / "audit", log)
    archive.mkdir()
    first, *_ = sorted(log.glob("*w0-*"))
    (archive / f"{first.name}.gz").write_bytes(gzip.compress(first.read_bytes()))
    first.unlink()
    with pytest.raises(DataFolderError, match="name the archive in --audit too"):
        restore(deployment, made, tmp_path / "new", audit=[log])
    result = restore(deployment, made, tmp_path / "new", audit=[log, archive])
    assert [each.rpartition("/")[2] for each in result.settled.destroyed] == [key_id]


def test_the_log_of_another_deployment_is_refused(deployment: LocalDeployment, tmp_path: Path) -> None:
    made = back_up(deployment, tmp_path)
    other = LocalDeployment(tmp_path / "other", deployment.clock)
    other.call("ListKeys")
    other.deployment.close()
    with pytest.raises(DataFolderError, match=r"is not what was written|have no records of audit writer"):
        restore(deployment, made, tmp_path / "new", audit=[tmp_path / "other"])


def test_imported_material_that_was_deleted_stays_deleted(deployment: LocalDeployment, tmp_path: Path) -> None:
    kept, deleted = (new_key(deployment, Origin="EXTERNAL") for _ in range(2))
    for key_id in (kept, deleted):
        import_material(deployment, key_id, bytes(range(32)), ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    made = back_up(deployment, tmp_path)
    deployment.call("DeleteImportedKeyMaterial", KeyId=deleted)
    deployment.call("DeleteImportedKeyMaterial", KeyId=kept)
    deployment.clock.advance(10)
    import_material(deployment, kept, bytes(range(32)), ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    result = restore(deployment, made, tmp_path / "new", audit=[deployment.folder])
    assert [each.rpartition("/")[2] for each in result.settled.materials] == [deleted]
    restored = reopened(deployment, tmp_path / "new")
    assert (state_of(restored, deleted), state_of(restored, kept)) == ("PendingImport", "Enabled")
    restored.deployment.close()
    restore(deployment, made, tmp_path / "third", audit=[deployment.folder], bring_back=[deleted])
    restored = reopened(deployment, tmp_path / "third")
    assert state_of(restored, deleted) == "Disabled"
    restored.deployment.close()


def test_a_key_whose_date_has_passed_waits_seven_days_more(deployment: LocalDeployment, tmp_path: Path) -> None:
    due, later = new_key(deployment), new_key(deployment)
    deployment.call("ScheduleKeyDeletion", KeyId=due, PendingWindowInDays=7)
    deployment.call("ScheduleKeyDeletion", KeyId=later, PendingWindowInDays=30)
    made = back_up(deployment, tmp_path)
    deployment.clock.advance(8 * DAY)
    result = restore(deployment, made, tmp_path / "new")
    assert [each.rpartition("/")[2] for each in result.settled.waiting_anew] == [due]
    restored = reopened(deployment, tmp_path / "new")
    restored.deployment.keeper.run()
    assert state_of(restored, due) == "PendingDeletion"
    metadata = restored.call("DescribeKey", KeyId=due)["KeyMetadata"]
    assert metadata["DeletionDate"] == deployment.clock.now() + 7 * DAY
    assert restored.call("DescribeKey", KeyId=later)["KeyMetadata"]["DeletionDate"] == NOW + 30 * DAY
    restored.deployment.close()


def test_an_overdue_rotation_happens_once(deployment: LocalDeployment, tmp_path: Path) -> None:
    key_id = new_key(deployment)
    deployment.call("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
    made = back_up(deployment, tmp_path)
    deployment.clock.advance(1000 * DAY)
    restore(deployment, made, tmp_path / "new")
    restored = reopened(deployment, tmp_path / "new")
    for _ in range(3):
        restored.deployment.keeper.run()
    assert len(restored.call("ListKeyRotations", KeyId=key_id)["Rotations"]) == 1
    restored.deployment.close()


def test_a_destroyed_replica_and_its_primary(deployment: LocalDeployment, tmp_path: Path) -> None:
    key_id = new_key(deployment, MultiRegion=True)
    deployment.call("ReplicateKey", KeyId=key_id, ReplicaRegion="eu-west-1")
    made = back_up(deployment, tmp_path)
    deployment.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7, region="eu-west-1")
    deployment.clock.advance(7 * DAY + 1)
    deployment.deployment.keeper.run()
    restore(deployment, made, tmp_path / "new", audit=[deployment.folder])
    restored = reopened(deployment, tmp_path / "new")
    ours, theirs = (each.call("DescribeKey", KeyId=key_id)["KeyMetadata"] for each in (deployment, restored))
    assert ours == theirs
    assert theirs["MultiRegionConfiguration"]["ReplicaKeys"] == []
    restored.deployment.close()


def test_damaged_keys_are_restored_only_on_demand(deployment: LocalDeployment, tmp_path: Path) -> None:

    key_id, other = new_key(deployment), new_key(deployment)
    with closing(sqlite3.connect(deployment.folder / "strongroom.db")) as database, database:
        database.execute("UPDATE key_material SET token = zeroblob(77) WHERE key_id = ?", (key_id,))
    made = back_up(deployment, tmp_path)
    with pytest.raises(BackupError, match=key_id):
        restore(deployment, made, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    result = restore(deployment, made, tmp_path / "new", damaged_keys=True)
    assert result.content.damaged_count == 1
    restored = reopened(deployment, tmp_path / "new")
    assert restored.call("Encrypt", KeyId=other, Plaintext=TEXT)
    restored.deployment.close()


def test_changes_that_are_not_in_the_database_yet_are_not_thrown_away(tmp_path: Path) -> None:
    target = tmp_path / "data"
    with (  # noqa: PT012 - what is published is made within
        pytest.raises(DataFolderError, match="could not be moved"),
        restored_folder(target) as place,
    ):
        place.database.write_bytes(b"database")
        place.database.with_name("restoring.db-wal").write_bytes(b"changes")
        place.publish()
    assert list(tmp_path.iterdir()) == []


def test_a_restored_copy_does_not_destroy_what_the_original_was_making(
    deployment: LocalDeployment, tmp_path: Path
) -> None:
    """The original may have given it to a key since."""
    owner = MaterialBinding("000000000000", "us-east-1", "key", "ab" * 32, KeySpec.SYMMETRIC_DEFAULT)
    gone = ErasedMaterial(None, b"erased", owner)
    made = ErasedMaterial(None, b"made", owner, uncommitted=True)
    object_made = ErasedDomainKey("us-east-1", 2, "cd" * 16, uncommitted=True)

    def add(transaction: Transaction) -> None:
        for each in (gone, made, object_made):
            transaction.add_destruction(each, NOW + 3600)

    deployment.deployment.backends.store.write(add)
    backup = back_up(deployment, tmp_path)
    data = tmp_path / "restored"
    restore(deployment, backup, data)
    with closing(reopened(deployment, data).deployment) as copy, copy.backends.store.read() as reader:
        assert [each.erased for each in reader.destructions(float("inf"), 10)] == [gone]
        folder = DataFolder(data)
        # Nor does an operator by mistake.
        assert shared_objects(folder, copy.backends.store) == {bytes.fromhex(object_made.object_id)}
        folder.restored_objects.touch()
        assert shared_objects(folder, copy.backends.store) == frozenset()
