"""The life of imported key material as pure transitions: each takes a key and returns the key after it.

The rules, from the KMS API Reference (ImportKeyMaterial, DeleteImportedKeyMaterial, RotationsListEntry) and the KMS
Developer Guide ("Importing key material"):

- The first import makes its material current. It is then a permanent part of the key. After deletion or
  expiry, only the same bytes can be imported in its place; the material id identifies them.
- Only symmetric encryption keys can have more than one. New material waits as PENDING_ROTATION, one at a time, until
  RotateKeyOnDemand makes it current and permanent. Until then it can be deleted, and other material imported in its
  place.
- Related multi-Region keys get new material through their primary.
- Asymmetric and HMAC keys keep their first material for life. Importing it again can change when it expires.
- The key is PendingImport while any material that is part of it is missing. It is Enabled once all is there, even if it
  was disabled before. A key that is pending deletion stays so, whatever happens to its material.
- Expired material counts as missing from that moment on. ``as_of`` returns the key as it is at a given time. It does
  not matter whether the keeper has erased the expired material yet.
"""

from enum import StrEnum
from math import inf

from msgspec.structs import replace

from strongroom.clock import DAY
from strongroom.errors import (
    IncorrectKeyMaterialException,
    KMSInvalidStateException,
    NotFoundException,
    UnsupportedOperationException,
    ValidationException,
)
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, KmsKey, RotationType
from strongroom.keys.lifecycle import make_current, require_on_demand_rotations_left, require_own_rotation
from strongroom.keys.specs import KeySpec, Origin
from strongroom.keys.states import KeyState

MAX_VALIDITY_DAYS = 365


class ExpirationModel(StrEnum):
    """Whether imported key material expires."""

    EXPIRES = "KEY_MATERIAL_EXPIRES"
    DOES_NOT_EXPIRE = "KEY_MATERIAL_DOES_NOT_EXPIRE"


class ImportType(StrEnum):
    """Whether imported key material is new to the key, or the same that was deleted or has expired."""

    NEW = "NEW_KEY_MATERIAL"
    EXISTING = "EXISTING_KEY_MATERIAL"


def expiration_model(material: KeyMaterial) -> ExpirationModel:
    """Tell whether material expires."""
    return ExpirationModel.DOES_NOT_EXPIRE if material.expires_at is None else ExpirationModel.EXPIRES


def require_expiry(model: ExpirationModel, valid_to: float | None, now: float) -> None:
    """Refuse an expiry that contradicts its model, or is not within the next 365 days; raises ValidationException."""
    if model is ExpirationModel.DOES_NOT_EXPIRE:
        if valid_to is not None:
            raise ValidationException(f"A validTo date must not be set if the ExpirationModel is {model}")
        return
    if valid_to is None:
        raise ValidationException(f"A validTo date must be set if the ExpirationModel is {model}")
    if not now < valid_to <= now + MAX_VALIDITY_DAYS * DAY:
        raise ValidationException(f"The validTo date must be in the future, at most {MAX_VALIDITY_DAYS} days from now.")


def import_type(key: KmsKey, asked: ImportType | None) -> ImportType:
    """Return the type of an import. Where the request has none, the first is of new material, every other is not."""
    return asked or (ImportType.EXISTING if key.materials else ImportType.NEW)


def import_material(key: KmsKey, material: KeyMaterial, kind: ImportType) -> KmsKey:
    """Return the key with imported material.

    ``material`` says what was imported, and when it expires; without a description it keeps the one it had. Raises
    IncorrectKeyMaterialException for new material that the key has, or other material that it has not,
    KMSInvalidStateException for new material while other is pending rotation, and UnsupportedOperationException for new
    material of a replica, whose primary takes it first.
    """
    known = next((each for each in key.materials if each.material_id == material.material_id), None)
    if kind is ImportType.EXISTING:
        if known is None:
            raise IncorrectKeyMaterialException(f"The key material was not imported into {key.arn} before.")
        return in_state_of_material(_with(key, _imported_again(known, material)))
    _require_no_replica(key)
    if known is not None:
        raise IncorrectKeyMaterialException(f"The key material is already associated with {key.arn}.")
    return in_state_of_material(
        replace(key, materials=(*key.materials, replace(material, state=_state_of_new(key, material))))
    )


def rotate(key: KmsKey, now: float) -> KmsKey:
    """Return the key with the material that is pending rotation as the current one.

    Raises UnsupportedOperationException for replicas and for anything but symmetric encryption keys,
    LimitExceededException after 25 rotations in the key's life, and KMSInvalidStateException when no material is
    pending, or it has expired.
    """
    require_own_rotation(key)
    if key.spec is not KeySpec.SYMMETRIC_DEFAULT:
        raise UnsupportedOperationException(None)
    require_on_demand_rotations_left(key)
    pending = pending_material(as_of(key, now))
    if pending is None or pending.state is not KeyMaterialState.PENDING_ROTATION:
        raise KMSInvalidStateException(f"No available key material pending rotation for the key: {key.arn}.")
    others = tuple(each for each in key.materials if each.material_id != pending.material_id)
    return make_current(replace(key, materials=others), pending, RotationType.ON_DEMAND, now)


