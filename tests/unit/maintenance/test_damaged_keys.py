"""Keys that wait for their deletion, and of which a record is damaged: they are erased as well."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from local_deployment import LocalDeployment, Refused
from strongroom.clock import DAY, ManualClock

DAMAGED_MATERIAL = {
    "no material": "DELETE FROM key_material WHERE key_id = ?",
    "other material": "UPDATE key_material SET token = zeroblob(77) WHERE key_id = ?",
    "a time": "UPDATE key_material SET created_at = created_at + 1 WHERE key_id = ?",
}
DAMAGED_RECORD = {
    "a policy": "UPDATE kms_key SET policy = 'x' WHERE key_id = ?",
    "a spec": "UPDATE kms_key SET spec = 'SYMMETRIC_DEFAUL' WHERE key_id = ?",
    "a type": "UPDATE kms_key SET custom_key_store_id = x'00' WHERE key_id = ?",
    "a tag": "DELETE FROM key_tag WHERE key_id = ?",
}
NOT_WAITING = {
    "another state": "UPDATE kms_key SET state = 'Disabled' WHERE key_id = ?",
    "a date before it was made": "UPDATE kms_key SET deletion_at = 1 WHERE key_id = ?",
    "no date": "UPDATE kms_key SET deletion_at = 'x' WHERE key_id = ?",
    "no window": "UPDATE kms_key SET deletion_window_days = NULL WHERE key_id = ?",
}
TABLES = ("kms_key", "key_material", "key_tag", "alias", "key_grant", "key_usage")


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


def waiting_key(local: LocalDeployment, **more: Any) -> str:
    """Make a key with everything that a key can have, and schedule its deletion."""
    tags = [{"TagKey": "team", "TagValue": "blue"}]
    key_id: str = local.call("CreateKey", Tags=tags, **more)["KeyMetadata"]["KeyId"]
    local.call("CreateAlias", AliasName=f"alias/{key_id}", TargetKeyId=key_id)
    principal = "arn:aws:iam::000000000000:root"
    local.call("CreateGrant", KeyId=key_id, GranteePrincipal=principal, Operations=["Decrypt"])
    local.call("Encrypt", KeyId=key_id, Plaintext="eA==")
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    return key_id


def damage(local: LocalDeployment, statement: str, key_id: str) -> None:
    """Change a row behind the back of a server, which finds it at its next start."""
    local.deployment.close()
    with closing(sqlite3.connect(local.folder / "strongroom.db")) as database:
        assert database.execute(statement, (key_id,)).rowcount
        database.commit()
    local.reopen()


def rows(local: LocalDeployment, key_id: str) -> int:
    with closing(sqlite3.connect(local.folder / "strongroom.db")) as database:
        queries = (f"SELECT count(*) FROM {table} WHERE key_id = ?" for table in TABLES)  # noqa: S608
        return sum(database.execute(query, (key_id,)).fetchone()[0] for query in queries)


def events(local: LocalDeployment) -> list[dict[str, Any]]:
    return [each["serviceEventDetails"] for each in local.records() if each["eventName"] == "DeleteKey"]


def quarantined(local: LocalDeployment) -> int:
    return local.deployment.store_counters.quarantined


@pytest.mark.parametrize("kind", DAMAGED_MATERIAL)
def test_a_key_with_damaged_material_is_erased_at_its_date(kind: str, local: LocalDeployment) -> None:
    key_id, other = waiting_key(local), local.call("CreateKey")["KeyMetadata"]["KeyId"]
    damage(local, DAMAGED_MATERIAL[kind], key_id)
    local.clock.advance(7 * DAY - 1)
    local.deployment.keeper.run()
    assert rows(local, key_id)
    assert quarantined(local)
    local.clock.advance(1)
    local.deployment.keeper.run()
    assert rows(local, key_id) == 0
    (event,) = events(local)
    assert event["keyId"] == key_id
    assert len(event["damagedMaterials"]) == 1
    assert quarantined(local) == 0
    assert [each["KeyId"] for each in local.call("ListKeys")["Keys"]] == [other]
    with pytest.raises(Refused, match="NotFoundException"):
        local.call("DescribeKey", KeyId=key_id)


@pytest.mark.parametrize("kind", DAMAGED_RECORD)
def test_a_key_whose_own_record_is_damaged_is_erased_a_week_later(kind: str, local: LocalDeployment) -> None:
    key_id = waiting_key(local)
    damage(local, DAMAGED_RECORD[kind], key_id)
    local.clock.advance(14 * DAY - 1)
    local.deployment.keeper.run()
    assert rows(local, key_id)
    local.clock.advance(1)
    local.deployment.keeper.run()
    local.deployment.keeper.run()
    assert rows(local, key_id) == 0
    (event,) = events(local)
    assert (event["keyId"], event["damagedRecord"]) == (key_id, True)
    assert quarantined(local) == 0
    assert local.deployment.keeper.counters.keys["deleted"] == 1


@pytest.mark.parametrize("kind", NOT_WAITING)
def test_a_damaged_record_that_does_not_say_so_consistently_is_kept(kind: str, local: LocalDeployment) -> None:
    key_id = waiting_key(local)
    damage(local, NOT_WAITING[kind], key_id)
    local.clock.advance(100 * DAY)
    local.deployment.keeper.run()
    assert rows(local, key_id)
    assert events(local) == []


@pytest.mark.parametrize("kind", [*DAMAGED_MATERIAL, *DAMAGED_RECORD])
def test_the_primary_of_a_damaged_replica_is_told(kind: str, local: LocalDeployment) -> None:
    key_id = local.call("CreateKey", MultiRegion=True)["KeyMetadata"]["KeyId"]
    tags = [{"TagKey": "team", "TagValue": "blue"}]
    local.call("ReplicateKey", KeyId=key_id, ReplicaRegion="eu-west-1", Tags=tags)
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7, region="eu-west-1")
    statement = (DAMAGED_MATERIAL | DAMAGED_RECORD)[kind]
    damage(local, f"{statement} AND region = 'eu-west-1'", key_id)
    local.clock.advance(14 * DAY)
    local.deployment.keeper.run()
    metadata = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]
    assert metadata["KeyState"] == "PendingDeletion"
    assert metadata["DeletionDate"] == local.clock.now() + 7 * DAY
    local.clock.advance(7 * DAY)
    local.deployment.keeper.run()
    assert rows(local, key_id) == 0
    assert len(events(local)) == 2


def test_the_number_of_keys_is_right_afterwards(local: LocalDeployment) -> None:
    key_id = waiting_key(local)
    local.call("CreateKey")
    damage(local, "UPDATE kms_key SET manager = 'AWSX' WHERE key_id = ?", key_id)
    local.deployment.keeper.run()
    assert quarantined(local) == 2
    local.clock.advance(14 * DAY)
    local.deployment.keeper.run()
    with local.deployment.backends.store.read() as reader:
        assert reader.customer_keys("000000000000", "us-east-1") == 1
        assert list(reader.findings(lambda *_: True)) == []
    assert quarantined(local) == 0
