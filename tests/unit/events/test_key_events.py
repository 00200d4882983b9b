"""Events of changes of keys: sent exactly if the change was committed, whatever happens in between."""

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from audit_disk import broken
from key_import import import_material
from local_deployment import LocalDeployment, Refused
from strongroom.clock import DAY, ManualClock
from strongroom.errors import KMSInternalException
from strongroom.event_destinations import EventDestination
from strongroom.events.spool import Spool
from strongroom.store.protocol import Transaction

entropy = os.urandom  # noqa: TID251 - the owner's own
DESTINATIONS = (EventDestination("file:/nowhere/events"),)


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock, events=DESTINATIONS, events_notice_days=())
    yield local
    local.deployment.close()


def new_key(local: LocalDeployment, **request: Any) -> Any:
    return local.call("CreateKey", **request)["KeyMetadata"]


def sent(local: LocalDeployment) -> list[dict[str, Any]]:
    """Return the events that are on their way."""
    return [json.loads(path.read_bytes()) for path in sorted((local.folder / "events" / "ready").iterdir())]


def intended(local: LocalDeployment) -> list[str]:
    return [path.name for path in (local.folder / "events" / "intended").iterdir()]


def material_id(local: LocalDeployment, key_id: str) -> str:
    found: str = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"]
    return found


def scheduled(local: LocalDeployment) -> Any:
    """Return a key whose waiting period is over."""
    key = new_key(local)
    local.call("ScheduleKeyDeletion", KeyId=key["KeyId"], PendingWindowInDays=7)
    local.clock.advance(7 * DAY)
    return key


@pytest.mark.parametrize("kind", ["ON_DEMAND", "AUTOMATIC"])
def test_a_rotation_is_an_event_in_the_shape_that_aws_documents(local: LocalDeployment, kind: str) -> None:
    key = new_key(local)
    before = material_id(local, key["KeyId"])
    if kind == "ON_DEMAND":
        local.call("RotateKeyOnDemand", KeyId=key["KeyId"])
    else:
        local.call("EnableKeyRotation", KeyId=key["KeyId"], RotationPeriodInDays=90)
        local.clock.advance(90 * DAY)
        local.deployment.keeper.run()
        local.deployment.keeper.run()
    (event,) = sent(local)
    assert list(event) == [
        *("version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail")
    ]
    assert event["id"][14] == "8"
    assert event["time"].endswith("Z")
    del event["id"], event["time"]
    assert event == {
        "version": "0",
        "detail-type": "KMS CMK Rotation",
        "source": "aws.kms",
        "account": "000000000000",
        "region": "us-east-1",
        "resources": [key["Arn"]],
        "detail": {
            "key-id": key["KeyId"],
            "key-origin": "AWS_KMS",
            "rotation-type": kind,
            "previous-key-material-id": before,
            "current-key-material-id": material_id(local, key["KeyId"]),
        },
    }
    assert intended(local) == []


def test_each_rotation_has_an_id_of_its_own(local: LocalDeployment) -> None:
    key_id = new_key(local)["KeyId"]
    for _ in range(3):
        local.call("RotateKeyOnDemand", KeyId=key_id)
    assert len({event["id"] for event in sent(local)}) == 3


def test_the_rotation_of_related_keys_is_one_event_of_the_primary(local: LocalDeployment) -> None:
    key = new_key(local, MultiRegion=True)
    local.call("ReplicateKey", KeyId=key["KeyId"], ReplicaRegion="eu-west-1")
    local.call("RotateKeyOnDemand", KeyId=key["KeyId"])
    assert [event["resources"] for event in sent(local)] == [[key["Arn"]]]


def test_a_deletion_is_an_event_when_it_happens_and_not_when_it_is_scheduled(local: LocalDeployment) -> None:
    key = scheduled(local)
    assert sent(local) == []
    local.deployment.keeper.run()
    local.deployment.keeper.run()
    (event,) = sent(local)
    assert (event["detail-type"], event["source"]) == ("KMS CMK Deletion", "aws.kms")
    assert (event["resources"], event["detail"]) == ([key["Arn"]], {"key-id": key["KeyId"]})


