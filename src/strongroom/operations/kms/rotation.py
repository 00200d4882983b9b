"""The operations on rotation. Automatic rotation itself happens in ``maintenance.key_rotation``."""

from enum import StrEnum

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from strongroom.errors import UnsupportedOperationException
from strongroom.keys import imported, lifecycle, multi_region
from strongroom.keys.imported import ExpirationModel
from strongroom.keys.kms_key import DEFAULT_ROTATION_PERIOD_DAYS, KeyMaterial, KmsKey, RotationType
from strongroom.keys.kms_key import KeyMaterialState as MaterialState
from strongroom.keys.specs import KeySpec, Origin
from strongroom.keys.states import KeyState
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context
from strongroom.operations.kms.key_changes import (
    KeyChanges,
    change_keys,
    modify,
    plan_for_key,
    prepare,
    prepared_material,
    scope_of,
)
from strongroom.operations.kms.keys import KeyIdResponse, KeyRequest
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.paging import PageSize, page
from strongroom.operations.shapes import Empty, Limit, Marker, Response, RotationPeriodInDays
from strongroom.snapshot.active_key import ActiveKey
from strongroom.store.protocol import Reader

_PAGE = PageSize(default=100, maximum=1000)


class IncludeKeyMaterial(StrEnum):
    """Whether ListKeyRotations shows only rotations, or every key material."""

    ALL_KEY_MATERIAL = "ALL_KEY_MATERIAL"
    ROTATIONS_ONLY = "ROTATIONS_ONLY"


class EnableKeyRotationRequest(KeyRequest):
    """The request of EnableKeyRotation."""

    rotation_period_in_days: RotationPeriodInDays = DEFAULT_ROTATION_PERIOD_DAYS

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(rotation_period_in_days=self.rotation_period_in_days)


class GetKeyRotationStatusResponse(Response):
    """The response of GetKeyRotationStatus; period and date only while rotation is on."""

    key_rotation_enabled: bool
    key_id: str
    rotation_period_in_days: int | None = None
    next_rotation_date: float | None = None


class ListKeyRotationsRequest(KeyRequest):
    """The request of ListKeyRotations."""

    include_key_material: IncludeKeyMaterial = IncludeKeyMaterial.ROTATIONS_ONLY
    limit: Limit | None = None
    marker: Marker | None = None


class ImportState(StrEnum):
    """Whether imported material is present or has to be imported again."""

    IMPORTED = "IMPORTED"
    PENDING_IMPORT = "PENDING_IMPORT"


class RotationsListEntry(msgspec.Struct, rename="pascal", frozen=True, omit_defaults=True):
    """One key material, and the rotation that made it current; the first one has no rotation.

    Only imported material has a description, an import state, and an expiration model.
    """

    key_id: str
    key_material_id: str
    key_material_state: MaterialState
    key_material_description: str | None = None
    import_state: ImportState | None = None
    expiration_model: ExpirationModel | None = None
    valid_to: float | None = None
    rotation_date: float | None = None
    rotation_type: RotationType | None = None


class ListKeyRotationsResponse(Response):
    """The response of ListKeyRotations."""

    rotations: list[RotationsListEntry]
    truncated: bool
    next_marker: str | None = None


def enable_key_rotation(context: Context, request: EnableKeyRotationRequest, active: ActiveKey) -> Empty:
    """Rotate the key automatically, once every period from now on."""
    days = request.rotation_period_in_days
    modify(context, active, lambda key: lifecycle.enable_rotation(key, days, context.now))
    return Empty()


def disable_key_rotation(context: Context, _request: KeyRequest, active: ActiveKey) -> Empty:
    """Stop rotating the key."""
    modify(context, active, lifecycle.disable_rotation)
    return Empty()


def get_key_rotation_status(_context: Context, _request: KeyRequest, active: ActiveKey) -> GetKeyRotationStatusResponse:
    """Return whether the key rotates, and when it does next. A key pending deletion does not rotate.

    Raises UnsupportedOperationException for keys in custom key stores.
    """
    key = active.key
    if key.custom_key_store_id is not None:
        raise UnsupportedOperationException(f"{key.arn} origin is {key.origin} which is not valid for this operation.")
    on = key.rotation.enabled and key.state not in {KeyState.PENDING_DELETION, KeyState.PENDING_REPLICA_DELETION}
    return GetKeyRotationStatusResponse(
        key_rotation_enabled=on,
        key_id=key.arn,
        rotation_period_in_days=key.rotation.period_days if on else None,
        next_rotation_date=key.rotation.next_at if on else None,
    )


def rotate_key_on_demand(context: Context, _request: KeyRequest, active: ActiveKey) -> KeyIdResponse:
    """Rotate the key now: new key material becomes current, and all older material still decrypts.

    For a key with imported material, this is the material that is pending rotation.
    """
    store = context.backends.store

    def rotated(key: KmsKey) -> KmsKey:
        if key.origin is Origin.EXTERNAL:
            return imported.rotate(key, context.now)
        lifecycle.require_on_demand_rotation(key, context.now)
        _, token, owner, _ = prepared.new(key)
        return lifecycle.rotate(key, owner.material_id, token, RotationType.ON_DEMAND, context.now)

    with prepared_material(context) as prepared:
        change = plan_for_key(context, active, rotated)

        def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
            changes = change(reader, prepared)
            (_, after), *others = changes.saved
            if after.origin is Origin.EXTERNAL and after.current_material is not None:
                relatives = [before for before, _ in others]
                multi_region.require_material_in_all(after, relatives, after.current_material.material_id, context.now)
            return changes

        prepare(store, prepared, plan)
        change_keys(store, prepared, plan, scope_of(active.key.locator))
    return KeyIdResponse(key_id=active.key.arn)


def list_key_rotations(
    context: Context, request: ListKeyRotationsRequest, active: ActiveKey
) -> ListKeyRotationsResponse:
    """List the key's rotations, or all its material, oldest first."""
    key = imported.as_of(active.key, context.now)
    everything = request.include_key_material is IncludeKeyMaterial.ALL_KEY_MATERIAL
    if everything and key.spec is not KeySpec.SYMMETRIC_DEFAULT:
        raise UnsupportedOperationException(None)
    asked = page(f"ListKeyRotations {key.key_id} {everything}", request.limit, request.marker, _PAGE)
    chosen = [
        (_ordinal(index), material)
        for index, material in enumerate(key.materials)
        if (everything or material.rotation_type is not None) and _ordinal(index) > asked.after
    ]
    kept, marker = asked.cut(chosen, lambda each: each[0])
    entries = [_entry(key, material) for _, material in kept]
    return ListKeyRotationsResponse(rotations=entries, truncated=marker is not None, next_marker=marker)


def _ordinal(index: int) -> str:
    """Return the position of a material as text that sorts like the number."""
    return f"{index:08d}"


def _entry(key: KmsKey, material: KeyMaterial) -> RotationsListEntry:
    entry = RotationsListEntry(
        key_id=key.arn,
        key_material_id=material.material_id,
        key_material_state=material.state,
        key_material_description=material.description,
        rotation_date=material.rotated_at,
        rotation_type=material.rotation_type,
    )
    if key.origin is not Origin.EXTERNAL:
        return entry
    if material.token is None:
        return replace(entry, import_state=ImportState.PENDING_IMPORT)
    return replace(
        entry,
        import_state=ImportState.IMPORTED,
        expiration_model=imported.expiration_model(material),
        valid_to=material.expires_at,
    )
