"""CreateKey."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeAlias

import msgspec
from typing_extensions import override

from strongroom.audit.parameters import elements_of
from strongroom.entropy import uuid
from strongroom.errors import AlreadyExistsException, UnsupportedOperationException, ValidationException
from strongroom.keys.arns import MULTI_REGION_PREFIX, KeyLocator, root_arn
from strongroom.keys.custom_key_stores import CustomKeyStoreType, require_connected
from strongroom.keys.external_keys import external_material_id
from strongroom.keys.key_policy import default_policy
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, KmsKey, new_key
from strongroom.keys.names import merge_tags
from strongroom.keys.specs import USAGES, KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState
from strongroom.keys.wrapping import require_importable_spec
from strongroom.keys.xks_errors import XksKeyAlreadyInUseException
from strongroom.keys.xks_failures import XksError, new_key_error
from strongroom.operations.condition_parameters import ConditionParameters, tag_pairs
from strongroom.operations.context import Context
from strongroom.operations.kms.custom_key_stores import find_custom_key_store
from strongroom.operations.kms.key_changes import (
    KeyChanges,
    Plan,
    change_keys,
    prepare,
    prepared_material,
    too_many_keys,
)
from strongroom.operations.kms.key_material import OwnedToken
from strongroom.operations.kms.key_metadata import KeyMetadata, key_metadata, key_store_of
from strongroom.operations.kms.key_policy import accepted_policy
from strongroom.operations.kms.prepared_material import NewMaterial, PreparedMaterial
from strongroom.operations.shapes import (
    CustomKeyStoreId,
    Description,
    PolicyDocument,
    Request,
    Response,
    TagList,
    XksKeyId,
)
from strongroom.operations.targets import Target
from strongroom.store.protocol import Reader
from strongroom.store.scopes import AccountScope

_TYPES = {
    Origin.AWS_CLOUDHSM: CustomKeyStoreType.AWS_CLOUDHSM,
    Origin.EXTERNAL_KEY_STORE: CustomKeyStoreType.EXTERNAL_KEY_STORE,
}

Supply: TypeAlias = Callable[[KmsKey], OwnedToken]
"""Keeps the first material of a new key, and returns the back end's token for it."""


class Given(NamedTuple):
    """What the service does not choose by itself for a key: its id, and its first material, if that is supplied."""

    key_id: str
    supply: Supply | None = None


class CustomerMasterKeySpec(StrEnum):
    """The deprecated enumeration: it lacks Ed25519 and the post-quantum specs."""

    SYMMETRIC_DEFAULT = "SYMMETRIC_DEFAULT"
    RSA_2048 = "RSA_2048"
    RSA_3072 = "RSA_3072"
    RSA_4096 = "RSA_4096"
    ECC_NIST_P256 = "ECC_NIST_P256"
    ECC_NIST_P384 = "ECC_NIST_P384"
    ECC_NIST_P521 = "ECC_NIST_P521"
    ECC_SECG_P256K1 = "ECC_SECG_P256K1"
    HMAC_224 = "HMAC_224"
    HMAC_256 = "HMAC_256"
    HMAC_384 = "HMAC_384"
    HMAC_512 = "HMAC_512"
    SM2 = "SM2"


class CreateKeyRequest(Request):
    """The request of CreateKey. ``customer_master_key_spec`` is the deprecated name of ``key_spec``."""

    policy: PolicyDocument | None = None
    description: Description | None = None
    key_usage: KeyUsage | None = None
    customer_master_key_spec: CustomerMasterKeySpec | None = None
    key_spec: KeySpec | None = None
    origin: Origin = Origin.AWS_KMS
    custom_key_store_id: CustomKeyStoreId | None = None
    bypass_policy_lockout_safety_check: bool | None = None
    tags: TagList | None = None
    multi_region: bool | None = None
    xks_key_id: XksKeyId | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(
            key_spec=self.key_spec or self.customer_master_key_spec,
            key_usage=self.key_usage,
            key_origin=self.origin,
            multi_region=self.multi_region,
            bypass_policy_lockout_safety_check=self.bypass_policy_lockout_safety_check,
            tags=tag_pairs(self.tags),
        )


class CreateKeyResponse(Response):
    """The response of CreateKey."""

    key_metadata: KeyMetadata


