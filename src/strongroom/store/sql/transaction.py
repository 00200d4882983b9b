"""Writes, in SQL. Every write leaves its entry in the change log, in the same transaction."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import bindparam, delete, exists, insert, select, update

from strongroom.crypto.protocol import SealedDomainKey
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeyManager
from strongroom.store.records import AccountRecord, AliasRecord, ChangeKind, KeyUse
from strongroom.store.sql import rows
from strongroom.store.sql.audit import AuditWrites
from strongroom.store.sql.change_log import log_change
from strongroom.store.sql.custom_key_stores import CustomKeyStoreWrites
from strongroom.store.sql.grants import GrantWrites
from strongroom.store.sql.identities import IdentityWrites
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sql.schema import (
    account,
    alias,
    domain_key,
    key_count,
    key_grant,
    key_material,
    key_tag,
    key_usage,
    kms_key,
)
from strongroom.store.sql.statements import KEY, of, of_key, where

_USE = {
    name: bindparam(f"use_{name}", type_=key_usage.c[name].type)
    for name in ("operation", "used_at", "event_id", "request_id")
}

_ADD_ACCOUNT = insert(account)
_ADD_DOMAIN_KEY = insert(domain_key)
_ADD_KEY = insert(kms_key)
_SAVE_KEY = update(kms_key).where(where(kms_key, *KEY))
_ERASE_KEY = [
    delete(table).where(where(table, *KEY)) for table in (key_usage, key_grant, alias, key_tag, key_material, kms_key)
]
_ADD_MATERIAL = insert(key_material)
_SAVE_MATERIAL = update(key_material).where(where(key_material, "region", "material_id"))
_ERASE_MATERIAL = delete(key_material).where(where(key_material, "region", "material_id"))
_ADD_TAG = insert(key_tag)
_ERASE_TAGS = delete(key_tag).where(where(key_tag, *KEY))
_COUNT = (
    update(key_count)
    .where(where(key_count, "account", "region"))
    .values(customer_keys=key_count.c.customer_keys + bindparam("change"))
)
_COUNT_FIRST = insert(key_count)
_ADD_ALIAS = insert(alias)
_SAVE_ALIAS = update(alias).where(where(alias, "account", "region", "name"))
_ERASE_ALIAS = delete(alias).where(where(alias, "account", "region", "name"))
_LATER_USE = update(key_usage).where(where(key_usage, *KEY), key_usage.c.used_at <= _USE["used_at"]).values(_USE)
_FIRST_USE = insert(key_usage).from_select(
    [*KEY, *_USE],
    select(*(kms_key.c[name] for name in KEY), *_USE.values()).where(
        where(kms_key, *KEY), ~exists(select(key_usage.c.key_id).where(where(key_usage, *KEY)))
    ),
)


class SqlTransaction(SqlReader, IdentityWrites, GrantWrites, CustomKeyStoreWrites, AuditWrites):
    """One write transaction. See ``protocol.Transaction``. ``erased`` tells whether key material was erased in it."""

    erased = False

    def add_account(self, record: AccountRecord) -> None:
        """Insert an account."""
        self._connection.execute(_ADD_ACCOUNT, msgspec.structs.asdict(record))
        self._log(ChangeKind.ACCOUNT, record.account, "", record.account)

    def add_domain_key(self, record: SealedDomainKey) -> None:
        """Insert a domain key."""
        self._connection.execute(_ADD_DOMAIN_KEY, msgspec.structs.asdict(record))

    def add_key(self, key: KmsKey) -> None:
        """Insert a key with its materials and tags."""
        self._connection.execute(_ADD_KEY, rows.key_values(key))
        for ordinal in range(len(key.materials)):
            self._connection.execute(_ADD_MATERIAL, rows.material_values(key, ordinal))
        if key.tags:
            self._connection.execute(_ADD_TAG, rows.tag_values(key))
        self._count(key, 1)
        self._log_key(key.locator)

    def save_key(self, before: KmsKey, after: KmsKey) -> None:
        """Write what differs between two versions of a key: its row, materials and tags; never its aliases."""
        owner = of_key(after.locator)
        self._connection.execute(_SAVE_KEY, rows.key_values(after) | owner)
        self._save_materials(before, after)
        if before.tags != after.tags:
            self._connection.execute(_ERASE_TAGS, owner)
            if after.tags:
                self._connection.execute(_ADD_TAG, rows.tag_values(after))
        self._log_key(after.locator)

    def erase_key(self, key: KmsKey) -> None:
        """Remove a key with its materials, tags and aliases."""
        self.erased = True
        for statement in _ERASE_KEY:
            self._connection.execute(statement, of_key(key.locator))
        self._count(key, -1)
        for name in key.aliases:
            self._log(ChangeKind.ALIAS, key.account, key.region, name)
        self._log(ChangeKind.GRANT, key.account, key.region, f"{key.key_id}/")
        self._log_key(key.locator)

    def note_key_uses(self, uses: Sequence[KeyUse]) -> None:
        """Write down the last use of each of some keys, unless a later one is there or the key is gone."""
        values = [
            of_key(use.locator)
            | {
                "use_operation": use.operation,
                "use_used_at": use.used_at,
                "use_event_id": use.event_id,
                "use_request_id": use.request_id,
            }
            for use in uses
        ]
        self._connection.execute(_LATER_USE, values)
        self._connection.execute(_FIRST_USE, values)

    def put_alias(self, record: AliasRecord, previous_key_id: str | None) -> None:
        """Insert an alias, or move it from ``previous_key_id``."""
        place = record.locator
        values = {
            **msgspec.structs.asdict(place),
            "key_id": record.key_id,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
        }
        if previous_key_id is None:
            self._connection.execute(_ADD_ALIAS, values)
        else:
            self._connection.execute(_SAVE_ALIAS, values | of(**msgspec.structs.asdict(place)))
            self._log_key(KeyLocator(place.account, place.region, previous_key_id))
        self._log_alias(record)

    def remove_alias(self, record: AliasRecord) -> None:
        """Remove an alias."""
        self._connection.execute(_ERASE_ALIAS, of(**msgspec.structs.asdict(record.locator)))
        self._log_alias(record)

    def _save_materials(self, before: KmsKey, after: KmsKey) -> None:
        known = {material.material_id: material for material in before.materials}
        tokens = {material.token for material in after.materials}
        self.erased = self.erased or any(each.token not in tokens for each in before.materials)
        for material_id in known.keys() - {material.material_id for material in after.materials}:
            self._connection.execute(_ERASE_MATERIAL, of(region=after.region, material_id=material_id))
        for ordinal, material in enumerate(after.materials):
            values = rows.material_values(after, ordinal)
            if material.material_id not in known:
                self._connection.execute(_ADD_MATERIAL, values)
            elif known[material.material_id] != material:
                place = of(region=after.region, material_id=material.material_id)
                self._connection.execute(_SAVE_MATERIAL, values | place)

    def _count(self, key: KmsKey, change: int) -> None:
        if key.manager is not KeyManager.CUSTOMER:
            return
        counted = of(account=key.account, region=key.region) | {"change": change}
        if not self._connection.execute(_COUNT, counted).rowcount:
            first = {"account": key.account, "region": key.region, "customer_keys": change}
            self._connection.execute(_COUNT_FIRST, first)

    def _log_alias(self, record: AliasRecord) -> None:
        place = record.locator
        self._log(ChangeKind.ALIAS, place.account, place.region, place.name)
        self._log_key(KeyLocator(place.account, place.region, record.key_id))

    def _log_key(self, locator: KeyLocator) -> None:
        self._log(ChangeKind.KEY, locator.account, locator.region, locator.key_id)

    def _log(self, kind: ChangeKind, owner: str, region: str, name: str) -> None:
        log_change(self._connection, kind, owner, region, name)
