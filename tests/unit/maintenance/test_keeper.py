"""The keeper over a real data folder, with time under control."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from audit_disk import broken
from local_deployment import LocalDeployment, Refused, entropy
from strongroom.assembly.deployment import Deployment
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.token_errors import TokenFaultError, TokenTimeoutError, TokenUnavailableError
from strongroom.errors import UnsupportedOperationException
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.maintenance.key_rotation import AUTOMATIC_ROTATION
from strongroom.store.faults import StoreUnavailable
from strongroom.store.protocol import Transaction


@pytest.fixture
def local(tmp_path: Path, clock: ManualClock) -> Iterator[LocalDeployment]:
    local = LocalDeployment(tmp_path / "data", clock)
    yield local
    local.deployment.close()


def new_key(local: LocalDeployment) -> str:
    key_id: str = local.call("CreateKey")["KeyMetadata"]["KeyId"]
    return key_id


def rotations(local: LocalDeployment, key_id: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = local.call("ListKeyRotations", KeyId=key_id)["Rotations"]
    return found


def test_a_round_that_has_no_time_for_all_keys_says_so_and_the_next_one_goes_on(local: LocalDeployment) -> None:
    rotating, leaving = [new_key(local) for _ in range(3)], [new_key(local) for _ in range(2)]
    for key_id in rotating:
        local.call("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
    for key_id in leaving:
        local.call("ScheduleKeyDeletion", KeyId=key_id)
    local.clock.advance(90 * DAY)
    keeper = local.deployment.keeper
    keeper.duty_time = 0.0  # One key of each duty, however fast the machine is.
    found = []
    for _ in range(4):
        is_left = local.deployment.chores()
        found.append((keeper.counters.keys["rotated"], keeper.counters.keys["deleted"], is_left))
    assert found == [(1, 1, True), (2, 2, True), (3, 2, False), (3, 2, False)]


def test_a_process_that_ends_leaves_what_is_due(local: LocalDeployment) -> None:
    key_id = new_key(local)
    local.call("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
    local.clock.advance(90 * DAY)
    local.deployment.hurry()
    local.deployment.keeper.run()
    assert rotations(local, key_id) == []


def test_a_key_rotates_when_its_period_is_over_and_not_before(local: LocalDeployment) -> None:
    key_id = new_key(local)
    local.call("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
    blob = local.call("Encrypt", KeyId=key_id, Plaintext="eA==")["CiphertextBlob"]
    local.clock.advance(90 * DAY - 1)
    local.deployment.keeper.run()
    assert rotations(local, key_id) == []
    local.clock.advance(1)
    local.deployment.keeper.run()
    local.deployment.keeper.run()
    (rotation,) = rotations(local, key_id)
    assert rotation["RotationType"] == "AUTOMATIC"
    assert rotation["RotationDate"] == local.clock.now()
    status = local.call("GetKeyRotationStatus", KeyId=key_id)
    assert status["NextRotationDate"] == local.clock.now() + 90 * DAY
    assert local.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == "eA=="
    (event,) = [record for record in local.records() if record["eventName"] == "RotateKey"]
    assert event["eventType"] == "AwsServiceEvent"
    assert event["userIdentity"] == {"type": "AWSAccount", "accountId": "000000000000", "invokedBy": "AWS Internal"}
    assert event["serviceEventDetails"]["keyId"] == key_id
    assert event["resources"][0]["ARN"].endswith(key_id)


def test_a_key_that_missed_years_of_rotations_rotates_once(local: LocalDeployment) -> None:
    key_id = new_key(local)
    local.call("EnableKeyRotation", KeyId=key_id)
    local.clock.advance(5 * 365 * DAY)
    local.reopen()
    local.deployment.keeper.run()
    local.deployment.keeper.run()
    assert len(rotations(local, key_id)) == 1


def test_a_disabled_key_rotates_once_it_is_enabled_again(local: LocalDeployment) -> None:
    key_id = new_key(local)
    local.call("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
    local.call("DisableKey", KeyId=key_id)
    local.clock.advance(100 * DAY)
    local.deployment.keeper.run()
    assert rotations(local, key_id) == []
    local.call("EnableKey", KeyId=key_id)
    local.deployment.keeper.run()
    assert len(rotations(local, key_id)) == 1


def test_a_key_past_its_window_is_gone_and_leaves_no_trace_on_the_disk(local: LocalDeployment) -> None:
    doomed, kept = new_key(local), new_key(local)
    local.call("CreateAlias", AliasName="alias/doomed", TargetKeyId=doomed)
    local.call("TagResource", KeyId=doomed, Tags=[{"TagKey": "rare-tag", "TagValue": "rare-value"}])
    for _ in range(3):
        local.call("RotateKeyOnDemand", KeyId=doomed)
    blob = local.call("Encrypt", KeyId=doomed, Plaintext="eA==")["CiphertextBlob"]
    survivor = local.call("Encrypt", KeyId=kept, Plaintext="eA==")["CiphertextBlob"]
    local.call("ScheduleKeyDeletion", KeyId=doomed, PendingWindowInDays=7)
    tokens = tokens_of(local, doomed)
    assert len(tokens) == 4
    assert all(found_on_disk(local, token) for token in tokens)

    local.clock.advance(7 * DAY - 1)
    local.deployment.keeper.run()
    assert local.call("DescribeKey", KeyId="alias/doomed")["KeyMetadata"]["KeyState"] == "PendingDeletion"
    local.clock.advance(1)
    local.deployment.keeper.run()

    for name in (doomed, "alias/doomed"):
        with pytest.raises(Refused) as refused:
            local.call("DescribeKey", KeyId=name)
        assert refused.value.code == "NotFoundException"
    with pytest.raises(Refused) as refused:
        local.call("Decrypt", CiphertextBlob=blob)
    assert refused.value.code == "AccessDeniedException"
    assert not any(found_on_disk(local, token) for token in tokens)
    assert not found_on_disk(local, b"rare-value")
    assert local.call("Decrypt", CiphertextBlob=survivor)["Plaintext"] == "eA=="
    (event,) = [record for record in local.records() if record["eventName"] == "DeleteKey"]
    assert event["serviceEventDetails"] == {"keyId": doomed}


def test_deletion_happens_after_downtime_and_the_traces_of_a_crash_before_scrubbing_go_too(
    local: LocalDeployment,
) -> None:
    key_id = new_key(local)
    local.call("ScheduleKeyDeletion", KeyId=key_id)
    tokens = tokens_of(local, key_id)
    local.clock.advance(31 * DAY)
    local.reopen()
    local.deployment.keeper.run()
    with pytest.raises(Refused):
        local.call("DescribeKey", KeyId=key_id)
    assert not any(found_on_disk(local, token) for token in tokens)


@pytest.mark.parametrize("ends", [False, True])
def test_what_another_worker_erased_leaves_no_trace_either(local: LocalDeployment, *, ends: bool) -> None:
    key_id = new_key(local)
    tokens = tokens_of(local, key_id)
    other = Deployment(replace(local.settings, workers=2), local.clock, entropy, worker=1)
    other.chores()
    local.deployment.chores()

    def erase(transaction: Transaction) -> None:
        key = transaction.key(KeyLocator("000000000000", "us-east-1", key_id))
        assert key is not None
        transaction.erase_key(key)

    other.backends.store.write(erase)
    assert all(found_on_disk(local, token) for token in tokens)
    if not ends:
        other.chores()
        assert not any(found_on_disk(local, token) for token in tokens)
    other.close()
    assert not any(found_on_disk(local, token) for token in tokens)


def test_a_cancelled_deletion_never_happens(local: LocalDeployment) -> None:
    key_id = new_key(local)
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    local.call("CancelKeyDeletion", KeyId=key_id)
    local.clock.advance(365 * DAY)
    local.deployment.keeper.run()
    assert local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["KeyState"] == "Disabled"


def test_one_key_that_fails_does_not_keep_the_others_from_their_turn(
    local: LocalDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [new_key(local) for _ in range(3)]
    for key_id in keys:
        local.call("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
    backend: Any = local.deployment.backends.key_backends.of_store(None)
    generate = backend.generate
    failed: list[object] = []

    def fails_once(owner: object) -> bytes:
        if not failed:
            failed.append(owner)
            raise RuntimeError("the token is not there")
        token: bytes = generate(owner)
        return token

    backend.generate = fails_once
    local.clock.advance(90 * DAY)
    local.deployment.keeper.run()
    assert sorted(len(rotations(local, key_id)) for key_id in keys) == [0, 1, 1]
    assert "the keeper could not finish" in caplog.text
    local.deployment.keeper.run()
    assert [len(rotations(local, key_id)) for key_id in keys] == [1, 1, 1]


def test_a_duty_that_fails_names_a_few_of_the_keys_that_are_held_back(
    local: LocalDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = local.deployment.keeper
    held = {KeyLocator("000000000000", "us-east-1", f"key-{number:04}") for number in range(5000)}

    def fails(*_arguments: object) -> None:
        raise RuntimeError("a defect")

    keeper._due_keys.work = fails  # type: ignore[method-assign, assignment]
    keeper._run_guarded(keeper._do_duty, AUTOMATIC_ROTATION, local.deployment.clock_watch.moment(), held)
    (record,) = caplog.records
    assert "and 4997 more" in record.getMessage()
    assert len(record.getMessage()) < 1000


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TokenUnavailableError("the token is away"), "the token is away"),
        (TokenTimeoutError("the token is slow"), "the token is slow"),
        (TokenFaultError("the token has no room"), "the token has no room"),
        (UnsupportedOperationException("It does not leave the token."), "It does not leave the token."),
    ],
)
def test_what_a_token_does_not_do_is_logged_in_one_line(
    local: LocalDeployment, caplog: pytest.LogCaptureFixture, error: Exception, told: str
) -> None:
    local.call("EnableKeyRotation", KeyId=new_key(local), RotationPeriodInDays=90)
    backend: Any = local.deployment.backends.key_backends.of_store(None)

    def fails(_owner: object) -> bytes:
        raise error

    backend.generate = fails
    local.clock.advance(90 * DAY)
    local.deployment.keeper.run()
    (record,) = [each for each in caplog.records if "could not finish" in each.getMessage()]
    assert record.getMessage().endswith(f", and tries again: {told}")
    assert record.exc_info is None


def test_a_hundred_keys_that_fail_do_not_hide_what_is_due_behind_them(local: LocalDeployment) -> None:
    keys = [new_key(local) for _ in range(103)]
    for key_id in keys:
        local.call("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
        local.clock.advance(1)
    backend: Any = local.deployment.backends.key_backends.of_store(None)
    generate, broken = backend.generate, set(keys[:101])

    def fails(owner: MaterialBinding) -> bytes:
        if owner.key_id in broken:
            raise RuntimeError("the token is not there")
        token: bytes = generate(owner)
        return token

    backend.generate = fails
    local.clock.advance(90 * DAY)
    local.deployment.keeper.run()
    assert [len(rotations(local, key_id)) for key_id in keys] == [0] * 101 + [1] * 2


def test_nothing_is_destroyed_without_a_record(local: LocalDeployment) -> None:
    key_id = new_key(local)
    local.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    local.clock.advance(8 * DAY)
    backend: Any = local.deployment.backends.key_backends.of_store(None)
    keys_at_destruction: list[KmsKey | None] = []

    def destroyed(_token: bytes, owner: MaterialBinding) -> None:
        with local.deployment.backends.store.read() as reader:
            keys_at_destruction.append(reader.key(KeyLocator(owner.account, owner.region, owner.key_id)))

    backend.destroy, backend.keeps_material = destroyed, True
    with broken(local.deployment.log):
        local.deployment.keeper.run()
    assert local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert keys_at_destruction == []
    local.deployment.keeper.run()
    # After the commit: what cannot be undone comes last.
    assert keys_at_destruction == [None]
    with pytest.raises(Refused):
        local.call("DescribeKey", KeyId=key_id)
    assert [json.dumps(each["serviceEventDetails"]) for each in local.records() if each["eventName"] == "DeleteKey"]


def tokens_of(local: LocalDeployment, key_id: str) -> list[bytes]:
    """Return the ciphertext part of each wrapped material of a key: enough to find it anywhere."""
    arn = local.call("DescribeKey", KeyId=key_id)["KeyMetadata"]["Arn"]
    _, _, _, region, account, _ = arn.split(":")
    active = local.deployment.backends.snapshot.key(KeyLocator(account, region, key_id), may_wait=True)
    assert active is not None
    return [material.token[17:49] for material in active.key.materials if material.token is not None]


def found_on_disk(local: LocalDeployment, secret: bytes) -> bool:
    """Search the database and its logs, free pages and all."""
    return any(secret in path.read_bytes() for path in local.folder.glob("strongroom.db*"))


def test_a_failure_that_repeats_is_logged_once(local: LocalDeployment, caplog: pytest.LogCaptureFixture) -> None:
    keeper = local.deployment.keeper
    clock_file = local.settings.folder / "clock"
    keeper.run()
    clock_file.unlink(missing_ok=True)
    clock_file.mkdir()
    for _ in range(3):
        local.clock.advance(61)
        keeper.run()
    assert keeper.counters.failures == 3
    assert [record.exc_info for record in caplog.records if "could not finish save" in record.message] == [None]
    assert "Is a directory" in caplog.text
    # Once it has worked again, the next failure is news.
    clock_file.rmdir()
    local.clock.advance(61)
    keeper.run()
    clock_file.unlink()
    clock_file.mkdir()
    local.clock.advance(61)
    keeper.run()
    assert caplog.text.count("could not finish save") == 2
    clock_file.rmdir()


def test_what_is_done_once_is_tried_again_until_it_succeeds(local: LocalDeployment) -> None:
    outcomes = iter([StoreUnavailable("busy", "locked"), None])
    done = []

    def act() -> None:
        outcome = next(outcomes)
        done.append(outcome)
        if outcome is not None:
            raise outcome

    keeper = local.deployment.keeper
    keeper._at_start = act
    keeper.run()
    keeper.run()
    assert len(done) == 1
    local.clock.advance(600)
    keeper.run()
    local.clock.advance(600)
    keeper.run()
    assert len(done) == 2
