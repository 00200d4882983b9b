"""Events about dates that come near: each once, also over a restart."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from key_import import import_material
from local_deployment import LocalDeployment
from strongroom.clock import DAY, ManualClock
from strongroom.event_destinations import EventDestination

entropy = os.urandom  # noqa: TID251 - the owner's own


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(
        tmp_path / "data", clock, events=(EventDestination("file:/nowhere"),), events_notice_days=(7, 30, 1)
    )
    yield local
    local.deployment.close()


def taken(local: LocalDeployment) -> list[dict[str, Any]]:
    """Let the keeper look; return the events that are new, and take them."""
    local.clock.advance(600)
    local.deployment.keeper.run()
    paths = sorted((local.folder / "events" / "ready").iterdir())
    found = [json.loads(path.read_bytes()) for path in paths]
    for path in paths:
        path.unlink()
    return found


def days(events: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(event["detail-type"], event["detail"]["within-days"]) for event in events]


def test_imported_material_that_will_expire_is_told_of_at_each_number_of_days(local: LocalDeployment) -> None:
    key = local.call("CreateKey", Origin="EXTERNAL")["KeyMetadata"]
    import_material(local, key["KeyId"], entropy(32), ValidTo=local.clock.now() + 40 * DAY)
    assert taken(local) == []
    local.clock.advance(11 * DAY)
    (event,) = taken(local)
    assert days([event]) == [("Imported Key Material Expires Soon", 30)]
    assert (event["source"], event["resources"]) == ("strongroom", [key["Arn"]])
    assert event["detail"]["key-id"] == key["KeyId"]
    assert event["detail"]["expiration-date"].endswith("Z")
    assert taken(local) == []
    local.reopen()
    assert taken(local) == []
    local.clock.advance(28 * DAY)
    assert days(taken(local)) == [("Imported Key Material Expires Soon", 1)]
    local.clock.advance(2 * DAY)
    assert [event["detail-type"] for event in taken(local)] == ["KMS Imported Key Material Expiration"]
    assert taken(local) == []


def test_a_key_that_will_be_deleted_is_told_of_until_that_is_cancelled(local: LocalDeployment) -> None:
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=20)
    assert days(taken(local)) == [("KMS Key Deletion Soon", 30)]
    local.clock.advance(14 * DAY)
    assert days(taken(local)) == [("KMS Key Deletion Soon", 7)]
    local.call("CancelKeyDeletion", KeyId=key_id)
    local.clock.advance(5 * DAY)
    assert taken(local) == []


def test_a_lost_or_damaged_file_repeats_a_notice_under_its_id(local: LocalDeployment) -> None:
    key_id = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=20)
    (first,) = taken(local)
    (local.folder / "events" / "notices.json").write_bytes(b"{")
    local.reopen()
    (again,) = taken(local)
    assert again["id"] == first["id"]