def delete_material(key: KmsKey, material_id: str | None) -> KmsKey:
    """Return the key without one material, by default the current one; unchanged if it is not there.

    Raises NotFoundException for the id of no material of this key.
    """
    if material_id is None:
        current = key.current_material
        return key if current is None else _without(key, {current.material_id})
    if material_id not in {material.material_id for material in key.materials}:
        raise NotFoundException(f"Key material {material_id} is not associated with {key.arn}.")
    return _without(key, {material_id})


def state_at(key: KmsKey, now: float) -> KeyState:
    """Return the state of an EXTERNAL key at a time, in epoch seconds: its material may have expired by then."""
    return as_of(key, now).state


def as_of(key: KmsKey, now: float) -> KmsKey:
    """Return the key as it is at ``now``: without the material that has expired."""
    if key.origin is not Origin.EXTERNAL:
        return key
    gone = {each.material_id for each in key.materials if each.expires_at is not None and each.expires_at <= now}
    return _without(key, gone) if gone else key


def without_expired_pending(key: KmsKey, now: float) -> KmsKey:
    """Return the key without material that has expired at ``now`` and is not part of it: other material may follow."""
    pending = pending_material(key)
    if key.is_replica or pending is None or pending.expires_at is None or now < pending.expires_at:
        return key
    return _without(key, {pending.material_id})


def lost(before: KmsKey, after: KmsKey) -> list[str]:
    """Return the ids of the material that ``after`` lacks and ``before`` has."""
    kept = {material.material_id for material in after.materials if material.token is not None}
    return [each.material_id for each in before.materials if each.token is not None and each.material_id not in kept]


def pending_material(key: KmsKey) -> KeyMaterial | None:
    """Return the material that is not yet part of the key."""
    return next((material for material in key.materials if not material.permanent), None)


def first_to_expire(key: KmsKey) -> KeyMaterial | None:
    """Return the first material that is part of the key and present; None if there is none."""
    there = [each for each in key.materials if each.permanent and each.token is not None]
    return min(there, key=lambda each: inf if each.expires_at is None else each.expires_at, default=None)


def in_state_of_material(key: KmsKey) -> KmsKey:
    """Return the key with the state that follows from its material."""
    if key.state is KeyState.PENDING_IMPORT and key.has_all_material:
        return replace(key, state=KeyState.ENABLED)
    if key.state in {KeyState.ENABLED, KeyState.DISABLED} and not key.has_all_material:
        return replace(key, state=KeyState.PENDING_IMPORT)
    return key


def _require_no_replica(key: KmsKey) -> None:
    if key.is_replica:
        raise UnsupportedOperationException(f"{key.arn} is not a multi-region primary key.")


def _state_of_new(key: KmsKey, material: KeyMaterial) -> KeyMaterialState:
    if not key.materials:
        return KeyMaterialState.CURRENT
    if key.spec is not KeySpec.SYMMETRIC_DEFAULT:
        raise IncorrectKeyMaterialException(f"The key material is not the one that was imported into {key.arn} before.")
    pending = pending_material(key)
    if pending is not None:
        raise KMSInvalidStateException(
            f"New key material (id: {material.material_id}) cannot be imported into KMS key {key.arn}, "
            f"because another key material (id: {pending.material_id}) is pending rotation."
        )
    if key.replica_regions:
        return KeyMaterialState.PENDING_MULTI_REGION_IMPORT_AND_ROTATION
    return KeyMaterialState.PENDING_ROTATION


def _imported_again(known: KeyMaterial, material: KeyMaterial) -> KeyMaterial:
    description = known.description if material.description is None else material.description
    return replace(known, token=material.token, expires_at=material.expires_at, description=description)


def _with(key: KmsKey, changed: KeyMaterial) -> KmsKey:
    materials = (changed if each.material_id == changed.material_id else each for each in key.materials)
    return replace(key, materials=tuple(materials))


def _without(key: KmsKey, material_ids: set[str]) -> KmsKey:
    """Return the key with these materials missing.

    One that is not permanent has no place to keep; but what a replica's places are is for its primary to say.
    """
    materials = tuple(
        replace(each, token=None, expires_at=None) if each.material_id in material_ids else each
        for each in key.materials
        if each.permanent or key.is_replica or each.material_id not in material_ids
    )
    return in_state_of_material(replace(key, materials=materials))