def test_each_expiry_of_imported_material_is_an_event(local: LocalDeployment) -> None:
    key_id = new_key(local, Origin="EXTERNAL")["KeyId"]
    material = entropy(32)
    for _ in range(2):
        import_material(local, key_id, material, ValidTo=local.clock.now() + DAY)
        local.clock.advance(2 * DAY)
        local.deployment.keeper.run()
    first, second = sent(local)
    assert first["detail-type"] == "KMS Imported Key Material Expiration"
    assert first["detail"]["key-id"] == key_id
    assert set(first["detail"]) == {"key-id", "key-material-id"}
    assert first["id"] != second["id"]


def test_other_changes_are_no_events(local: LocalDeployment) -> None:
    key_id = new_key(local, Origin="EXTERNAL")["KeyId"]
    import_material(local, key_id, entropy(32))
    local.call("DisableKey", KeyId=key_id)
    local.call("DeleteImportedKeyMaterial", KeyId=key_id)
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    local.call("CancelKeyDeletion", KeyId=key_id)
    local.clock.advance(30 * DAY)
    local.deployment.keeper.run()
    assert sent(local) == []


def test_a_change_that_is_not_committed_is_no_event(local: LocalDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    key_id = new_key(local)["KeyId"]

    def fail(*_: object) -> None:
        raise KMSInternalException

    with monkeypatch.context() as during:
        during.setattr("strongroom.store.sql.transaction.SqlTransaction.save_key", fail)
        with pytest.raises(Refused):
            local.call("RotateKeyOnDemand", KeyId=key_id)
    assert (sent(local), intended(local)) == ([], [])


def test_a_change_whose_record_cannot_be_written_is_no_event(local: LocalDeployment) -> None:
    scheduled(local)
    with broken(local.deployment.log):
        local.deployment.keeper.run()
    assert (sent(local), intended(local)) == ([], [])
    local.deployment.keeper.run()
    assert len(sent(local)) == 1


@pytest.mark.parametrize("change", ["rotation", "deletion", "expiry"])
def test_a_crash_after_the_commit_loses_no_event(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    if change == "deletion":
        key_id = scheduled(local)["KeyId"]
    else:
        key_id = new_key(local, Origin="EXTERNAL" if change == "expiry" else "AWS_KMS")["KeyId"]
    if change == "expiry":
        import_material(local, key_id, entropy(32), ValidTo=local.clock.now() + DAY)
        local.clock.advance(DAY)

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as during:
        during.setattr(Spool, "commit", crash)
        rotate = partial(local.call, "RotateKeyOnDemand", KeyId=key_id)
        make: Callable[[], object] = rotate if change == "rotation" else local.deployment.keeper.run
        with pytest.raises(Crash):
            make()
    assert sent(local) == []
    assert len(intended(local)) == 1
    local.reopen()
    local.deployment.keeper.run()
    local.deployment.keeper.run()
    (event,) = sent(local)
    assert event["detail"]["key-id"] == key_id
    assert intended(local) == []


def test_a_crash_before_the_commit_is_no_event_until_the_change_is_made(
    local: LocalDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = scheduled(local)["KeyId"]

    def crash(_transaction: Transaction, _key: object) -> None:
        raise Crash

    with monkeypatch.context() as during:
        during.setattr("strongroom.store.sql.transaction.SqlTransaction.erase_key", crash)
        with pytest.raises(Crash):
            local.deployment.keeper.run()
    (event_id,) = intended(local)
    # An operator is faster than the next round.
    local.call("CancelKeyDeletion", KeyId=key_id)
    local.reopen()
    local.deployment.keeper.run()
    assert (sent(local), intended(local)) == ([], [event_id])
    # The key is there, so it was not deleted, and no commit takes so long.
    local.clock.advance(3600)
    local.deployment.keeper.run()
    assert (sent(local), intended(local)) == ([], [])
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    local.clock.advance(7 * DAY)
    local.deployment.keeper.run()
    assert [event["id"] for event in sent(local)] == [event_id]


def test_a_disk_that_takes_no_events_hinders_no_change(local: LocalDeployment) -> None:
    key_id = new_key(local)["KeyId"]
    before = material_id(local, key_id)
    (local.folder / "events" / "intended").rmdir()
    local.call("RotateKeyOnDemand", KeyId=key_id)
    assert material_id(local, key_id) != before
    assert sent(local) == []


def test_without_destinations_nothing_is_kept(tmp_path: Path, clock: ManualClock) -> None:
    local = LocalDeployment(tmp_path / "quiet", clock)
    local.call("RotateKeyOnDemand", KeyId=new_key(local)["KeyId"])
    local.deployment.keeper.run()
    assert not (local.folder / "events").exists()
    local.deployment.close()
