"""The KMS key: a logical key with its metadata and one or more backing keys."""

from enum import StrEnum

import msgspec
from typing_extensions import override

from strongroom.errors import InvalidKeyUsageException
from strongroom.keys.arns import KeyLocator, key_arn
from strongroom.keys.external_keys import parse_external_token
from strongroom.keys.specs import KeyManager, KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState

DEFAULT_ROTATION_PERIOD_DAYS = 365


class RotationType(StrEnum):
    """What made a backing key current."""

    AUTOMATIC = "AUTOMATIC"
    ON_DEMAND = "ON_DEMAND"


class KeyMaterialState(StrEnum):
    """The role of a backing key: the current one encrypts; all that are or were current decrypt."""

    CURRENT = "CURRENT"
    NON_CURRENT = "NON_CURRENT"
    PENDING_ROTATION = "PENDING_ROTATION"
    PENDING_MULTI_REGION_IMPORT_AND_ROTATION = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"


class KeyMaterial(msgspec.Struct, frozen=True, gc=False):
    """One backing key as it is stored.

    ``token`` identifies the material for its key back end: wrapped bytes, or the name of an object in a hardware token.
    It is None for imported material that was deleted or has expired and can be imported again. ``expires_at`` is
    set for imported material that expires. The first material of a key has neither ``rotated_at`` nor
    ``rotation_type``. Times are epoch seconds.
    """

    material_id: str
    token: bytes | None
    state: KeyMaterialState
    created_at: float
    rotated_at: float | None = None
    rotation_type: RotationType | None = None
    expires_at: float | None = None
    description: str | None = None

    @property
    def permanent(self) -> bool:
        """Whether the material is a permanent part of its key: it is or was current."""
        return self.state in {KeyMaterialState.CURRENT, KeyMaterialState.NON_CURRENT}

    @override
    def __repr__(self) -> str:
        return f"KeyMaterial({self.material_id}, {self.state})"


class Rotation(msgspec.Struct, frozen=True, gc=False):
    """Automatic rotation: off, or due every ``period_days`` and next at ``next_at`` (epoch seconds)."""

    enabled: bool = False
    period_days: int = DEFAULT_ROTATION_PERIOD_DAYS
    next_at: float | None = None


class KmsKey(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A KMS key. ``policy`` is the document as it was written; ``materials`` are ordered oldest first.

    ``pinned`` maps the ARNs of users and roles in the policy to the unique ids that they had when it was written.
    ``primary_region`` and ``replica_regions`` are the same on all related multi-Region keys; empty on others.
    ``damaged`` has the ids of materials that are not in ``materials``, because what is stored of them cannot be used.
    """

    account: str
    region: str
    key_id: str
    arn: str
    spec: KeySpec
    usage: KeyUsage
    origin: Origin
    manager: KeyManager
    state: KeyState
    description: str
    policy: str
    pinned: tuple[tuple[str, str], ...] = ()
    multi_region: bool
    primary_region: str = ""
    replica_regions: tuple[str, ...] = ()
    custom_key_store_id: str | None = None
    created_at: float
    deletion_at: float | None = None
    deletion_window_days: int | None = None
    rotation: Rotation = Rotation()
    materials: tuple[KeyMaterial, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def locator(self) -> KeyLocator:
        """The account, Region and id of the key."""
        return KeyLocator(self.account, self.region, self.key_id)

    @property
    def current_material(self) -> KeyMaterial | None:
        """The backing key that encrypts; None before any is imported."""
        for material in reversed(self.materials):
            if material.state is KeyMaterialState.CURRENT:
                return material
        return None

    @property
    def external_id(self) -> str | None:
        """The id of the external key, of a key in an external key store."""
        current = self.current_material
        if self.origin is not Origin.EXTERNAL_KEY_STORE or current is None or current.token is None:
            return None
        try:
            return parse_external_token(current.token).external_id
        except ValueError:
            return None

    @property
    def has_all_material(self) -> bool:
        """Whether the key has material, and none of its permanent material is missing."""
        parts = [material for material in self.materials if material.permanent]
        return bool(parts) and all(material.token is not None for material in parts)

    @property
    def is_replica(self) -> bool:
        """Whether this is a replica of a multi-Region key in another Region."""
        return self.multi_region and self.primary_region != self.region

    @property
    def relatives(self) -> tuple[KeyLocator, ...]:
        """The locators of the other related multi-Region keys."""
        regions = (self.primary_region, *self.replica_regions) if self.multi_region else ()
        return tuple(KeyLocator(self.account, region, self.key_id) for region in regions if region != self.region)

    @property
    def on_demand_rotations(self) -> int:
        """How many on-demand rotations the key has used up; the count never goes down."""
        return sum(material.rotation_type is RotationType.ON_DEMAND for material in self.materials)

    def require_usage(self, usage: KeyUsage, operation: str) -> None:
        """Refuse an operation for keys of another usage; raises InvalidKeyUsageException."""
        if self.usage is not usage:
            raise InvalidKeyUsageException(f"{self.arn} key usage is {self.usage} which is not valid for {operation}.")

    def require_symmetric(self, operation: str) -> None:
        """Refuse an operation that needs a key which can wrap data keys; raises InvalidKeyUsageException."""
        self.require_usage(KeyUsage.ENCRYPT_DECRYPT, operation)
        if self.spec is not KeySpec.SYMMETRIC_DEFAULT:
            raise InvalidKeyUsageException(f"{self.arn} key spec is {self.spec} which is not valid for {operation}.")


def new_key(  # noqa: PLR0913 - the properties of a new key
    locator: KeyLocator,
    *,
    spec: KeySpec,
    usage: KeyUsage,
    origin: Origin,
    description: str,
    policy: str,
    multi_region: bool,
    tags: tuple[tuple[str, str], ...],
    material: KeyMaterial | None,
    now: float,
) -> KmsKey:
    """Return a customer managed key as CreateKey leaves it: enabled, or pending import when it has no material."""
    return KmsKey(
        account=locator.account,
        region=locator.region,
        key_id=locator.key_id,
        arn=key_arn(locator.region, locator.account, locator.key_id),
        spec=spec,
        usage=usage,
        origin=origin,
        manager=KeyManager.CUSTOMER,
        state=KeyState.PENDING_IMPORT if material is None else KeyState.ENABLED,
        description=description,
        policy=policy,
        multi_region=multi_region,
        primary_region=locator.region if multi_region else "",
        created_at=now,
        materials=() if material is None else (material,),
        tags=tags,
    )
