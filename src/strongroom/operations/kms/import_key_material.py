"""GetParametersForImport, ImportKeyMaterial and DeleteImportedKeyMaterial."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace
from typing_extensions import override

from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.material import ImportedMaterial, MaterialOwner, WrappedMaterial
from strongroom.crypto.seal import UnsealError
from strongroom.errors import (
    IncorrectKeyMaterialException,
    InvalidImportTokenException,
    UnsupportedOperationException,
    ValidationException,
)
from strongroom.keys import imported
from strongroom.keys.imported import ExpirationModel, ImportType
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, KmsKey
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec, require_external, require_wrapping
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context
from strongroom.operations.kms import import_token
from strongroom.operations.kms.import_token import ImportToken
from strongroom.operations.kms.key_changes import (
    KeyChanges,
    change_key,
    change_keys_recorded,
    expiry_event,
    plan_for_key,
    prepared_material,
    scope_of,
)
from strongroom.operations.kms.key_material import OwnedToken
from strongroom.operations.kms.keys import KeyRequest
from strongroom.operations.kms.multi_region import synchronization_of
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.operations.operation import Echo
from strongroom.operations.planned_events import PlannedEvent
from strongroom.operations.shapes import Ciphertext, Response, matching
from strongroom.operations.targets import Target
from strongroom.snapshot.active_key import ActiveKey
from strongroom.store.protocol import Reader

KeyMaterialId = Annotated[str, Meta(min_length=64, max_length=64), matching(r"^[a-f0-9]+$")]
KeyMaterialDescription = Annotated[str, Meta(min_length=0, max_length=256), matching(r"^[a-zA-Z0-9:/_\s.-]+$")]


class GetParametersForImportRequest(KeyRequest):
    """The request of GetParametersForImport."""

    wrapping_algorithm: WrappingAlgorithm
    wrapping_key_spec: WrappingKeySpec

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(wrapping_algorithm=self.wrapping_algorithm, wrapping_key_spec=self.wrapping_key_spec)


class GetParametersForImportResponse(Response):
    """The response of GetParametersForImport: a public key and its import token, both valid for 24 hours."""

    key_id: str
    import_token: bytes
    public_key: bytes
    parameters_valid_to: float


class ImportKeyMaterialRequest(KeyRequest, kw_only=True):
    """The request of ImportKeyMaterial."""

    import_token: Ciphertext
    encrypted_key_material: Ciphertext
    valid_to: float | None = None
    expiration_model: ExpirationModel = ExpirationModel.EXPIRES
    import_type: ImportType | None = None
    key_material_description: KeyMaterialDescription | None = None
    key_material_id: KeyMaterialId | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(expiration_model=self.expiration_model, valid_to=self.valid_to)


class DeleteImportedKeyMaterialRequest(KeyRequest):
    """The request of DeleteImportedKeyMaterial; without an id, the current material is deleted."""

    key_material_id: KeyMaterialId | None = None


class KeyMaterialResponse(Response):
    """The response of ImportKeyMaterial and DeleteImportedKeyMaterial; the material's id only for symmetric keys."""

    key_id: str
    key_material_id: str | None = None


def get_parameters_for_import(
    context: Context, request: GetParametersForImportRequest, active: ActiveKey
) -> GetParametersForImportResponse:
    """Make a wrapping key for the material of one key. Nothing is stored: the import token contains its private key."""
    key, backends = active.key, context.backends
    require_external(key)
    require_wrapping(key.spec, request.wrapping_algorithm, request.wrapping_key_spec)
    key_backend = backends.key_backends.of(key)
    key_backend.require_spec(key.spec, key.usage, key.region)
    wrapping_key = key_backend.wrapping_key(request.wrapping_key_spec, request.wrapping_algorithm, _owner(key))
    expires_at = context.now + import_token.VALIDITY
    token = ImportToken(key.locator, wrapping_key.token, request.wrapping_algorithm, expires_at)
    return GetParametersForImportResponse(
        key_id=key.arn,
        import_token=import_token.issue(backends.secrets, token),
        public_key=wrapping_key.public_key,
        parameters_valid_to=expires_at,
    )


def import_key_material(context: Context, request: ImportKeyMaterialRequest, active: ActiveKey) -> KeyMaterialResponse:
    """Import key material: the key's first, the same again, or new material for the next rotation."""
    key, backends = active.key, context.backends
    require_external(key)
    _require_consistent(key, request)
    imported.require_expiry(request.expiration_model, request.valid_to, context.now)
    token = import_token.read(backends.secrets, request.import_token, key.locator, context.now)
    wrapped = WrappedMaterial(token.wrapping_token, token.algorithm, request.encrypted_key_material)
    with prepared_material(context) as prepared:
        made = _unwrapped(backends.key_backends.of(key), wrapped, key)
        owner = _owner(key).binding(made.material_id)
        prepared.add_imported(OwnedToken(key.custom_key_store_id, made.token, owner))
        _require_named(request, made)
        change = plan_for_key(context, active, lambda key: _imported(key, request, made, context.now))

        def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
            changes = change(reader, prepared)
            return replace(changes, events=_expiries(*changes.saved[0], context.now))

        change_keys_recorded(backends.store, prepared, plan, context.record_events, scope_of(key.locator))
    return _response(key, made.material_id)