def locate_create_key(_context: Context, request: CreateKeyRequest) -> Sequence[Target]:
    """Ask for kms:CreateKey, and for kms:TagResource if the request has tags."""
    create = Target("kms:CreateKey")
    return (create, Target("kms:TagResource")) if request.tags else (create,)


def create_key(context: Context, request: CreateKeyRequest) -> CreateKeyResponse:
    """Make a key with its first key material. It is durable before the call returns."""
    return create_key_as(context, request, None)


def create_key_as(context: Context, request: CreateKeyRequest, given: Given | None) -> CreateKeyResponse:
    """Make a key as CreateKey does, with what is given; raises AlreadyExistsException if that key id is taken."""
    spec, usage = _spec_and_usage(request)
    store_id = _key_store_of(context, request, spec)
    if request.origin is Origin.EXTERNAL:
        require_importable_spec(spec)
    external = request.origin is Origin.EXTERNAL_KEY_STORE
    context.backends.key_backends.of_store(store_id, external=external).require_spec(spec, usage, context.region)
    if request.xks_key_id is not None and store_id is not None:
        _require_external_key(context, store_id, request.xks_key_id)
    key_id = _new_key_id(context, request) if given is None else given.key_id
    locator = KeyLocator(context.caller.account, context.region, key_id)
    key = new_key(
        locator,
        spec=spec,
        usage=usage,
        origin=request.origin,
        description=request.description or "",
        policy=default_policy(root_arn(context.region, context.caller.account)),
        multi_region=bool(request.multi_region),
        tags=merge_tags((), [tag.pair for tag in request.tags or ()]),
        material=None,
        now=context.now,
    )
    if store_id is not None:
        key = msgspec.structs.replace(key, custom_key_store_id=store_id)
    if request.policy is not None:
        bypass = bool(request.bypass_policy_lockout_safety_check)
        policy, pinned = accepted_policy(context, request, request.policy, key, bypass=bypass)
        key = msgspec.structs.replace(key, policy=policy, pinned=pinned)
    added = _add_key(context, key, request.xks_key_id, given)
    return CreateKeyResponse(key_metadata=key_metadata(added, key_store_of(context, added)))


def _add_key(context: Context, key: KmsKey, external_id: str | None, given: Given | None) -> KmsKey:
    """Add a key with its first material, which is made after everything else about the key was accepted."""
    store = context.backends.store
    supplied: OwnedToken | None = None

    def plan(reader: Reader, prepared: PreparedMaterial) -> KeyChanges:
        require_room(context, reader, key)
        if given is not None and reader.key(key.locator) is not None:
            raise AlreadyExistsException(f"A key with the id {key.key_id} already exists.")
        if key.custom_key_store_id is not None:
            require_connected(find_custom_key_store(context, reader, key.custom_key_store_id))
        if key.custom_key_store_id is not None and external_id is not None:
            _require_unused(reader, key.region, key.custom_key_store_id, external_id)
        if supplied is None:
            added = _with_first_material(key, prepared, context.now, external_id)
        else:
            added = _with_material(key, supplied, context.now)
        return KeyChanges(added=(added,), customer_keys=context.backends.customer_keys)

    with prepared_material(context) as prepared:
        if given is None or given.supply is None:
            _prepare_first_material(context, key, prepared, plan)
        else:
            supplied = given.supply(key)
            prepared.add_imported(supplied)
        return change_keys(store, prepared, plan, AccountScope(key.account)).added[0]


def _prepare_first_material(context: Context, key: KmsKey, prepared: PreparedMaterial, plan: Plan) -> None:
    if key.origin is Origin.EXTERNAL:
        return
    if key.spec is KeySpec.SYMMETRIC_DEFAULT and not context.backends.key_backends.blocks(key):
        # Making the material takes less time than checking the quota. The transaction checks it.
        prepared.make((NewMaterial(key.locator, key.spec, key.custom_key_store_id),))
    else:
        prepare(context.backends.store, prepared, plan)


def _with_first_material(key: KmsKey, prepared: PreparedMaterial, now: float, external_id: str | None) -> KmsKey:
    if key.origin is Origin.EXTERNAL:
        return key
    return _with_material(key, prepared.new(key, external_id), now)


def _with_material(key: KmsKey, made: OwnedToken, now: float) -> KmsKey:
    material = KeyMaterial(
        material_id=made.owner.material_id, token=made.token, state=KeyMaterialState.CURRENT, created_at=now
    )
    return msgspec.structs.replace(key, state=KeyState.ENABLED, materials=(material,))


