import pytest
from msgspec.structs import replace

from keys_builder import NOW, make_key, material
from strongroom.clock import DAY
from strongroom.errors import UnsupportedOperationException, ValidationException
from strongroom.keys import lifecycle, multi_region
from strongroom.keys.arns import KeyLocator, key_arn
from strongroom.keys.kms_key import KeyMaterialState, KmsKey, RotationType
from strongroom.keys.specs import Origin
from strongroom.keys.states import KeyState

EAST, WEST, NORTH = "us-east-1", "eu-west-1", "eu-north-1"


def make_primary(*replicas: str, origin: Origin = Origin.AWS_KMS) -> KmsKey:
    """Return a primary in us-east-1 that has replicas."""
    key_id = "mrk-" + "a" * 32
    key = make_key(origin=origin)
    arn = key_arn(EAST, key.account, key_id)
    primary = replace(key, key_id=key_id, arn=arn, multi_region=True, primary_region=EAST)
    for region in replicas:
        primary = multi_region.with_replica(primary, region)
    return primary


def make_replica(primary: KmsKey, region: str = WEST) -> KmsKey:
    """Return a replica that is ready, with a token of its own for each material."""
    begun = multi_region.new_replica(primary, region, now=NOW + 1)
    return multi_region.synchronized(begun, primary, tokens_for(begun, primary))


def tokens_for(relative: KmsKey, source: KmsKey) -> dict[str, bytes]:
    return {each.material_id: b"copy" for each in multi_region.not_yet_in(relative, source)}


def rotate(key: KmsKey, number: int, kind: RotationType = RotationType.ON_DEMAND) -> KmsKey:
    return lifecycle.rotate(key, material(number).material_id, b"token", kind, NOW)


def test_single_region_keys_and_replicas_are_no_primary() -> None:
    primary = make_primary(WEST)
    multi_region.require_primary(primary)
    for other in (make_key(), make_replica(primary)):
        with pytest.raises(UnsupportedOperationException) as caught:
            multi_region.require_primary(other)
        assert caught.value.message == f"{other.arn} is not a multi-region primary key."


def test_a_new_replica_has_no_material_policy_aliases_or_tags() -> None:
    primary = replace(
        make_primary(), description="mine", policy="{}", pinned=(("a", "b"),), tags=(("t", "v"),), aliases=("alias/x",)
    )
    replica = multi_region.new_replica(primary, WEST, now=NOW + 1)
    assert (replica.state, replica.materials, replica.created_at) == (KeyState.CREATING, (), NOW + 1)
    assert (replica.description, replica.policy, replica.pinned, replica.tags, replica.aliases) == ("", "", (), (), ())
    assert replica.locator == KeyLocator(primary.account, WEST, primary.key_id)
    assert replica.arn == primary.arn.replace(EAST, WEST)
    assert replica.is_replica


def test_a_replica_gets_every_material_with_its_own_token() -> None:
    primary = rotate(rotate(make_primary(WEST), 2), 3)
    replica = make_replica(primary)
    assert replica.state is KeyState.ENABLED
    assert [replace(each, token=b"") for each in replica.materials] == [
        replace(each, token=b"") for each in primary.materials
    ]
    assert {each.token for each in replica.materials} == {b"copy"}
    assert replica.on_demand_rotations == 2


def test_synchronizing_copies_the_shared_properties_and_no_others() -> None:
    primary = make_primary(WEST)
    replica = replace(make_replica(primary), description="other", tags=(("t", "v"),), state=KeyState.DISABLED)
    rotated = lifecycle.enable_rotation(rotate(primary, 2), 90, NOW)
    rotated = multi_region.with_replica(replace(rotated, description="changed"), NORTH)
    assert [each.material_id for each in multi_region.not_yet_in(replica, rotated)] == [material(2).material_id]
    after = multi_region.synchronized(replica, rotated, tokens_for(replica, rotated))
    assert (after.description, after.tags, after.state) == ("other", (("t", "v"),), KeyState.DISABLED)
    assert (after.rotation, after.replica_regions) == (rotated.rotation, (NORTH, WEST))
    assert [each.state for each in after.materials] == [KeyMaterialState.NON_CURRENT, KeyMaterialState.CURRENT]
    assert multi_region.not_yet_in(after, rotated) == ()
    assert multi_region.synchronized(after, rotated, {}) == after