def delete_imported_key_material(
    context: Context, request: DeleteImportedKeyMaterialRequest, active: ActiveKey
) -> KeyMaterialResponse:
    """Erase key material. Its key is unusable until the same material is imported again."""
    require_external(active.key)
    with prepared_material(context) as prepared:
        before, key = change_key(
            context, active, prepared, lambda key: imported.delete_material(key, request.key_material_id)
        )
    current = before.current_material
    if request.key_material_id is not None or current is None:
        return _response(key, request.key_material_id)
    return _response(key, current.material_id)


def key_material_elements(response: KeyMaterialResponse, _targets: Sequence[Target]) -> Mapping[str, object]:
    """Return what CloudTrail shows of an import or a deletion."""
    shown: dict[str, object] = {"keyId": response.key_id}
    if response.key_material_id is not None:
        shown["keyMaterialId"] = response.key_material_id
    return shown


def imported_everywhere(
    _request: ImportKeyMaterialRequest, response: KeyMaterialResponse, targets: Sequence[Target]
) -> Sequence[Echo]:
    """Return the record that new material of a primary has a place in its replicas, if they have not known it."""
    active = targets[0].key
    if active is None:
        return ()
    # Only answers about symmetric keys name the material. Other keys have one for life, before they have replicas.
    known = {None, *(each.material_id for each in active.key.materials)}
    return () if response.key_material_id in known else synchronization_of(active.key)


def deleted_everywhere(
    _request: DeleteImportedKeyMaterialRequest, response: KeyMaterialResponse, targets: Sequence[Target]
) -> Sequence[Echo]:
    """Return the record that material which a primary has lost was erased in its replicas too."""
    active = targets[0].key
    pending = None if active is None else imported.pending_material(active.key)
    if active is None or pending is None or pending.material_id != response.key_material_id:
        return ()
    return synchronization_of(active.key)


def _unwrapped(key_backend: KeyBackend, wrapped: WrappedMaterial, key: KmsKey) -> ImportedMaterial:
    try:
        return key_backend.import_material(wrapped, _owner(key), {each.material_id for each in key.materials})
    except UnsealError:
        # The wrapping key came out of an import token that is authentic, so it is not damaged.
        raise InvalidImportTokenException(
            "The import token was issued under a domain key that is not in use any more. Get new parameters."
        ) from None


def _owner(key: KmsKey) -> MaterialOwner:
    return MaterialOwner(account=key.account, region=key.region, key_id=key.key_id, spec=key.spec)


def _require_consistent(key: KmsKey, request: ImportKeyMaterialRequest) -> None:
    only_symmetric = (request.import_type, request.key_material_description, request.key_material_id)
    if key.spec is not KeySpec.SYMMETRIC_DEFAULT and any(each is not None for each in only_symmetric):
        raise UnsupportedOperationException(
            "ImportType, KeyMaterialDescription and KeyMaterialId are only supported for symmetric encryption keys."
        )
    if request.key_material_id is not None and request.import_type is ImportType.NEW:
        raise ValidationException(f"KeyMaterialId must not be set if the ImportType is {ImportType.NEW}")


def _require_named(request: ImportKeyMaterialRequest, made: ImportedMaterial) -> None:
    if request.key_material_id not in {None, made.material_id}:
        raise IncorrectKeyMaterialException(f"The key material's id is not {request.key_material_id}.")


def _imported(key: KmsKey, request: ImportKeyMaterialRequest, made: ImportedMaterial, now: float) -> KmsKey:
    material = KeyMaterial(
        material_id=made.material_id,
        token=made.token,
        state=KeyMaterialState.CURRENT,
        created_at=now,
        expires_at=request.valid_to,
        description=request.key_material_description,
    )
    # Once its material has expired the key is PendingImport, even if maintenance has not erased it yet.
    key = imported.without_expired_pending(replace(key, state=imported.as_of(key, now).state), now)
    return imported.import_material(key, material, imported.import_type(key, request.import_type))


def _expiries(key: KmsKey, after: KmsKey, now: float) -> tuple[PlannedEvent, ...]:
    """Return the event of pending material that an import finds expired, because the keeper has not erased it yet."""
    gone = set(imported.lost(key, imported.without_expired_pending(key, now)))
    # Replicas lose it too, unless the same material was imported anew.
    lost_everywhere = gone - {each.material_id for each in after.materials}
    return tuple(
        expiry_event(key, each, synchronized=bool(key.relatives) and each.material_id in lost_everywhere)
        for each in key.materials
        if each.material_id in gone
    )


def _response(key: KmsKey, material_id: str | None) -> KeyMaterialResponse:
    shown = material_id if key.spec is KeySpec.SYMMETRIC_DEFAULT else None
    return KeyMaterialResponse(key_id=key.arn, key_material_id=shown)
