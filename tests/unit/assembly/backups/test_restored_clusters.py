"""Restores of a deployment with keys in AWS CloudHSM: a copy and its original have the same objects in a token."""

from contextlib import closing
from pathlib import Path

import pytest

from audits import command_records
from backup_scene import back_up, reopened, restore
from cluster_deployment import deployment_with_clusters, new_key, new_store
from local_deployment import LocalDeployment, Refused
from strongroom.clock import DAY, ManualClock

TEXT = "dGV4dA=="


def connection_of(deployment: LocalDeployment, store_id: str) -> str:
    (store,) = deployment.call("DescribeCustomKeyStores", CustomKeyStoreId=store_id)["CustomKeyStores"]
    state: str = store["ConnectionState"]
    return state


def test_a_restored_copy_destroys_no_key_in_a_cluster_of_its_original(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = deployment_with_clusters(tmp_path, clock, monkeypatch)
    clusters = original.settings.cloudhsm_clusters
    with closing(original.deployment):
        store_id = new_store(original)
        key_id = new_key(original, store_id)
        blob = original.call("Encrypt", KeyId=key_id, Plaintext=TEXT)["CiphertextBlob"]
        original.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
        backup = back_up(original, tmp_path)
        original.call("CancelKeyDeletion", KeyId=key_id)
        original.call("EnableKey", KeyId=key_id)
    result = restore(original, backup, tmp_path / "new")
    assert result.settled.disconnected == [store_id]
    (record,) = [each for each in command_records(tmp_path / "new") if each["eventName"] == "RestoreBackup"]
    told = record["serviceEventDetails"]["disconnectedKeyStores"]
    assert told == {"count": 1, "customKeyStoreIds": [store_id]}
    copy = reopened(original, tmp_path / "new", cloudhsm_clusters=clusters)
    with closing(copy.deployment):
        assert connection_of(copy, store_id) == "DISCONNECTED"
        for _ in range(3):
            clock.advance(8 * DAY)
            copy.deployment.keeper.run()
        with pytest.raises(Refused, match="NotFoundException"):
            copy.call("DescribeKey", KeyId=key_id)
    again = LocalDeployment(original.folder, clock, cloudhsm_clusters=clusters)
    with closing(again.deployment):
        assert connection_of(again, store_id) == "CONNECTED"
        assert again.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == TEXT