def test_imported_material_is_known_to_a_replica_but_not_copied() -> None:
    held = replace(material(1), expires_at=NOW + DAY, description="from home")
    primary = replace(make_primary(WEST, origin=Origin.EXTERNAL), state=KeyState.ENABLED, materials=(held,))
    replica = make_replica(primary)
    assert multi_region.not_yet_in(replica, primary) == ()
    assert replica.state is KeyState.PENDING_IMPORT
    assert replica.materials == (replace(held, token=None, expires_at=None),)
    imported = replace(replica, state=KeyState.ENABLED, materials=(replace(held, token=b"own", expires_at=None),))
    lost = replace(primary, materials=(replace(held, token=None),))
    assert multi_region.synchronized(imported, lost, {}) == imported


def test_cancelling_the_deletion_of_a_replica_that_lacks_its_material() -> None:
    primary = replace(make_primary(WEST, origin=Origin.EXTERNAL), state=KeyState.ENABLED, materials=(material(1),))
    scheduled = multi_region.schedule_deletion(make_replica(primary), 7, NOW)
    assert lifecycle.cancel_deletion(scheduled).state is KeyState.PENDING_IMPORT


def test_a_new_primary_is_the_primary_of_all_related_keys() -> None:
    primary = make_primary(WEST, NORTH)
    there, elsewhere = make_replica(primary), make_replica(primary, NORTH)
    before = multi_region.succeeded_by(primary, WEST)
    assert before.is_replica
    new, other = (multi_region.synchronized(each, before, {}) for each in (there, elsewhere))
    multi_region.require_primary(new)
    assert other.is_replica
    assert {(each.primary_region, each.replica_regions) for each in (before, new, other)} == {(WEST, (NORTH, EAST))}
    assert {where.region for where in new.relatives} == {EAST, NORTH}
    assert multi_region.primary_of(other) == new.locator


def test_replicas_are_rotated_only_with_their_primary() -> None:
    primary = lifecycle.enable_rotation(make_primary(WEST), 90, NOW)
    replica = make_replica(primary)
    due = NOW + 90 * DAY
    assert lifecycle.rotation_due(primary, due)
    assert not lifecycle.rotation_due(replica, due)
    for refused in (
        lambda: lifecycle.enable_rotation(replica, 90, NOW),
        lambda: lifecycle.disable_rotation(replica),
        lambda: lifecycle.require_on_demand_rotation(replica, NOW),
    ):
        with pytest.raises(UnsupportedOperationException, match="is not a multi-region primary key"):
            refused()


def test_a_primary_waits_for_its_replicas_and_then_for_its_own_window() -> None:
    waiting = multi_region.schedule_deletion(make_primary(WEST, NORTH), 7, NOW)
    assert (waiting.state, waiting.deletion_at) == (KeyState.PENDING_REPLICA_DELETION, None)
    assert waiting.deletion_window_days == 7
    assert not lifecycle.deletion_due(waiting, NOW + 10_000 * DAY)
    one_left = multi_region.without_replica(waiting, WEST, NOW + DAY)
    assert (one_left.state, one_left.deletion_at) == (KeyState.PENDING_REPLICA_DELETION, None)
    alone = multi_region.without_replica(one_left, NORTH, NOW + 40 * DAY)
    assert (alone.state, alone.deletion_at, alone.replica_regions) == (
        KeyState.PENDING_DELETION,
        NOW + 47 * DAY,
        (),
    )
    for scheduled in (waiting, one_left, alone):
        cancelled = lifecycle.cancel_deletion(scheduled)
        assert (cancelled.state, cancelled.deletion_at, cancelled.deletion_window_days) == (
            KeyState.DISABLED,
            None,
            None,
        )


def test_deleting_a_replica_does_not_change_a_primary_that_is_not_scheduled_for_deletion() -> None:
    for primary in (make_primary(WEST), lifecycle.disable(make_primary(WEST))):
        assert multi_region.without_replica(primary, WEST, NOW) == replace(primary, replica_regions=())


def test_a_primary_without_replicas_and_a_replica_start_their_waiting_period_at_once() -> None:
    for key in (make_primary(), make_replica(make_primary(WEST, NORTH)), make_key()):
        scheduled = multi_region.schedule_deletion(key, 7, NOW)
        assert (scheduled.state, scheduled.deletion_at) == (KeyState.PENDING_DELETION, NOW + 7 * DAY)
    with pytest.raises(ValidationException):
        multi_region.schedule_deletion(make_primary(WEST), 6, NOW)
