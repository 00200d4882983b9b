"""KeyMetadata: the description of a key in the responses of DescribeKey and CreateKey."""

import msgspec

from strongroom.keys.algorithms import (
    ENCAPSULATION,
    ENCRYPTION,
    KEY_AGREEMENT,
    MAC,
    SIGNING,
    EncapsulationAlgorithm,
    EncryptionAlgorithm,
    KeyAgreementAlgorithm,
    MacAlgorithm,
    SigningAlgorithm,
)
from strongroom.keys.arns import key_arn
from strongroom.keys.custom_key_stores import CustomKeyStore, key_state_in
from strongroom.keys.imported import ExpirationModel, expiration_model, first_to_expire
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.multi_region import MultiRegionKeyType
from strongroom.keys.specs import KeyManager, KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState
from strongroom.operations.context import Context
from strongroom.operations.shapes import Response
from strongroom.snapshot.miss import MustWait


class MultiRegionKey(msgspec.Struct, rename="pascal", frozen=True):
    """One of several related multi-Region keys."""

    arn: str
    region: str


class MultiRegionConfiguration(msgspec.Struct, rename="pascal", frozen=True):
    """A multi-Region key's relatives."""

    multi_region_key_type: MultiRegionKeyType
    primary_key: MultiRegionKey
    replica_keys: list[MultiRegionKey]


class Algorithms(msgspec.Struct, frozen=True):
    """The algorithms of a key's usage; None for every other usage."""

    encryption: list[EncryptionAlgorithm] | None = None
    signing: list[SigningAlgorithm] | None = None
    mac: list[MacAlgorithm] | None = None
    key_agreement: list[KeyAgreementAlgorithm] | None = None
    encapsulation: list[EncapsulationAlgorithm] | None = None


class XksKeyConfiguration(msgspec.Struct, rename="pascal", frozen=True):
    """The external key of a KMS key in an external key store."""

    id: str


class KeyMetadata(Response):
    """AWS's KeyMetadata. Which members are present follows the rules of DescribeKey."""

    account: str = msgspec.field(name="AWSAccountId")
    key_id: str
    arn: str
    creation_date: float
    enabled: bool
    description: str
    key_usage: KeyUsage
    key_state: KeyState
    origin: Origin
    key_manager: KeyManager
    key_spec: KeySpec
    customer_master_key_spec: KeySpec
    multi_region: bool
    deletion_date: float | None = None
    valid_to: float | None = None
    custom_key_store_id: str | None = None
    cloud_hsm_cluster_id: str | None = None
    expiration_model: ExpirationModel | None = None
    encryption_algorithms: list[EncryptionAlgorithm] | None = None
    signing_algorithms: list[SigningAlgorithm] | None = None
    mac_algorithms: list[MacAlgorithm] | None = None
    key_agreement_algorithms: list[KeyAgreementAlgorithm] | None = None
    encapsulation_algorithms: list[EncapsulationAlgorithm] | None = None
    multi_region_configuration: MultiRegionConfiguration | None = None
    pending_deletion_window_in_days: int | None = None
    current_key_material_id: str | None = None
    xks_key_configuration: XksKeyConfiguration | None = None


def algorithms_of(key: KmsKey) -> Algorithms:
    """Return the algorithms that a key can be used with."""
    match key.usage:
        case KeyUsage.ENCRYPT_DECRYPT:
            return Algorithms(encryption=list(ENCRYPTION[key.spec]))
        case KeyUsage.SIGN_VERIFY:
            return Algorithms(signing=list(SIGNING[key.spec]))
        case KeyUsage.GENERATE_VERIFY_MAC:
            return Algorithms(mac=list(MAC[key.spec]))
        case KeyUsage.KEY_AGREEMENT:
            return Algorithms(key_agreement=list(KEY_AGREEMENT[key.spec]))
        case KeyUsage.ENCAPSULATE_DECAPSULATE:
            return Algorithms(encapsulation=list(ENCAPSULATION[key.spec]))


def key_store_of(context: Context, key: KmsKey) -> CustomKeyStore | None:
    """Return the custom key store of a key, None if it is in none; raises MustWait on the event loop."""
    if key.custom_key_store_id is None:
        return None
    if not context.may_wait:
        raise MustWait
    return context.backends.snapshot.key_stores.find(key.account, key.region, key.custom_key_store_id)


def key_metadata(key: KmsKey, store: CustomKeyStore | None = None) -> KeyMetadata:
    """Return the metadata that AWS shows for a key in this state, and in this custom key store."""
    current = key.current_material
    expiring = first_to_expire(key) if key.origin is Origin.EXTERNAL else None
    able = algorithms_of(key)
    external_id = key.external_id
    in_custom_store = key.custom_key_store_id is not None
    shows_material = current is not None and key.spec is KeySpec.SYMMETRIC_DEFAULT and not in_custom_store
    state = key.state if store is None else key_state_in(store, key.state)
    waits_for_replicas = key.state is KeyState.PENDING_REPLICA_DELETION
    return KeyMetadata(
        account=key.account,
        key_id=key.key_id,
        arn=key.arn,
        creation_date=key.created_at,
        enabled=state is KeyState.ENABLED,
        description=key.description,
        key_usage=key.usage,
        key_state=state,
        origin=key.origin,
        key_manager=key.manager,
        key_spec=key.spec,
        customer_master_key_spec=key.spec,
        multi_region=key.multi_region,
        deletion_date=key.deletion_at if key.state is KeyState.PENDING_DELETION else None,
        valid_to=None if expiring is None else expiring.expires_at,
        custom_key_store_id=key.custom_key_store_id,
        cloud_hsm_cluster_id=None if store is None else store.cluster_id,
        expiration_model=None if expiring is None else expiration_model(expiring),
        encryption_algorithms=able.encryption,
        signing_algorithms=able.signing,
        mac_algorithms=able.mac,
        key_agreement_algorithms=able.key_agreement,
        encapsulation_algorithms=able.encapsulation,
        multi_region_configuration=_relatives(key) if key.multi_region else None,
        pending_deletion_window_in_days=key.deletion_window_days if waits_for_replicas else None,
        # Only symmetric keys, whose blobs name it, show it; also while it is deleted or has expired.
        current_key_material_id=current.material_id if current and shows_material else None,
        xks_key_configuration=None if external_id is None else XksKeyConfiguration(external_id),
    )


def _relatives(key: KmsKey) -> MultiRegionConfiguration:
    def relative(region: str) -> MultiRegionKey:
        return MultiRegionKey(arn=key_arn(region, key.account, key.key_id), region=region)

    return MultiRegionConfiguration(
        multi_region_key_type=MultiRegionKeyType.REPLICA if key.is_replica else MultiRegionKeyType.PRIMARY,
        primary_key=relative(key.primary_region),
        replica_keys=[relative(region) for region in key.replica_regions],
    )