def require_room(context: Context, reader: Reader, key: KmsKey) -> None:
    """Refuse a key if its account has reached its quota in that Region; raises LimitExceededException."""
    limit = context.backends.customer_keys
    if reader.customer_keys(key.account, key.region) >= limit:
        raise too_many_keys(limit)


def create_key_elements(response: CreateKeyResponse, _targets: Sequence[Target]) -> Mapping[str, object]:
    """Return the new key's metadata, as CloudTrail shows it."""
    return {"keyMetadata": elements_of(response.key_metadata)}


def _spec_and_usage(request: CreateKeyRequest) -> tuple[KeySpec, KeyUsage]:
    if request.key_spec is not None and request.customer_master_key_spec is not None:
        raise ValidationException(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
            "CustomerMasterKeySpec is deprecated."
        )
    deprecated = request.customer_master_key_spec
    spec = request.key_spec or (KeySpec(deprecated.value) if deprecated else KeySpec.SYMMETRIC_DEFAULT)
    usage = request.key_usage
    if usage is None:
        if spec is not KeySpec.SYMMETRIC_DEFAULT:
            raise ValidationException(
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
            )
        usage = KeyUsage.ENCRYPT_DECRYPT
    if usage not in USAGES[spec]:
        raise ValidationException(f"KeyUsage {usage} is not compatible with KeySpec {spec}")
    if spec is KeySpec.SM2:
        raise UnsupportedOperationException(f"KeySpec {spec} is not supported in this Region.")
    return spec, usage


def _key_store_of(context: Context, request: CreateKeyRequest, spec: KeySpec) -> str | None:
    """Return the custom key store in a request, or None for the default key store.

    Raises ValidationException if that does not fit the origin, CustomKeyStoreNotFoundException,
    CustomKeyStoreInvalidStateException unless the custom key store is connected, and UnsupportedOperationException for
    keys that it cannot hold.
    """
    store_id = request.custom_key_store_id
    if request.origin in {Origin.AWS_KMS, Origin.EXTERNAL}:
        if store_id is not None or request.xks_key_id is not None:
            raise ValidationException(f"Keys of origin {request.origin} do not live in a custom key store.")
        return None
    if store_id is None:
        raise ValidationException(f"CustomKeyStoreId is required for keys of origin {request.origin}.")
    if (request.origin is Origin.EXTERNAL_KEY_STORE) != (request.xks_key_id is not None):
        raise ValidationException("XksKeyId is required for keys of origin EXTERNAL_KEY_STORE, and for no others.")
    with context.read() as reader:
        store = find_custom_key_store(context, reader, store_id)
    if _TYPES[request.origin] is not store.type:
        raise ValidationException(f"Keys of origin {request.origin} do not live in a key store of type {store.type}.")
    require_connected(store)
    context.backends.key_backends.of_store(store_id, external=store.type is CustomKeyStoreType.EXTERNAL_KEY_STORE)
    if request.multi_region or spec is not KeySpec.SYMMETRIC_DEFAULT:
        raise UnsupportedOperationException("Custom key stores hold only symmetric encryption keys of a single Region.")
    return store_id


def _require_external_key(context: Context, store_id: str, external_id: str) -> None:
    """Refuse an external key that another KMS key uses, or that its key manager has not as it must be.

    Source: KMS API Reference, CreateKey, XksKeyId. The proxy is called before there is anything to write.
    """
    with context.read() as reader:
        store = find_custom_key_store(context, reader, store_id)
        _require_unused(reader, store.region, store_id, external_id)
    try:
        context.backends.key_managers.require_usable(store, external_id, context.key_user())
    except XksError as error:
        raise new_key_error(error) from None


def _require_unused(reader: Reader, region: str, store_id: str, external_id: str) -> None:
    if reader.key_of_material(region, external_material_id(store_id, external_id)) is not None:
        raise XksKeyAlreadyInUseException(
            f"The external key {external_id} is already associated with another KMS key in this external key store."
        )


def _new_key_id(context: Context, request: CreateKeyRequest) -> str:
    random_id = uuid(context.backends.entropy)
    return MULTI_REGION_PREFIX + random_id.replace("-", "") if request.multi_region else random_id
