"""Makes the keys and aliases of a seed in one account and Region, where they do not exist yet."""

from itertools import pairwise

import msgspec
from msgspec.structs import replace

from strongroom.clock import DAY
from strongroom.errors import KmsError
from strongroom.keys.arns import MULTI_REGION_PREFIX, AliasLocator, KeyLocator, root_arn
from strongroom.keys.key_policy import default_policy
from strongroom.keys.kms_key import (
    DEFAULT_ROTATION_PERIOD_DAYS,
    KeyMaterial,
    KeyMaterialState,
    KmsKey,
    Rotation,
    RotationType,
    new_key,
)
from strongroom.keys.names import require_new_alias
from strongroom.keys.specs import Origin
from strongroom.keys.states import KeyState
from strongroom.operations.context import Backends
from strongroom.operations.kms.key_changes import KeyChanges, change_keys
from strongroom.operations.kms.key_material import OwnedToken
from strongroom.operations.kms.prepared_material import PreparedMaterial
from strongroom.seeds.ciphertexts import SeededKeys
from strongroom.seeds.given_material import keep_given
from strongroom.seeds.seed import Seed, SeedAlias, SeedError, SeedKey
from strongroom.store.protocol import Reader
from strongroom.store.records import AliasRecord
from strongroom.store.scopes import AccountScope, KeyScope


class Planted(msgspec.Struct, frozen=True):
    """What came of a seed: the numbers of keys and aliases that were made, and that were there already."""

    keys: int
    aliases: int
    present: int


class _Place(msgspec.Struct, frozen=True):
    account: str
    region: str
    now: float

    def key(self, key_id: str) -> KeyLocator:
        return KeyLocator(self.account, self.region, key_id)


def plant(seed: Seed, backends: Backends, account: str, region: str, now: float) -> tuple[Planted, SeededKeys]:
    """Make what a seed asks for and what is not there yet.

    Returns what was done, and the keys that open ciphertexts of local-kms. As with local-kms, a key or alias that
    exists already stays as it is. ``now`` is in epoch seconds. Raises SeedError; the keys before the one that it names
    have then been made.
    """
    place = _Place(account, region, now)
    seeded: dict[str, tuple[tuple[str, bytes], ...]] = {}
    keys = aliases = 0
    for each in seed.keys:
        try:
            made, ids = _plant_key(each, backends, place)
        except KmsError as error:
            raise seed.error(each.place, error.message or error.code) from None
        keys += made
        if not each.spec.startswith(("RSA", "ECC")):
            seeded[each.key_id] = tuple(zip(ids, each.materials, strict=True))
    for alias in seed.aliases:
        try:
            aliases += _plant_alias(alias, backends, place)
        except KmsError as error:
            raise seed.error(alias.place, error.message or error.code) from None
        except SeedError as error:
            raise seed.error(f"{alias.place}.TargetKeyId", str(error)) from None
    present = len(seed.keys) + len(seed.aliases) - keys - aliases
    return Planted(keys, aliases, present), SeededKeys(place.account, place.region, seeded)


def _plant_key(seed_key: SeedKey, backends: Backends, place: _Place) -> tuple[bool, list[str]]:
    """Make a key unless there is one of its id; return whether it was made, and the ids of its material."""
    locator = place.key(seed_key.key_id)
    with PreparedMaterial(backends.key_backends, backends.entropy) as prepared:
        tokens = [
            keep_given(backends.key_backends, material, locator, seed_key.spec) for material in seed_key.materials
        ]
        for token in tokens:
            prepared.add_imported(token)
        key = _key(seed_key, tokens, place)

        def plan(reader: Reader, _prepared: PreparedMaterial) -> KeyChanges:
            if reader.key(locator) is not None:
                return KeyChanges()
            return KeyChanges(added=(key,), customer_keys=backends.customer_keys)

        changes = change_keys(
            backends.store, prepared, plan, AccountScope(locator.account), KeyScope(locator.account, locator.key_id)
        )
    return bool(changes.added), [token.owner.material_id for token in tokens]


def _key(seed_key: SeedKey, tokens: list[OwnedToken], place: _Place) -> KmsKey:
    key = new_key(
        place.key(seed_key.key_id),
        spec=seed_key.spec,
        usage=seed_key.usage,
        origin=seed_key.origin,
        description=seed_key.description,
        policy=default_policy(root_arn(place.region, place.account)),
        multi_region=seed_key.key_id.startswith(MULTI_REGION_PREFIX),
        tags=(),
        material=None,
        now=place.now,
    )
    if not tokens:
        return key
    rotation = key.rotation
    if seed_key.next_rotation is not None:
        # A date further ahead than one period would be taken for the mark of a wrong clock.
        latest = place.now + DEFAULT_ROTATION_PERIOD_DAYS * DAY
        rotation = Rotation(enabled=True, next_at=min(seed_key.next_rotation, latest))
    return replace(key, state=KeyState.ENABLED, materials=_materials(seed_key, tokens, place), rotation=rotation)


def _materials(seed_key: SeedKey, tokens: list[OwnedToken], place: _Place) -> tuple[KeyMaterial, ...]:
    """Return the materials of a key, as if it had been rotated from each to the next when it was seeded."""
    first = KeyMaterial(tokens[0].owner.material_id, tokens[0].token, KeyMaterialState.CURRENT, place.now)
    materials = [first]
    for _, token in pairwise(tokens):
        materials[-1] = replace(materials[-1], state=KeyMaterialState.NON_CURRENT)
        materials.append(
            KeyMaterial(
                token.owner.material_id,
                token.token,
                KeyMaterialState.CURRENT,
                place.now,
                rotated_at=place.now,
                rotation_type=RotationType.AUTOMATIC if seed_key.origin is Origin.AWS_KMS else RotationType.ON_DEMAND,
            )
        )
    return tuple(materials)


def _plant_alias(seed_alias: SeedAlias, backends: Backends, place: _Place) -> bool:
    require_new_alias(seed_alias.name)
    locator = AliasLocator(place.account, place.region, seed_alias.name)
    target = place.key(seed_alias.target_key_id)
    record = AliasRecord(locator, target.key_id, created_at=place.now, updated_at=place.now)

    def plan(reader: Reader, _prepared: PreparedMaterial) -> KeyChanges:
        if reader.alias(locator) is not None:
            return KeyChanges()
        if reader.key(target) is None:
            raise SeedError(f"there is no key `{target.key_id}`")
        return KeyChanges(new_aliases=(record,))

    with PreparedMaterial(backends.key_backends, backends.entropy) as prepared:
        changes = change_keys(
            backends.store, prepared, plan, AccountScope(place.account), KeyScope(place.account, target.key_id)
        )
    return bool(changes.new_aliases)
