"""KeyMetadata: what DescribeKey and CreateKey tell about a key."""

from enum import StrEnum

import msgspec

from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import EncryptionAlgorithm, KeyManager, KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState
from strongroom.operations.shapes import Response


class MultiRegionKeyType(StrEnum):
    """The part a key plays among related multi-Region keys."""

    PRIMARY = "PRIMARY"
    REPLICA = "REPLICA"


class MultiRegionKey(msgspec.Struct, rename="pascal", frozen=True):
    """One of several related multi-Region keys."""

    arn: str
    region: str


class MultiRegionConfiguration(msgspec.Struct, rename="pascal", frozen=True):
    """A multi-Region key's relatives."""

    multi_region_key_type: MultiRegionKeyType
    primary_key: MultiRegionKey
    replica_keys: list[MultiRegionKey]


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
    encryption_algorithms: list[EncryptionAlgorithm] | None = None
    multi_region_configuration: MultiRegionConfiguration | None = None
    pending_deletion_window_in_days: int | None = None
    current_key_material_id: str | None = None


def key_metadata(key: KmsKey) -> KeyMetadata:
    """Return what AWS tells about a key in this state."""
    current = key.current_material
    return KeyMetadata(
        account=key.account,
        key_id=key.key_id,
        arn=key.arn,
        creation_date=key.created_at,
        enabled=key.state is KeyState.ENABLED,
        description=key.description,
        key_usage=key.usage,
        key_state=key.state,
        origin=key.origin,
        key_manager=key.manager,
        key_spec=key.spec,
        customer_master_key_spec=key.spec,
        multi_region=key.multi_region,
        deletion_date=key.deletion_at if key.state is KeyState.PENDING_DELETION else None,
        encryption_algorithms=[EncryptionAlgorithm.SYMMETRIC_DEFAULT],
        multi_region_configuration=_relatives(key) if key.multi_region else None,
        current_key_material_id=None if current is None else current.material_id,
    )


def _relatives(key: KmsKey) -> MultiRegionConfiguration:
    return MultiRegionConfiguration(
        multi_region_key_type=MultiRegionKeyType.PRIMARY,
        primary_key=MultiRegionKey(arn=key.arn, region=key.region),
        replica_keys=[],
    )
