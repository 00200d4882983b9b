"""A damaged row of the database: backups are made all the same, and a restore names it and brings back all others."""

import base64
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backup_scene import back_up, reopened, restore, verify
from local_deployment import LocalDeployment, Refused, entropy
from strongroom.assembly.backups.verification import _Content
from strongroom.backup.blocks import BackupError
from strongroom.clock import DAY

TEXT = base64.b64encode(b"secret").decode()
DAMAGE = {
    "another number": "UPDATE kms_key SET created_at = 'x' WHERE key_id = ?",
    "no UTF-8": "UPDATE kms_key SET description = CAST(x'ff41' AS TEXT) WHERE key_id = ?",
    "another spec": "UPDATE kms_key SET spec = 'SYMMETRIC_DEFAUL' WHERE key_id = ?",
    "another id": "UPDATE kms_key SET key_id = 'zz' WHERE key_id = ?",
    "no row": "DELETE FROM kms_key WHERE key_id = ?",
    "text for bytes": "UPDATE kms_key SET row_mac = 'x' WHERE key_id = ?",
    "a date": "UPDATE kms_key SET deletion_at = 1 WHERE key_id = ?",
}
DAMAGED_MATERIAL = {
    "no material": "DELETE FROM key_material WHERE key_id = ?",
    "material that does not open": "UPDATE key_material SET token = zeroblob(77) WHERE key_id = ?",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_one_damaged_row_costs_one_key(damage: str, deployment: LocalDeployment, tmp_path: Path) -> None:
    damaged, good = (deployment.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(2))
    blob = deployment.call("Encrypt", KeyId=good, Plaintext=TEXT)["CiphertextBlob"]
    overdue = deployment.call("CreateKey")["KeyMetadata"]["KeyId"]
    deployment.call("ScheduleKeyDeletion", KeyId=overdue, PendingWindowInDays=7)
    with closing(sqlite3.connect(deployment.folder / "strongroom.db")) as database:
        database.execute(DAMAGE[damage], (damaged,))
        database.commit()
    made = back_up(deployment, tmp_path)
    verify(made.path, root_key=deployment.folder / "root.key")
    deployment.clock.advance(8 * DAY)
    with pytest.raises(BackupError, match="--damaged-keys"):
        restore(deployment, made, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    result = restore(deployment, made, tmp_path / "new", damaged_keys=True)
    assert any(damaged in each or "/zz" in each for each in result.content.damaged)
    assert [arn[-36:] for arn in result.settled.waiting_anew] == [overdue]
    other = reopened(deployment, tmp_path / "new")
    assert other.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == TEXT
    with pytest.raises(Refused):
        other.call("Encrypt", KeyId=damaged, Plaintext=TEXT)
    other.deployment.close()


@pytest.mark.parametrize("damage", [*DAMAGE, *DAMAGED_MATERIAL])
def test_a_damaged_key_that_was_destroyed_since_does_not_prevent_a_restore(
    damage: str, deployment: LocalDeployment, tmp_path: Path
) -> None:
    """Its rows were damaged when the backup was made, and not any more when it was destroyed."""
    damaged, good = (deployment.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(2))
    deployment.call("CreateAlias", AliasName="alias/a", TargetKeyId=damaged)
    blob = deployment.call("Encrypt", KeyId=good, Plaintext=TEXT)["CiphertextBlob"]
    with closing(sqlite3.connect(deployment.folder / "strongroom.db")) as database:
        kept = {
            table: database.execute(f"SELECT * FROM {table} WHERE key_id = ?", (damaged,)).fetchone()  # noqa: S608
            for table in ("kms_key", "key_material")
        }
        database.execute((DAMAGE | DAMAGED_MATERIAL)[damage], (damaged,))
        database.commit()
    made = back_up(deployment, tmp_path)
    with closing(sqlite3.connect(deployment.folder / "strongroom.db")) as database:
        database.execute("DELETE FROM kms_key WHERE key_id IN (?, 'zz')", (damaged,))
        database.execute("DELETE FROM key_material WHERE key_id = ?", (damaged,))
        for table, row in kept.items():
            database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
        database.commit()
    deployment.call("ScheduleKeyDeletion", KeyId=damaged, PendingWindowInDays=7)
    deployment.clock.advance(7 * DAY + 1)
    deployment.deployment.keeper.run()
    if damage == "another id":
        # What is left of it can be that of any key.
        with pytest.raises(BackupError, match="/zz;"):
            restore(deployment, made, tmp_path / "new", audit=[deployment.folder])
        return
    result = restore(deployment, made, tmp_path / "new", audit=[deployment.folder])
    assert [arn[-36:] for arn in result.settled.destroyed] == [damaged]
    assert result.content.damaged_count == 0
    with closing(sqlite3.connect(tmp_path / "new" / "strongroom.db")) as database:
        for table in ("kms_key", "key_material", "alias"):
            query = f"SELECT count(*) FROM {table} WHERE key_id = ?"  # noqa: S608
            assert database.execute(query, (damaged,)).fetchone() == (0,)
    other = reopened(deployment, tmp_path / "new")
    assert other.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == TEXT
    assert [each["KeyId"] for each in other.call("ListKeys")["Keys"]] == [good]
    other.deployment.close()


@pytest.mark.parametrize("part", ["primary", "replica", "both"])
@pytest.mark.parametrize("damage", ["a policy", "no material"])
def test_related_keys_that_were_damaged_and_destroyed_since(
    part: str, damage: str, deployment: LocalDeployment, tmp_path: Path
) -> None:
    key_id = deployment.call("CreateKey", MultiRegion=True)["KeyMetadata"]["KeyId"]
    deployment.call("ReplicateKey", KeyId=key_id, ReplicaRegion="eu-west-1")
    regions = {"primary": ["us-east-1"], "replica": ["eu-west-1"], "both": ["us-east-1", "eu-west-1"]}[part]
    statement = {
        "a policy": "UPDATE kms_key SET policy = 'x' WHERE region = ?",
        "no material": "DELETE FROM key_material WHERE region = ?",
    }[damage]
    with closing(sqlite3.connect(deployment.folder / "strongroom.db")) as database:
        tables = {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in ("kms_key", "key_material")}  # noqa: S608
        for region in regions:
            database.execute(statement, (region,))
        database.commit()
    made = back_up(deployment, tmp_path / "made")
    with closing(sqlite3.connect(deployment.folder / "strongroom.db")) as database:
        for name, rows in tables.items():
            for row in rows:
                database.execute(f"INSERT OR REPLACE INTO {name} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
        database.commit()
    for region in ("us-east-1", "eu-west-1"):
        deployment.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7, region=region)
    for _ in range(2):
        deployment.clock.advance(7 * DAY + 1)
        deployment.deployment.keeper.run()
    result = restore(deployment, made, tmp_path / "new", audit=[deployment.folder])
    assert (len(result.settled.destroyed), result.content.damaged_count) == (2, 0)
    with closing(sqlite3.connect(tmp_path / "new" / "strongroom.db")) as database:
        assert database.execute("SELECT count(*) FROM key_material").fetchone() == (0,)


def test_a_damaged_checkpoint_does_not_prevent_a_backup(deployment: LocalDeployment, tmp_path: Path) -> None:
    deployment.call("CreateKey")
    deployment.deployment.log.checkpoint()
    with closing(sqlite3.connect(deployment.folder / "strongroom.db")) as database:
        database.execute("UPDATE audit_checkpoint SET statement = 'x'")
        database.commit()
    assert restore(deployment, back_up(deployment, tmp_path), tmp_path / "new").content.damaged_count == 0


def test_a_row_that_no_table_can_hold_is_left_out_and_said(deployment: LocalDeployment, tmp_path: Path) -> None:
    damaged = deployment.call("CreateKey")["KeyMetadata"]["KeyId"]
    with closing(sqlite3.connect(deployment.folder / "strongroom.db")) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'policy TEXT NOT NULL', 'policy TEXT') WHERE name = 'kms_key'"
        )
        database.execute("PRAGMA writable_schema = RESET")
        (policy,) = database.execute("SELECT policy FROM kms_key WHERE key_id = ?", (damaged,)).fetchone()
        database.execute("UPDATE kms_key SET policy = NULL WHERE key_id = ?", (damaged,))
        database.commit()
    made = back_up(deployment, tmp_path)
    with pytest.raises(BackupError, match="1 of the records in `kms_key`"):
        restore(deployment, made, tmp_path / "new")
    restore(deployment, made, tmp_path / "new", damaged_keys=True)
    with closing(sqlite3.connect(deployment.folder / "strongroom.db")) as database:
        database.execute("UPDATE kms_key SET policy = ? WHERE key_id = ?", (policy, damaged))
        database.commit()
    deployment.call("ScheduleKeyDeletion", KeyId=damaged, PendingWindowInDays=7)
    deployment.clock.advance(7 * DAY + 1)
    deployment.deployment.keeper.run()
    restored = restore(deployment, made, tmp_path / "destroyed", audit=[deployment.folder])
    assert (len(restored.settled.destroyed), restored.content.damaged_count) == (1, 0)


def test_domain_keys_that_are_none_are_refused() -> None:
    content = _Content(None, entropy)
    content.read("$domain-keys", ("scope", "version", "key"), [("iam", -1, None)])
    with pytest.raises(BackupError, match="domain keys"):
        content.vault()
    for columns, row in ((("a",), (1,)), (("scope", "version", "key"), ("iam", 1, b"short"))):
        content = _Content(None, entropy)
        content.read("$domain-keys", columns, [row])
        content.read("audit_key", ("wrapped_secret",), [(b"",)])
        with pytest.raises(BackupError):
            content.vault()
