"""The life cycle of a KMS key as pure functions: each takes a key and returns the key after one change.

The rules, all from the KMS Developer Guide:

- Enabling and disabling change only the state. A disabled key does not rotate; one that is overdue rotates as soon as
  it is enabled again ("Rotating AWS KMS keys").
- Deletion is never immediate: a key waits 7-30 days as PendingDeletion. A cancelled deletion leaves it Disabled, so
  that it is not used unintentionally ("Deleting AWS KMS keys").
- Rotation makes a new backing key current and keeps every old one for decryption. Automatic rotation runs from the day
  it was enabled; setting it again starts a new period. On-demand rotation does not change that schedule and is possible
  25 times in a key's life.

``states`` decides whether a state allows an operation at all. These functions do not check it again.
"""

from msgspec.structs import replace

from strongroom.clock import DAY
from strongroom.errors import (
    ConflictException,
    LimitExceededException,
    UnsupportedOperationException,
    ValidationException,
)
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, KmsKey, Rotation, RotationType
from strongroom.keys.specs import KeySpec, Origin
from strongroom.keys.states import KeyState

MIN_DELETION_WINDOW_DAYS = 7
MAX_DELETION_WINDOW_DAYS = 30
DEFAULT_DELETION_WINDOW_DAYS = 30
MAX_ON_DEMAND_ROTATIONS = 25
MAX_AHEAD = DAY
"""By how much a rotation or a deletion may be further ahead than one period or window, in seconds."""
_CONFLICT_WINDOW = 20 * 60.0


def enable(key: KmsKey) -> KmsKey:
    """Return the key enabled."""
    return replace(key, state=KeyState.ENABLED)


def disable(key: KmsKey) -> KmsKey:
    """Return the key disabled."""
    return replace(key, state=KeyState.DISABLED)


def schedule_deletion(key: KmsKey, window_days: int, now: float) -> KmsKey:
    """Return the key in its waiting period; raises ValidationException for a window outside 7-30 days."""
    if not MIN_DELETION_WINDOW_DAYS <= window_days <= MAX_DELETION_WINDOW_DAYS:
        raise ValidationException(
            f"PendingWindowInDays must be between {MIN_DELETION_WINDOW_DAYS} and {MAX_DELETION_WINDOW_DAYS}, inclusive."
        )
    return replace(
        key,
        state=KeyState.PENDING_DELETION,
        deletion_at=now + window_days * DAY,
        deletion_window_days=window_days,
    )


def cancel_deletion(key: KmsKey) -> KmsKey:
    """Return the key after a cancelled deletion: disabled, or pending import if it lacks material."""
    state = KeyState.DISABLED if key.has_all_material else KeyState.PENDING_IMPORT
    return replace(key, state=state, deletion_at=None, deletion_window_days=None)


def deletion_due(key: KmsKey, now: float) -> bool:
    """Tell whether the waiting period is over."""
    return key.state is KeyState.PENDING_DELETION and key.deletion_at is not None and key.deletion_at <= now


def with_dates_repaired(key: KmsKey, now: float, unsure_since: float) -> KmsKey:
    """Return the key with a rotation at most one period ahead, and a deletion at most one window.

    Only a wall clock that was ahead can have dated them later. A waiting period that began since ``unsure_since``, with
    a clock that was behind, is too short. All of these begin anew at ``now``, so none is too early. Replicas have the
    rotation of their primary.
    """
    end, rotation, window = now + MAX_AHEAD, key.rotation, key.deletion_window_days
    period = rotation.period_days * DAY
    if not key.is_replica and rotation.next_at is not None and rotation.next_at > end + period:
        key = replace(key, rotation=replace(rotation, next_at=now + period))
    if key.deletion_at is not None and window is not None:
        begun = key.deletion_at - window * DAY
        if begun > end or unsure_since <= begun < now:
            key = replace(key, deletion_at=now + window * DAY)
    return key


def require_own_rotation(key: KmsKey) -> None:
    """Refuse replicas, which rotate with their primary; raises UnsupportedOperationException."""
    if key.is_replica:
        raise UnsupportedOperationException(f"{key.arn} is not a multi-region primary key.")


def require_rotatable(key: KmsKey) -> None:
    """Refuse keys whose material the service cannot generate.

    Raises UnsupportedOperationException for anything but symmetric encryption keys of origin AWS_KMS, and for replicas.
    """
    require_own_rotation(key)
    if key.origin is not Origin.AWS_KMS:
        raise UnsupportedOperationException(f"{key.arn} origin is {key.origin} which is not valid for this operation.")
    if key.spec is not KeySpec.SYMMETRIC_DEFAULT:
        raise UnsupportedOperationException(None)


def enable_rotation(key: KmsKey, period_days: int, now: float) -> KmsKey:
    """Return the key with automatic rotation every ``period_days`` from ``now`` on."""
    require_rotatable(key)
    return replace(key, rotation=Rotation(enabled=True, period_days=period_days, next_at=now + period_days * DAY))


def disable_rotation(key: KmsKey) -> KmsKey:
    """Return the key without automatic rotation; its backing keys stay."""
    require_rotatable(key)
    return replace(key, rotation=Rotation())


def rotation_due(key: KmsKey, now: float) -> bool:
    """Tell whether automatic rotation is due. Only enabled keys rotate; replicas rotate with their primary."""
    due_at = key.rotation.next_at
    ready = key.state is KeyState.ENABLED and not key.is_replica
    return ready and key.rotation.enabled and due_at is not None and due_at <= now


def require_on_demand_rotation(key: KmsKey, now: float) -> None:
    """Refuse an on-demand rotation that is not possible.

    Raises UnsupportedOperationException, LimitExceededException after 25 in the key's life, or ConflictException when
    automatic rotation is due within 20 minutes (KMS API Reference, RotateKeyOnDemand).
    """
    require_rotatable(key)
    require_on_demand_rotations_left(key)
    if key.rotation.next_at is not None and key.rotation.next_at - now <= _CONFLICT_WINDOW:
        raise ConflictException(f"An automatic rotation is in progress or scheduled to begin soon: {key.arn}")


def require_on_demand_rotations_left(key: KmsKey) -> None:
    """Refuse a 26th on-demand rotation; raises LimitExceededException."""
    if key.on_demand_rotations >= MAX_ON_DEMAND_ROTATIONS:
        raise LimitExceededException(
            "The on-demand rotations limit has been reached for the given keyId. "
            f"No more on-demand rotations can be performed for this key: {key.arn}"
        )


def rotate(key: KmsKey, material_id: str, token: bytes, kind: RotationType, now: float) -> KmsKey:
    """Return the key with a new backing key as the current one.

    An automatic rotation sets the next one a whole period from now, so that a service that was down for years rotates
    once, not once for each year missed.
    """
    new = KeyMaterial(material_id=material_id, token=token, state=KeyMaterialState.CURRENT, created_at=now)
    rotated = make_current(key, new, kind, now)
    if kind is RotationType.AUTOMATIC:
        period = key.rotation.period_days
        rotated = replace(rotated, rotation=replace(key.rotation, next_at=now + period * DAY))
    return rotated


def make_current(key: KmsKey, material: KeyMaterial, kind: RotationType, now: float) -> KmsKey:
    """Return the key with ``material`` after all others, as the current one."""
    new = replace(material, state=KeyMaterialState.CURRENT, rotated_at=now, rotation_type=kind)
    old = tuple(replace(each, state=KeyMaterialState.NON_CURRENT) for each in key.materials)
    return replace(key, materials=(*old, new))
