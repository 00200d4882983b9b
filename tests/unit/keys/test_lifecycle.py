from math import inf

import pytest
from msgspec.structs import replace

from keys_builder import make_key
from strongroom.clock import DAY
from strongroom.errors import (
    ConflictException,
    LimitExceededException,
    UnsupportedOperationException,
    ValidationException,
)
from strongroom.keys import lifecycle
from strongroom.keys.kms_key import KeyMaterialState, KmsKey, RotationType
from strongroom.keys.specs import KeySpec, Origin
from strongroom.keys.states import KeyState

NOW = 1_790_000_000.0


def rotate(key: KmsKey, number: int, kind: RotationType = RotationType.ON_DEMAND, now: float = NOW) -> KmsKey:
    return lifecycle.rotate(key, f"{number:064x}", b"token", kind, now)


def test_a_key_without_material_is_pending_import() -> None:
    assert make_key(origin=Origin.EXTERNAL).state is KeyState.PENDING_IMPORT
    assert make_key(origin=Origin.EXTERNAL).current_material is None


def test_deletion_has_a_waiting_period_and_cancelling_it_leaves_the_key_disabled() -> None:
    scheduled = lifecycle.schedule_deletion(make_key(), 7, NOW)
    assert scheduled.state is KeyState.PENDING_DELETION
    assert scheduled.deletion_at == NOW + 7 * DAY
    assert not lifecycle.deletion_due(scheduled, NOW + 7 * DAY - 1)
    assert lifecycle.deletion_due(scheduled, NOW + 7 * DAY)
    cancelled = lifecycle.cancel_deletion(scheduled)
    assert cancelled.state is KeyState.DISABLED
    assert cancelled.deletion_at is None
    assert not lifecycle.deletion_due(cancelled, NOW + 100 * DAY)


def test_cancelling_the_deletion_of_a_key_without_material() -> None:
    scheduled = lifecycle.schedule_deletion(make_key(origin=Origin.EXTERNAL), 30, NOW)
    assert lifecycle.cancel_deletion(scheduled).state is KeyState.PENDING_IMPORT


@pytest.mark.parametrize("days", [1, 6, 31, 365])
def test_deletion_windows_outside_7_to_30_days(days: int) -> None:
    with pytest.raises(ValidationException):
        lifecycle.schedule_deletion(make_key(), days, NOW)


def test_rotation_makes_one_material_current_and_keeps_the_others() -> None:
    key = make_key()
    for number in range(1, 11):
        key = rotate(key, number)
    assert [material.state for material in key.materials] == [KeyMaterialState.NON_CURRENT] * 10 + [
        KeyMaterialState.CURRENT
    ]
    assert key.current_material is key.materials[-1]
    assert key.on_demand_rotations == 10


def test_automatic_rotation_moves_the_schedule_and_on_demand_rotation_does_not() -> None:
    key = lifecycle.enable_rotation(make_key(), 90, NOW)
    assert rotate(key, 1, now=NOW + DAY).rotation == key.rotation
    late = NOW + 5 * 365 * DAY
    assert rotate(key, 1, RotationType.AUTOMATIC, late).rotation.next_at == late + 90 * DAY


def test_only_enabled_keys_rotate_and_an_overdue_one_rotates_once_enabled_again() -> None:
    key = lifecycle.enable_rotation(make_key(), 90, NOW)
    due = NOW + 90 * DAY
    assert not lifecycle.rotation_due(key, due - 1)
    assert lifecycle.rotation_due(key, due)
    disabled = lifecycle.disable(key)
    assert not lifecycle.rotation_due(disabled, due)
    assert lifecycle.rotation_due(lifecycle.enable(disabled), due)
    assert not lifecycle.rotation_due(lifecycle.disable_rotation(key), due)


def test_a_key_has_twenty_five_on_demand_rotations() -> None:
    key = make_key()
    for number in range(1, 26):
        lifecycle.require_on_demand_rotation(key, NOW)
        key = rotate(key, number)
    key = rotate(key, 100, RotationType.AUTOMATIC)
    with pytest.raises(LimitExceededException, match="The on-demand rotations limit has been reached"):
        lifecycle.require_on_demand_rotation(key, NOW)


def test_on_demand_rotation_conflicts_with_an_automatic_one_that_is_near() -> None:
    key = lifecycle.enable_rotation(make_key(), 90, NOW)
    lifecycle.require_on_demand_rotation(key, NOW + 90 * DAY - 21 * 60)
    with pytest.raises(ConflictException):
        lifecycle.require_on_demand_rotation(key, NOW + 90 * DAY - 19 * 60)


def test_keys_that_cannot_rotate_are_refused() -> None:
    with pytest.raises(UnsupportedOperationException, match="origin is EXTERNAL"):
        lifecycle.enable_rotation(make_key(origin=Origin.EXTERNAL), 90, NOW)
    with pytest.raises(UnsupportedOperationException):
        lifecycle.disable_rotation(replace(make_key(), spec=KeySpec.RSA_2048))


def test_a_repr_does_not_show_the_token() -> None:
    assert "token" not in repr(make_key().materials[0])


def test_dates_that_are_further_ahead_than_they_can_be_begin_anew() -> None:
    key = lifecycle.enable_rotation(make_key(), 90, NOW)
    leaving = lifecycle.schedule_deletion(key, 7, NOW)
    for sooner in (0, 1, lifecycle.MAX_AHEAD):
        assert lifecycle.with_dates_repaired(leaving, NOW - sooner, inf) == leaving
    now = NOW - 31 * DAY
    repaired = lifecycle.with_dates_repaired(leaving, now, inf)
    assert repaired.rotation == replace(key.rotation, next_at=now + 90 * DAY)
    assert repaired.deletion_at == now + 7 * DAY
    replica = replace(leaving, multi_region=True, primary_region="eu-west-1")
    assert lifecycle.with_dates_repaired(replica, now, inf).rotation == leaving.rotation
    assert lifecycle.with_dates_repaired(make_key(), now, inf) == make_key()


def test_a_waiting_period_that_began_while_the_clock_was_behind_begins_anew() -> None:
    leaving = lifecycle.schedule_deletion(make_key(), 7, NOW)
    assert lifecycle.with_dates_repaired(leaving, NOW + DAY, NOW + 1) == leaving
    assert lifecycle.with_dates_repaired(leaving, NOW + DAY, NOW).deletion_at == NOW + 8 * DAY
    # It is never moved back.
    assert lifecycle.with_dates_repaired(leaving, NOW - 1, NOW - 2) == leaving
