"""Between rows and the types of ``keys`` and ``records``: the only place that knows both."""

from collections.abc import Sequence
from functools import lru_cache
from sys import intern
from typing import Any

import msgspec
from sqlalchemy import Row

from strongroom.keys.arns import AliasLocator, key_arn
from strongroom.keys.kms_key import KeyMaterial, KeyMaterialState, KmsKey, Rotation, RotationType
from strongroom.keys.specs import KeyManager, KeySpec, KeyUsage, Origin
from strongroom.keys.states import KeyState
from strongroom.store.records import AccessKeyRecord, AccountRecord, AliasRecord, PasswordPolicy

_pinned = msgspec.json.Decoder(tuple[tuple[str, str], ...])

_MAX_POLICIES = 1024

AnyRow = Row[*tuple[Any, ...]]


def key_values(key: KmsKey) -> dict[str, object]:
    """Return the row of a key in its own table, without its materials, tags and aliases."""
    return {
        "account": key.account,
        "region": key.region,
        "key_id": key.key_id,
        "spec": key.spec.value,
        "usage": key.usage.value,
        "origin": key.origin.value,
        "manager": key.manager.value,
        "state": key.state.value,
        "description": key.description,
        "policy": key.policy,
        "multi_region": key.multi_region,
        "primary_region": key.primary_region,
        "replica_regions": ",".join(key.replica_regions),
        "custom_key_store_id": key.custom_key_store_id,
        "created_at": key.created_at,
        "deletion_at": key.deletion_at,
        "deletion_window_days": key.deletion_window_days,
        "rotation_enabled": key.rotation.enabled,
        "rotation_period_days": key.rotation.period_days,
        "next_rotation_at": key.rotation.next_at,
        "pinned": msgspec.json.encode(key.pinned),
    }


def material_values(key: KmsKey, ordinal: int) -> dict[str, object]:
    """Return the row of a key's material; ``ordinal`` counts from the oldest, 0."""
    material = key.materials[ordinal]
    return {
        "account": key.account,
        "region": key.region,
        "key_id": key.key_id,
        "ordinal": ordinal,
        "material_id": material.material_id,
        "token": material.token,
        "state": material.state.value,
        "created_at": material.created_at,
        "rotated_at": material.rotated_at,
        "rotation_type": material.rotation_type and material.rotation_type.value,
        "expires_at": material.expires_at,
        "description": material.description,
    }


def tag_values(key: KmsKey) -> list[dict[str, str]]:
    """Return the rows of a key's tags."""
    owner = {"account": key.account, "region": key.region, "key_id": key.key_id}
    return [{**owner, "tag_key": name, "tag_value": value} for name, value in key.tags]


def read_key(
    row: AnyRow,
    materials: Sequence[AnyRow],
    tags: Sequence[AnyRow],
    aliases: Sequence[str],
    damaged: tuple[str, ...] = (),
) -> KmsKey:
    """Put a key together from its rows, the names of its aliases, and the ids of materials that cannot be used."""
    return KmsKey(
        account=intern(row.account),
        region=intern(row.region),
        key_id=row.key_id,
        arn=key_arn(row.region, row.account, row.key_id),
        spec=KeySpec(row.spec),
        usage=KeyUsage(row.usage),
        origin=Origin(row.origin),
        manager=KeyManager(row.manager),
        state=KeyState(row.state),
        description=row.description,
        policy=_shared(row.policy),
        pinned=_pinned.decode(row.pinned),
        multi_region=row.multi_region,
        primary_region=row.primary_region,
        replica_regions=tuple(row.replica_regions.split(",")) if row.replica_regions else (),
        custom_key_store_id=row.custom_key_store_id,
        created_at=row.created_at,
        deletion_at=row.deletion_at,
        deletion_window_days=row.deletion_window_days,
        rotation=Rotation(
            enabled=row.rotation_enabled, period_days=row.rotation_period_days, next_at=row.next_rotation_at
        ),
        materials=tuple(_read_material(each) for each in materials),
        tags=tuple((each.tag_key, each.tag_value) for each in tags),
        aliases=tuple(aliases),
        damaged=damaged,
    )


@lru_cache(maxsize=_MAX_POLICIES)
def _shared(policy: str) -> str:
    """Return one string for all policies that are the same: most keys of an account have the same one."""
    return policy


def alias_values(record: AliasRecord) -> dict[str, object]:
    """Return the row of an alias."""
    return {
        "account": record.locator.account,
        "region": record.locator.region,
        "name": record.locator.name,
        "key_id": record.key_id,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def read_alias(row: AnyRow) -> AliasRecord:
    """Read an alias."""
    return AliasRecord(
        locator=AliasLocator(row.account, row.region, row.name),
        key_id=row.key_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def account_values(record: AccountRecord) -> dict[str, object]:
    """Return the row of an account."""
    policy = record.password_policy
    return {
        "account": record.account,
        "created_at": record.created_at,
        "alias": record.alias,
        "password_policy": None if policy is None else msgspec.json.encode(policy),
    }


def read_account(row: AnyRow) -> AccountRecord:
    """Read an account."""
    policy = row.password_policy
    return AccountRecord(
        account=row.account,
        created_at=row.created_at,
        alias=row.alias,
        password_policy=None if policy is None else msgspec.json.decode(policy, type=PasswordPolicy),
    )


def access_key_values(record: AccessKeyRecord) -> dict[str, object]:
    """Return the row of an access key."""
    return msgspec.structs.asdict(record)


def read_access_key(row: AnyRow) -> AccessKeyRecord:
    """Read an access key."""
    return AccessKeyRecord(
        access_key_id=row.access_key_id,
        account=row.account,
        principal=row.principal,
        wrapped_secret=row.wrapped_secret,
        active=row.active,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        last_used_region=row.last_used_region,
        last_used_service=row.last_used_service,
    )


def _read_material(row: AnyRow) -> KeyMaterial:
    return KeyMaterial(
        material_id=row.material_id,
        token=row.token,
        state=KeyMaterialState(row.state),
        created_at=row.created_at,
        rotated_at=row.rotated_at,
        rotation_type=None if row.rotation_type is None else RotationType(row.rotation_type),
        expires_at=row.expires_at,
        description=row.description,
    )
