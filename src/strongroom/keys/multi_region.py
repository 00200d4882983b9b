"""Related multi-Region keys as pure functions: one primary and its replicas, at most one key in each Region.

The rules, all from the KMS Developer Guide, "Multi-Region keys in AWS KMS":

- Related keys share their key id, key material, spec, usage, origin, rotation, and the list of the related keys.
  Each key has its own policy, grants, aliases, tags, description and state.
- Only the primary can be replicated. Shared properties change on the primary first. ``synchronized`` then copies them
  to every replica, in the same transaction. Only the primary is rotated.
- Imported key material is imported separately in each Region. A replica starts without it and knows its material id.
  New material is imported into the primary first. It can become current once every replica has it too.
- Any replica can become the primary; the former primary is then its replica. Both must be enabled.
- A primary is never deleted before its replicas. One that is scheduled for deletion is PendingReplicaDeletion while it
  has replicas. Its waiting period starts when the last replica is deleted, not when that is scheduled.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from msgspec.structs import replace

from strongroom.clock import DAY
from strongroom.errors import KMSInvalidStateException, UnsupportedOperationException
from strongroom.keys import lifecycle
from strongroom.keys.arns import KeyLocator, key_arn
from strongroom.keys.imported import as_of, in_state_of_material, pending_material
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, KmsKey
from strongroom.keys.specs import Origin
from strongroom.keys.states import KeyState


class MultiRegionKeyType(StrEnum):
    """The role of a key among related multi-Region keys."""

    PRIMARY = "PRIMARY"
    REPLICA = "REPLICA"


def require_primary(key: KmsKey) -> None:
    """Refuse single-Region keys and replicas; raises UnsupportedOperationException."""
    if not key.multi_region or key.is_replica:
        raise UnsupportedOperationException(f"{key.arn} is not a multi-region primary key.")


def primary_of(key: KmsKey) -> KeyLocator:
    """Return the Region, account and id of a multi-Region key's primary."""
    return KeyLocator(key.account, key.primary_region, key.key_id)


def new_replica(primary: KmsKey, region: str, *, now: float) -> KmsKey:
    """Return a new replica: Creating, without material, and without a policy, description or tags."""
    return replace(
        primary,
        region=region,
        arn=key_arn(region, primary.account, primary.key_id),
        state=KeyState.CREATING,
        description="",
        policy="",
        pinned=(),
        tags=(),
        aliases=(),
        materials=(),
        created_at=now,
        deletion_at=None,
        deletion_window_days=None,
    )


def with_replica(primary: KmsKey, region: str) -> KmsKey:
    """Return the primary with one more replica."""
    return replace(primary, replica_regions=tuple(sorted({*primary.replica_regions, region})))


def without_replica(primary: KmsKey, region: str, now: float) -> KmsKey:
    """Return the primary without a deleted replica.

    If this was the last one it waited for, its waiting period starts.
    """
    left = replace(primary, replica_regions=tuple(each for each in primary.replica_regions if each != region))
    if left.state is not KeyState.PENDING_REPLICA_DELETION or left.replica_regions:
        return left
    window = left.deletion_window_days or lifecycle.DEFAULT_DELETION_WINDOW_DAYS
    return replace(left, state=KeyState.PENDING_DELETION, deletion_at=now + window * DAY)


def succeeded_by(primary: KmsKey, region: str) -> KmsKey:
    """Return the former primary as a replica of the new one."""
    replicas = {*primary.replica_regions, primary.region} - {region}
    return replace(primary, primary_region=region, replica_regions=tuple(sorted(replicas)))


def not_yet_in(relative: KmsKey, source: KmsKey) -> tuple[KeyMaterial, ...]:
    """Return the key material that ``relative`` does not have yet, except imported material."""
    if source.origin is not Origin.AWS_KMS:
        return ()
    known = {material.material_id for material in relative.materials}
    return tuple(material for material in source.materials if material.material_id not in known)


def synchronized(relative: KmsKey, source: KmsKey, tokens: Mapping[str, bytes]) -> KmsKey:
    """Return a key with the shared properties of a relative; ``tokens`` has those of ``not_yet_in``, by material id.

    A key in state Creating becomes enabled, or pending import.
    """
    own = {material.material_id: material for material in relative.materials}
    after = replace(
        relative,
        primary_region=source.primary_region,
        replica_regions=source.replica_regions,
        rotation=source.rotation,
        materials=tuple(_shared(material, own, tokens) for material in source.materials),
    )
    if after.state is KeyState.CREATING:
        return replace(after, state=KeyState.ENABLED if after.has_all_material else KeyState.PENDING_IMPORT)
    return in_state_of_material(after) if after.origin is Origin.EXTERNAL else after


def settled(primary: KmsKey, replicas: Sequence[KmsKey]) -> KmsKey:
    """Return the primary with its new material, if there is any, ready for rotation or waiting for its replicas."""
    pending = pending_material(primary)
    if pending is None:
        return primary
    everywhere = all(_has_material(key, pending.material_id) for key in (primary, *replicas))
    state = (
        KeyMaterialState.PENDING_ROTATION if everywhere else KeyMaterialState.PENDING_MULTI_REGION_IMPORT_AND_ROTATION
    )
    materials = (each if each.permanent else replace(each, state=state) for each in primary.materials)
    return replace(primary, materials=tuple(materials))


def _has_material(key: KmsKey, material_id: str) -> bool:
    return any(material.material_id == material_id and material.token is not None for material in key.materials)


def require_material_in_all(key: KmsKey, relatives: Sequence[KmsKey], material_id: str, now: float) -> None:
    """Refuse to rotate ``key`` to imported material that has expired in a related key at ``now``, in epoch seconds.

    Raises KMSInvalidStateException, as if it had been erased there already.
    """
    if not all(_has_material(as_of(each, now), material_id) for each in relatives):
        raise KMSInvalidStateException(f"No available key material pending rotation for the key: {key.arn}.")


def schedule_deletion(key: KmsKey, window_days: int, now: float) -> KmsKey:
    """Return the key in its waiting period, or a primary that waits for its replicas; raises ValidationException."""
    scheduled = lifecycle.schedule_deletion(key, window_days, now)
    if key.is_replica or not key.replica_regions:
        return scheduled
    return replace(scheduled, state=KeyState.PENDING_REPLICA_DELETION, deletion_at=None)


def _shared(material: KeyMaterial, own: Mapping[str, KeyMaterial], tokens: Mapping[str, bytes]) -> KeyMaterial:
    held = own.get(material.material_id)
    if held is None:
        return replace(material, token=tokens.get(material.material_id), expires_at=None)
    return replace(held, state=material.state, rotated_at=material.rotated_at, rotation_type=material.rotation_type)
