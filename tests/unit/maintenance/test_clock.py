"""The keeper when the wall clock is set: nothing that cannot be undone is done because of it."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit_disk import broken
from key_import import import_material
from local_deployment import LocalDeployment, Refused, entropy
from strongroom.assembly.clock_record import ClockFiles
from strongroom.assembly.data_folder import DataFolder
from strongroom.clock import DAY, ManualClock
from strongroom.maintenance.clock_watch import reading_of
from strongroom.problems import Subject
from strongroom.store.scopes import KeyScope

MONTH = 31 * DAY


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    """Open a deployment whose clock is confirmed."""
    local = LocalDeployment(tmp_path / "data", clock)
    local.deployment.keeper.run()
    clock.advance(600)
    local.deployment.keeper.run()
    yield local
    local.deployment.close()


@pytest.fixture
def doomed(local: LocalDeployment) -> str:
    """Return a key that has thirty days left."""
    key_id = new_key(local)
    local.call("ScheduleKeyDeletion", KeyId=key_id)
    return key_id


def new_key(local: LocalDeployment, **request: Any) -> str:
    key_id: str = local.call("CreateKey", **request)["KeyMetadata"]["KeyId"]
    return key_id


def metadata(local: LocalDeployment, key_id: str) -> dict[str, Any]:
    found: dict[str, Any] = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]
    return found


def is_gone(local: LocalDeployment, key_id: str) -> bool:
    try:
        metadata(local, key_id)
    except Refused as refused:
        return refused.code == "NotFoundException"
    return False


def problems(local: LocalDeployment) -> list[str]:
    return [each.text for each in local.deployment.problems.current() if each.subject is Subject.CLOCK]


def test_a_clock_that_jumps_for_seven_seconds_destroys_nothing(local: LocalDeployment, doomed: str) -> None:
    rotating, imported = new_key(local), new_key(local, Origin="EXTERNAL")
    local.call("EnableKeyRotation", KeyId=rotating, RotationPeriodInDays=90)
    import_material(local, imported, entropy(32), ValidTo=local.clock.now() + 20 * DAY)
    before = local.call("GetKeyRotationStatus", KeyId=rotating)["NextRotationDate"]
    local.clock.step(1000 * DAY)
    for _ in range(7):
        local.deployment.keeper.run()
        local.clock.advance(1)
    (problem,) = problems(local)
    assert "1000.0 days ahead" in problem
    assert "strongroom clock accept" in problem
    # What can be undone follows the wall clock.
    assert metadata(local, imported)["KeyState"] == "PendingImport"
    local.clock.step(-1000 * DAY)
    local.deployment.keeper.run()
    assert metadata(local, doomed)["KeyState"] == "PendingDeletion"
    assert metadata(local, imported)["KeyState"] == "Enabled"
    assert local.call("GetKeyRotationStatus", KeyId=rotating)["NextRotationDate"] == before
    assert local.call("ListKeyRotations", KeyId=rotating)["Rotations"] == []
    assert local.deployment.keeper.counters.keys == dict.fromkeys(("rotated", "expired", "deleted", "repaired"), 0)
    (problem,) = problems(local)
    assert "has come back" in problem
    local.clock.advance(600)
    local.deployment.keeper.run()
    assert problems(local) == []


def test_what_is_due_by_both_clocks_is_done_meanwhile(local: LocalDeployment, doomed: str) -> None:
    local.clock.step(400 * DAY)
    local.clock.advance(30 * DAY - 1)
    local.deployment.keeper.run()
    assert not is_gone(local, doomed)
    local.clock.advance(1)
    local.deployment.keeper.run()
    assert is_gone(local, doomed)


def test_a_jump_before_a_restart_of_the_server_destroys_nothing(local: LocalDeployment, doomed: str) -> None:
    local.clock.step(MONTH)
    local.reopen()
    for _ in range(20):
        local.deployment.keeper.run()
        local.clock.advance(60)
    assert not is_gone(local, doomed)
    (problem,) = problems(local)
    assert "31.0 days ahead" in problem


def test_a_server_that_was_stopped_for_a_month_deletes_at_once(local: LocalDeployment, doomed: str) -> None:
    """The kernel has counted these days."""
    local.deployment.close()
    local.clock.advance(MONTH)
    local.reopen()
    local.deployment.keeper.run()
    assert is_gone(local, doomed)
    assert problems(local) == []


def test_a_machine_that_was_off_for_a_month_deletes_after_ten_minutes(local: LocalDeployment, doomed: str) -> None:
    local.deployment.close()
    local.clock.restart(MONTH)
    local.reopen()
    local.deployment.keeper.run()
    assert not is_gone(local, doomed)
    (problem,) = problems(local)
    assert "the machine was started" in problem
    local.clock.advance(599)
    local.deployment.keeper.run()
    assert not is_gone(local, doomed)
    local.clock.advance(1)
    local.deployment.keeper.run()
    assert is_gone(local, doomed)
    assert problems(local) == []


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\xfe", b"[1]", None])
def test_a_damaged_or_missing_record_means_that_the_time_is_confirmed_anew(
    local: LocalDeployment, doomed: str, damage: bytes | None
) -> None:
    local.deployment.close()
    path = DataFolder(local.folder).clock
    assert path.stat().st_mode & 0o777 == 0o600
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    # By the last checkpoint of the audit log.
    local.clock.step(MONTH)
    local.reopen()
    local.deployment.keeper.run()
    assert not is_gone(local, doomed)
    (problem,) = problems(local)
    assert "31.0 days ahead" in problem
    local.clock.step(-MONTH)
    local.clock.advance(600)
    local.deployment.keeper.run()
    local.clock.advance(600)
    local.deployment.keeper.run()
    assert problems(local) == []


def test_a_waiting_period_is_not_shortened_by_a_clock_that_was_set_back(local: LocalDeployment) -> None:
    key_id = new_key(local)
    local.clock.step(-MONTH)
    local.call("ScheduleKeyDeletion", KeyId=key_id)
    local.clock.step(MONTH)
    assert metadata(local, key_id)["DeletionDate"] == local.clock.now() + 30 * DAY


def test_the_waiting_period_of_a_primary_begins_at_the_latest_time(local: LocalDeployment) -> None:
    """It begins when the keeper deletes the last replica. Once the clock is back, it is repaired."""
    primary = new_key(local, MultiRegion=True)
    local.call("ReplicateKey", KeyId=primary, ReplicaRegion="eu-west-1")
    local.call("ScheduleKeyDeletion", KeyId=primary, PendingWindowInDays=7)
    local.call("ScheduleKeyDeletion", KeyId=primary, PendingWindowInDays=7, region="eu-west-1")
    local.clock.advance(7 * DAY)
    local.clock.step(400 * DAY)
    local.deployment.keeper.run()
    began = local.clock.now()
    assert metadata(local, primary)["DeletionDate"] == began + 7 * DAY
    local.clock.step(-400 * DAY)
    local.deployment.keeper.run()
    local.clock.advance(600)
    local.deployment.keeper.run()
    assert metadata(local, primary)["DeletionDate"] == local.clock.now() + 7 * DAY


def test_dates_that_a_wrong_clock_has_written_are_repaired(
    local: LocalDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    """A client with the same wrong clock is not refused."""
    rotating, leaving = new_key(local), new_key(local)
    local.clock.step(3 * 365 * DAY)
    local.deployment.keeper.run()
    local.call("EnableKeyRotation", KeyId=rotating, RotationPeriodInDays=90)
    local.call("ScheduleKeyDeletion", KeyId=leaving, PendingWindowInDays=7)
    local.clock.step(-3 * 365 * DAY)
    local.deployment.keeper.run()
    local.clock.advance(600)
    caplog.set_level(logging.INFO)
    local.deployment.keeper.run()
    now = local.clock.now()
    assert local.call("GetKeyRotationStatus", KeyId=rotating)["NextRotationDate"] == now + 90 * DAY
    assert metadata(local, leaving)["DeletionDate"] == now + 7 * DAY
    assert caplog.text.count("a wrong clock had dated the next rotation or deletion; repaired") == 2
    events = [each for each in local.records() if each["eventName"] == "RepairKeyDates"]
    assert {each["serviceEventDetails"]["keyId"] for each in events} == {rotating, leaving}
    local.deployment.keeper.run()
    assert local.deployment.keeper.counters.keys["repaired"] == 2


def test_repairs_have_a_limited_time_and_nothing_is_done_by_a_date_before_the_last_of_them(
    local: LocalDeployment, doomed: str
) -> None:
    others = [new_key(local) for _ in range(3)]
    local.clock.advance(60)
    local.deployment.close()
    local.clock.restart()
    local.reopen()
    for key_id in others:
        local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    local.clock.step(40 * DAY)
    local.deployment.keeper.run()
    # The windows of all are over, but those of three keys began while the clock was behind.
    local.clock.advance(600)
    keeper = local.deployment.keeper
    keeper.duty_time = 0.0  # One key in each round, however fast the machine is.
    found = [(keeper.run(), keeper.counters.keys["repaired"], is_gone(local, doomed)) for _ in range(4)]
    assert found == [(True, 1, False), (True, 2, False), (False, 3, True), (False, 3, True)]
    assert {metadata(local, key_id)["DeletionDate"] for key_id in others} == {local.clock.now() + 7 * DAY}


def test_a_waiting_period_that_began_while_the_clock_was_behind_begins_anew(local: LocalDeployment) -> None:
    """A machine without a battery has the time of its last stop until the network gives it the right one."""
    key_id = new_key(local)
    local.deployment.close()
    local.clock.restart()
    local.reopen()
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    local.clock.advance(60)
    local.clock.step(20 * DAY)
    local.deployment.keeper.run()
    local.clock.advance(600)
    local.deployment.keeper.run()
    assert metadata(local, key_id)["DeletionDate"] == local.clock.now() + 7 * DAY


def test_an_operator_accepts_the_clock(local: LocalDeployment, doomed: str, caplog: pytest.LogCaptureFixture) -> None:
    local.clock.step(MONTH)
    local.deployment.keeper.run()
    ClockFiles(DataFolder(local.folder)).accept(reading_of(local.clock))
    local.deployment.keeper.run()
    assert is_gone(local, doomed)
    assert problems(local) == []
    assert "the clock was accepted as it is, 31.0 days ahead" in caplog.text
    other = new_key(local)
    local.call("ScheduleKeyDeletion", KeyId=other)
    local.clock.step(MONTH)
    local.deployment.keeper.run()
    assert not is_gone(local, other)


def test_a_repair_that_fails_holds_one_key_back(local: LocalDeployment, doomed: str) -> None:
    other = new_key(local)
    local.clock.advance(60)
    local.deployment.close()
    local.clock.restart()
    local.reopen()
    local.call("ScheduleKeyDeletion", KeyId=other, PendingWindowInDays=7)
    local.clock.step(20 * DAY)
    local.deployment.keeper.run()
    # The window of one key is too short; the other has been over for a day.
    local.clock.advance(11 * DAY)
    with broken(local.deployment.log):
        local.deployment.keeper.run()
    assert not is_gone(local, doomed)
    store: Any = local.deployment.backends.store
    write = store.write
    failed: list[str] = []

    def fails_once(act: Any, *scopes: Any) -> Any:
        if not failed and any(isinstance(scope, KeyScope) and scope.key_id == other for scope in scopes):
            failed.append(other)
            raise RuntimeError("the row is damaged")
        return write(act, *scopes)

    store.write = fails_once
    local.deployment.keeper.run()
    assert is_gone(local, doomed)
    assert not is_gone(local, other)
    local.deployment.keeper.run()
    assert metadata(local, other)["DeletionDate"] == local.clock.now() + 7 * DAY


def test_a_repair_that_finds_no_store_holds_everything_back(local: LocalDeployment, doomed: str) -> None:
    store: Any = local.deployment.backends.store
    read = store.read
    local.clock.step(MONTH)
    local.deployment.keeper.run()
    local.clock.step(-MONTH)
    local.deployment.keeper.run()
    local.clock.advance(30 * DAY)

    def fails() -> None:
        raise RuntimeError("the disk is gone")

    store.read = fails
    local.deployment.keeper.run()
    store.read = read
    assert not is_gone(local, doomed)
    local.deployment.keeper.run()
    assert is_gone(local, doomed)


def test_the_record_is_written_once_a_minute_and_when_something_happens(local: LocalDeployment) -> None:
    path = DataFolder(local.folder).clock

    def written() -> int:
        local.deployment.keeper.run()
        return path.stat().st_mtime_ns

    first = written()
    local.clock.advance(30)
    assert written() == first
    local.clock.advance(31)
    second = written()
    assert second != first
    local.clock.step(MONTH)
    third = written()
    assert third != second
    local.deployment.close()
    assert path.stat().st_mtime_ns != third
    local.reopen()
