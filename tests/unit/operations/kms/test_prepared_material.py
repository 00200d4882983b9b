"""Key material that was prepared for a change is destroyed or kept if the change fails or the key changes meanwhile."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from key_import import import_material
from local_deployment import Refused, entropy
from mixed_deployment import ACCOUNT, MixedDeployment
from strongroom.clock import DAY, ManualClock
from strongroom.crypto.material import MaterialBinding
from strongroom.keys.arns import KeyLocator
from strongroom.keys.custom_key_stores import ConnectionState
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec
from strongroom.store.protocol import Transaction
from watched_store import Ending, Killed

WEST, SOUTH = "eu-west-1", "ap-southeast-2"
MATERIAL = entropy(32)
DATA = base64.b64encode(b"data").decode()


@pytest.fixture
def mixed(tmp_path: Path, clock: ManualClock) -> Iterator[MixedDeployment]:
    mixed = MixedDeployment(tmp_path / "data", clock, token_is_default=True)
    yield mixed
    assert mixed.token.misuses == []
    mixed.deployment.close()


def keys(mixed: MixedDeployment) -> list[KmsKey]:
    with mixed.store.read() as reader:
        found = [
            reader.key(locator)
            for region in ("us-east-1", WEST, SOUTH)
            for locator in reader.keys(ACCOUNT, region, "", 1000)
        ]
    return [key for key in found if key is not None]


def create(mixed: MixedDeployment) -> Callable[[], object]:
    return mixed.new_key


def rotate(mixed: MixedDeployment) -> Callable[[], object]:
    key_id = mixed.new_key()
    return lambda: mixed.call("RotateKeyOnDemand", KeyId=key_id)


def rotate_related(mixed: MixedDeployment) -> Callable[[], object]:
    key_id = mixed.new_key(MultiRegion=True)
    for region in (WEST, SOUTH):
        mixed.call("ReplicateKey", KeyId=key_id, ReplicaRegion=region)
    return lambda: mixed.call("RotateKeyOnDemand", KeyId=key_id)


def replicate(mixed: MixedDeployment) -> Callable[[], object]:
    key_id = mixed.new_key(MultiRegion=True)
    mixed.call("RotateKeyOnDemand", KeyId=key_id)
    return lambda: mixed.call("ReplicateKey", KeyId=key_id, ReplicaRegion=WEST)


def bring_in(mixed: MixedDeployment) -> Callable[[], object]:
    key_id = mixed.new_key(Origin="EXTERNAL")
    return lambda: import_material(mixed, key_id, MATERIAL)


def bring_in_again(mixed: MixedDeployment) -> Callable[[], object]:
    key_id = mixed.new_key(Origin="EXTERNAL")
    import_material(mixed, key_id, MATERIAL)
    return lambda: import_material(mixed, key_id, MATERIAL, ValidTo=mixed.clock.now() + DAY)


def delete_material(mixed: MixedDeployment) -> Callable[[], object]:
    key_id = mixed.new_key(Origin="EXTERNAL")
    import_material(mixed, key_id, MATERIAL)
    return lambda: mixed.call("DeleteImportedKeyMaterial", KeyId=key_id)


def make_managed(mixed: MixedDeployment) -> Callable[[], object]:
    mixed.deployment.registrar.create_service("backup.amazonaws.com")
    return lambda: mixed.call("DescribeKey", KeyId="alias/aws/backup")


def rotate_when_due(mixed: MixedDeployment) -> Callable[[], object]:
    mixed.call("EnableKeyRotation", KeyId=mixed.new_key(), RotationPeriodInDays=90)
    mixed.clock.advance(90 * DAY)
    return mixed.deployment.keeper.run


def expire(mixed: MixedDeployment) -> Callable[[], object]:
    import_material(mixed, mixed.new_key(Origin="EXTERNAL"), MATERIAL, ValidTo=mixed.clock.now() + DAY)
    mixed.clock.advance(DAY)
    return mixed.deployment.keeper.run


def delete_when_due(mixed: MixedDeployment) -> Callable[[], object]:
    mixed.call("ScheduleKeyDeletion", KeyId=mixed.new_key(), PendingWindowInDays=7)
    mixed.clock.advance(7 * DAY)
    return mixed.deployment.keeper.run


BY_REQUEST = [create, rotate, rotate_related, replicate, bring_in, bring_in_again, delete_material, make_managed]
WHEN_DUE = [rotate_when_due, expire, delete_when_due]
EVERY_CHANGE = pytest.mark.parametrize("change", BY_REQUEST + WHEN_DUE)


def attempt(mixed: MixedDeployment, change: Callable[[], object]) -> None:
    """Make a change that fails: the caller gets a fault, and the keeper counts it, unless its process ends."""
    failures = mixed.deployment.keeper.counters.failures
    is_counted = mixed.store.ending is not Ending.NOT_SETTLED
    if change == mixed.deployment.keeper.run:
        change()
        assert mixed.deployment.keeper.counters.failures == failures + is_counted
        return
    with pytest.raises(Refused) as refused:
        change()
    assert refused.value.status == 500


def test_the_simulator_fails_a_test_that_calls_it_in_a_transaction_or_on_an_event_loop(mixed: MixedDeployment) -> None:
    owner = MaterialBinding(ACCOUNT, "us-east-1", "key", "ab" * 32, KeySpec.SYMMETRIC_DEFAULT)

    async def on_event_loop() -> None:
        mixed.token.generate(owner)

    with pytest.raises(pytest.fail.Exception, match="while a write transaction was open"):
        mixed.store.write(lambda _: mixed.token.generate(owner))
    with pytest.raises(pytest.fail.Exception, match="on the event loop's thread"):
        asyncio.run(on_event_loop())
    assert len(mixed.token.misuses) == 2
    assert mixed.token.objects == {}
    mixed.token.misuses.clear()


@EVERY_CHANGE
def test_a_failed_commit_leaves_nothing_in_the_token_and_the_change_can_be_made_afterwards(
    mixed: MixedDeployment, change: Callable[[MixedDeployment], Callable[[], object]]
) -> None:
    act = change(mixed)
    before, objects = keys(mixed), set(mixed.token.objects)
    mixed.store.ending = Ending.FAILS
    attempt(mixed, act)
    assert keys(mixed) == before
    assert set(mixed.token.objects) == objects
    act()
    assert keys(mixed) != before
    mixed.require_no_orphans()


@pytest.mark.parametrize("ending", [Ending.UNKNOWN_DONE, Ending.NOT_SETTLED])
@EVERY_CHANGE
def test_after_a_commit_that_may_have_happened_no_key_lacks_its_material(
    mixed: MixedDeployment,
    change: Callable[[MixedDeployment], Callable[[], object]],
    ending: Ending,
    caplog: pytest.LogCaptureFixture,
) -> None:
    act = change(mixed)
    before = keys(mixed)
    mixed.store.ending = ending
    attempt(mixed, act)
    assert keys(mixed) != before
    assert mixed.live_tokens() <= set(mixed.token.objects)
    for token in set(mixed.token.objects) - mixed.live_tokens():
        assert f"'{mixed.token.objects[token].owner.key_id}'" in caplog.text


@pytest.mark.parametrize("change", [create, rotate, rotate_related, replicate, bring_in, rotate_when_due])
def test_material_that_may_belong_to_a_key_is_kept_and_named_in_the_log(
    mixed: MixedDeployment,
    change: Callable[[MixedDeployment], Callable[[], object]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    act = change(mixed)
    objects = set(mixed.token.objects)
    mixed.store.ending = Ending.UNKNOWN_UNDONE
    attempt(mixed, act)
    kept = set(mixed.token.objects) - objects
    assert kept
    assert kept == set(mixed.token.objects) - mixed.live_tokens()
    for token in kept:
        owner = mixed.token.objects[token].owner
        assert f"key material {owner.material_id} of key {owner.key_id}" in caplog.text
        assert owner.region in caplog.text


@pytest.mark.parametrize("change", [create, rotate, rotate_related, replicate, bring_in, make_managed, rotate_when_due])
def test_a_crash_before_the_commit_leaves_objects_that_tell_their_key_and_nothing_else(
    mixed: MixedDeployment, change: Callable[[MixedDeployment], Callable[[], object]]
) -> None:
    act = change(mixed)
    before, objects = keys(mixed), set(mixed.token.objects)

    def gone() -> None:
        # A dead process makes no more calls.
        mixed.token.connected = False

    mixed.store.ending, mixed.store.at_ending = Ending.KILLED, gone
    with pytest.raises(Killed):
        act()
    mixed.token.connected = True
    mixed.reopen()
    assert keys(mixed) == before
    orphans = set(mixed.token.objects) - objects
    assert 1 <= len(orphans) <= 3
    assert objects == mixed.live_tokens()
    for token in orphans:
        owner = mixed.token.objects[token].owner
        assert (owner.account, len(owner.material_id)) == (ACCOUNT, 64)


@pytest.mark.parametrize("change", [create, rotate, rotate_related, replicate, bring_in, make_managed, rotate_when_due])
def test_an_interrupt_after_the_commit_takes_no_material_from_a_key(
    mixed: MixedDeployment, change: Callable[[MixedDeployment], Callable[[], object]]
) -> None:
    act = change(mixed)
    before = keys(mixed)
    mixed.store.ending = Ending.INTERRUPTED
    with pytest.raises(KeyboardInterrupt):
        act()
    assert keys(mixed) != before
    mixed.require_no_orphans()


@pytest.mark.parametrize("method", ["generate", "replicate"])
def test_what_was_made_is_destroyed_if_the_token_fails_in_between(mixed: MixedDeployment, method: str) -> None:
    act = rotate_related(mixed)
    before = keys(mixed)
    mixed.token.failing = {method}
    attempt(mixed, act)
    assert keys(mixed) == before
    mixed.require_no_orphans()
    mixed.token.failing = set()
    act()
    mixed.require_no_orphans()


def test_a_lost_connection_fails_the_request_and_not_the_next(mixed: MixedDeployment) -> None:
    key_id = mixed.new_key()
    mixed.token.connected = False
    for operation, request in (
        ("CreateKey", {}),
        ("RotateKeyOnDemand", {"KeyId": key_id}),
        ("Encrypt", {"KeyId": key_id, "Plaintext": DATA}),
    ):
        with pytest.raises(Refused) as refused:
            mixed.call(operation, **request)
        assert (refused.value.status, refused.value.code) == (500, "KeyUnavailableException")
    mixed.call("TagResource", KeyId=key_id, Tags=[{"TagKey": "name", "TagValue": "value"}])
    mixed.token.connected = True
    mixed.call("RotateKeyOnDemand", KeyId=key_id)
    mixed.call("Encrypt", KeyId=key_id, Plaintext=DATA)
    mixed.require_no_orphans()


@pytest.mark.parametrize("change", [delete_material, bring_in_again, expire, delete_when_due])
def test_a_change_succeeds_even_if_old_material_cannot_be_destroyed_and_the_log_names_that(
    mixed: MixedDeployment,
    change: Callable[[MixedDeployment], Callable[[], object]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    act = change(mixed)
    before, objects = keys(mixed), set(mixed.token.objects)
    mixed.token.failing = {"destroy"}
    act()
    assert keys(mixed) != before
    assert mixed.deployment.keeper.counters.failures == 0
    (left,) = objects
    assert left in mixed.token.objects
    assert f"key material {mixed.token.objects[left].owner.material_id} of key" in caplog.text
    assert "is erased and not yet destroyed; that is tried again (the token does not answer: destroy)" in caplog.text
    mixed.token.failing = set()
    mixed.clock.advance(3600)
    mixed.deployment.keeper.run()
    mixed.require_no_orphans()
    assert mixed.deployment.keeper.counters.destructions_left == 0


def test_a_key_that_is_replicated_while_it_rotates_gets_the_new_material_everywhere(mixed: MixedDeployment) -> None:
    key_id = mixed.new_key(MultiRegion=True)
    regions = [WEST, SOUTH]

    def other_request() -> None:
        if regions:
            mixed.call("ReplicateKey", KeyId=key_id, ReplicaRegion=regions.pop())

    mixed.store.before_write = other_request
    mixed.call("RotateKeyOnDemand", KeyId=key_id)
    assert regions == []
    assert [len(key.materials) for key in keys(mixed)] == [2, 2, 2]
    assert len({key.materials[1].material_id for key in keys(mixed)}) == 1
    mixed.require_no_orphans()
    assert len(mixed.token.objects) == 6


def test_a_key_that_keeps_changing_is_given_up_after_some_attempts(mixed: MixedDeployment) -> None:
    key_id = mixed.new_key(MultiRegion=True)
    mixed.store.before_write = lambda: mixed.call("RotateKeyOnDemand", KeyId=key_id)
    with pytest.raises(Refused, match="The key was changed by other requests at the same time") as refused:
        mixed.call("ReplicateKey", KeyId=key_id, ReplicaRegion=WEST)
    assert (refused.value.status, refused.value.code) == (500, "DependencyTimeoutException")
    mixed.store.before_write = None
    mixed.require_no_orphans()
    assert len(keys(mixed)) == 1


def test_a_key_that_is_deleted_while_it_rotates_leaves_nothing(mixed: MixedDeployment) -> None:
    key_id = mixed.new_key()
    mixed.store.before_write = lambda: mixed.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    with pytest.raises(Refused, match="KMSInvalidStateException"):
        mixed.call("RotateKeyOnDemand", KeyId=key_id)
    mixed.store.before_write = None
    mixed.require_no_orphans()


def test_a_custom_key_store_that_is_disconnected_meanwhile_gets_no_key(mixed: MixedDeployment) -> None:
    mixed.store.before_write = lambda: mixed.put_in_state(ConnectionState.DISCONNECTED)
    with pytest.raises(Refused, match="CustomKeyStoreInvalidStateException"):
        mixed.new_key_in_custom_store()
    assert keys(mixed) == []


def test_a_due_rotation_is_recorded_once_however_often_its_transaction_runs(tmp_path: Path, clock: ManualClock) -> None:
    mixed = MixedDeployment(tmp_path / "again", clock, token_is_default=True, reruns=True)
    rotate_when_due(mixed)()
    (event,) = [each for each in mixed.records() if each["eventName"] == "RotateKey"]
    (key,) = keys(mixed)
    assert event["serviceEventDetails"]["keyMaterialId"] == key.materials[1].material_id
    mixed.require_no_orphans()
    mixed.deployment.close()


def test_what_the_record_says_is_what_was_done_even_if_the_key_changed_in_between(mixed: MixedDeployment) -> None:
    key_id = mixed.new_key(Origin="EXTERNAL")
    soon = mixed.clock.now() + DAY
    import_material(mixed, key_id, MATERIAL, ValidTo=soon)
    import_material(mixed, key_id, entropy(32), ImportType="NEW_KEY_MATERIAL", ValidTo=soon)
    mixed.call("RotateKeyOnDemand", KeyId=key_id)
    (key,) = keys(mixed)
    first, second = (material.material_id for material in key.materials)
    mixed.clock.advance(DAY)
    asked: list[str] = [first]

    def other_request() -> None:
        if asked:
            mixed.call("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=asked.pop())

    mixed.store.before_write = other_request
    mixed.deployment.keeper.run()
    assert mixed.deployment.keeper.counters.failures == 0
    recorded = [
        each["serviceEventDetails"]["keyMaterialId"]
        for each in mixed.records()
        if each["eventName"] == "DeleteExpiredKeyMaterial"
    ]
    # Not what was to be done when the key was read first.
    assert recorded == [second]
    mixed.require_no_orphans()
    assert mixed.token.objects == {}


def test_a_due_change_that_another_worker_makes_first_is_not_made_again(mixed: MixedDeployment) -> None:
    key_id = mixed.new_key()
    mixed.call("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    mixed.clock.advance(7 * DAY)
    locator = KeyLocator(ACCOUNT, "us-east-1", key_id)

    def erase(transaction: Transaction) -> None:
        key = transaction.key(locator)
        if key is not None:
            transaction.erase_key(key)

    mixed.store.before_write = lambda: mixed.store.write(erase)
    mixed.deployment.keeper.run()
    assert mixed.deployment.keeper.counters.failures == 0
    assert mixed.deployment.keeper.counters.keys["deleted"] == 0
