"""Backups and audit logs of several lives of a deployment, whose clocks were wrong: the chain tells what is later."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from audits import command_records
from backup_scene import back_up, reopened, restore
from local_deployment import LocalDeployment
from strongroom.clock import DAY, ManualClock
from strongroom.store.sql.history import EmptiedTableError
from strongroom.store.sql.sections import TableReader

NOW = 1_790_000_000.0


@pytest.fixture
def first(tmp_path: Path) -> Iterator[LocalDeployment]:
    made = LocalDeployment(tmp_path / "data", ManualClock(NOW))
    yield made
    made.deployment.close()


def new_key(deployment: LocalDeployment) -> str:
    key_id: str = deployment.call("CreateKey")["KeyMetadata"]["KeyId"]
    return key_id


def keys(deployment: LocalDeployment) -> set[str]:
    return {each["KeyId"] for each in deployment.call("ListKeys")["Keys"]}


def destroy(deployment: LocalDeployment, key_id: str) -> None:
    """Destroy a key as the keeper does, a week later."""
    deployment.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    deployment.clock.advance(7 * DAY + 1)
    deployment.deployment.keeper.run()
    assert key_id not in keys(deployment)


def test_a_manifest_says_where_the_database_was(first: LocalDeployment, tmp_path: Path) -> None:
    earlier = back_up(first, tmp_path / "earlier")
    new_key(first)
    made = back_up(first, tmp_path / "made")
    ends = [each.signed.manifest.ends for each in (earlier, made)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert (ends[0].history, ends[0].history_id) == (ends[1].history, ends[1].history_id)
    assert ends[0].change < ends[1].change
    restore(first, made, tmp_path / "new")
    other = reopened(first, tmp_path / "new")
    after = back_up(other, tmp_path / "again").signed.manifest.ends
    other.deployment.close()
    assert after is not None
    assert after.history == ends[1].history + 1
    assert after.history_id != ends[1].history_id
    (record,) = [each for each in command_records(tmp_path / "new") if each["eventName"] == "RestoreBackup"]
    assert record["serviceEventDetails"]["backupDatabase"] == {
        "history": ends[1].history,
        "history_id": ends[1].history_id,
        "change": ends[1].change,
    }


def test_a_key_that_was_brought_back_is_not_destroyed_by_an_old_log_whose_clock_was_ahead(
    first: LocalDeployment, tmp_path: Path
) -> None:
    key_id = new_key(first)
    made = back_up(first, tmp_path / "made")
    destroy(first, key_id)
    first.deployment.log.checkpoint()
    old_log = tmp_path / "old-log"
    shutil.copytree(first.folder / "audit", old_log)
    restore(first, made, tmp_path / "second", audit=[old_log], bring_back=[key_id])
    first.clock.advance(-30 * DAY)
    second = reopened(first, tmp_path / "second")
    again = back_up(second, tmp_path / "again")
    second.deployment.close()
    result = restore(first, again, tmp_path / "third", audit=[old_log, tmp_path / "second"])
    assert result.settled.destroyed == []
    third = reopened(first, tmp_path / "third")
    assert keys(third) == {key_id}
    third.deployment.close()


def test_what_was_destroyed_in_a_later_life_counts_also_if_its_clock_was_behind(
    first: LocalDeployment, tmp_path: Path
) -> None:
    key_id, other = new_key(first), new_key(first)
    made = back_up(first, tmp_path / "made")
    first.clock.advance(-30 * DAY)
    restore(first, made, tmp_path / "second", audit=[first.folder])
    second = reopened(first, tmp_path / "second")
    destroy(second, key_id)
    second.deployment.close()
    result = restore(first, made, tmp_path / "third", audit=[first.folder, tmp_path / "second"])
    assert [arn[-36:] for arn in result.settled.destroyed] == [key_id]
    third = reopened(first, tmp_path / "third")
    assert keys(third) == {other}
    third.deployment.close()


@pytest.mark.parametrize("behind", [False, True])
def test_a_backup_that_does_not_say_where_the_database_was_goes_by_the_clock(
    first: LocalDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, behind: bool
) -> None:
    """Releases before this one made such backups, and one is made of a database that has lost its history."""

    def lost(_: TableReader) -> None:
        raise EmptiedTableError

    key_id = new_key(first)
    with monkeypatch.context() as patch:
        patch.setattr(TableReader, "database_position", lost)
        made = back_up(first, tmp_path / "made")
    assert made.signed.manifest.ends is None
    assert "ends" in json.loads(made.signed.encoded)
    first.clock.advance(-30 * DAY if behind else 0)
    restore(first, made, tmp_path / "second", audit=[first.folder])
    second = reopened(first, tmp_path / "second")
    destroy(second, key_id)
    second.deployment.close()
    result = restore(first, made, tmp_path / "third", audit=[first.folder, tmp_path / "second"])
    assert len(result.settled.destroyed) == (0 if behind else 1)
