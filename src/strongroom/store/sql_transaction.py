"""Writes, in SQL. Every write leaves its entry in the change log, in the same transaction."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import BindParameter, and_, bindparam, delete, exists, insert, select, update

from strongroom.crypto.protocol import SealedDomainKey
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeyManager
from strongroom.store import rows
from strongroom.store.change_log import log_change
from strongroom.store.protocol import AccountRecord, AliasRecord, ChangeKind, KeyUse
from strongroom.store.schema import (
    account,
    alias,
    domain_key,
    key_count,
    key_grant,
    key_material,
    key_tag,
    key_usage,
    kms_key,
    of_key,
)
from strongroom.store.sql_audit import AuditWrites
from strongroom.store.sql_custom_key_stores import CustomKeyStoreWrites
from strongroom.store.sql_grants import GrantWrites
from strongroom.store.sql_identities import IdentityWrites
from strongroom.store.sql_reader import SqlReader

_USE = ("operation", "used_at", "event_id", "request_id")


class SqlTransaction(SqlReader, IdentityWrites, GrantWrites, CustomKeyStoreWrites, AuditWrites):
    """One write transaction. See ``protocol.Transaction``. ``erased`` tells whether key material was erased in it."""

    erased = False

    def add_account(self, record: AccountRecord) -> None:
        """Insert an account."""
        self._connection.execute(insert(account).values(msgspec.structs.asdict(record)))
        self._log(ChangeKind.ACCOUNT, record.account, "", record.account)

    def add_domain_key(self, record: SealedDomainKey) -> None:
        """Insert a domain key."""
        self._connection.execute(insert(domain_key).values(msgspec.structs.asdict(record)))

    def add_key(self, key: KmsKey) -> None:
        """Insert a key with its materials and tags."""
        self._connection.execute(insert(kms_key).values(rows.key_values(key)))
        for ordinal in range(len(key.materials)):
            self._connection.execute(insert(key_material).values(rows.material_values(key, ordinal)))
        if key.tags:
            self._connection.execute(insert(key_tag), rows.tag_values(key))
        self._count(key, 1)
        self._log_key(key.locator)

    def save_key(self, before: KmsKey, after: KmsKey) -> None:
        """Write what differs between two versions of a key: its row, materials and tags; never its aliases."""
        owner = after.locator
        self._connection.execute(update(kms_key).where(of_key(kms_key, owner)).values(rows.key_values(after)))
        self._save_materials(before, after)
        if before.tags != after.tags:
            self._connection.execute(delete(key_tag).where(of_key(key_tag, owner)))
            if after.tags:
                self._connection.execute(insert(key_tag), rows.tag_values(after))
        self._log_key(owner)

    def erase_key(self, key: KmsKey) -> None:
        """Remove a key with its materials, tags and aliases."""
        self.erased = True
        for table in (key_usage, key_grant, alias, key_tag, key_material, kms_key):
            self._connection.execute(delete(table).where(of_key(table, key.locator)))
        self._count(key, -1)
        for name in key.aliases:
            self._log(ChangeKind.ALIAS, key.account, key.region, name)
        self._log(ChangeKind.GRANT, key.account, key.region, f"{key.key_id}/")
        self._log_key(key.locator)

    def note_key_uses(self, uses: Sequence[KeyUse]) -> None:
        """Write down the last use of each of some keys, unless a later one is there or the key is gone."""
        values = [
            {
                **{f"of_{name}": value for name, value in msgspec.structs.asdict(use.locator).items()},
                **{f"use_{name}": getattr(use, name) for name in _USE},
            }
            for use in uses
        ]
        owner: dict[str, BindParameter[str]] = {
            name: bindparam(f"of_{name}") for name in ("account", "region", "key_id")
        }
        use = {name: bindparam(f"use_{name}", type_=key_usage.c[name].type) for name in _USE}
        noted = and_(*(key_usage.c[name] == value for name, value in owner.items()))
        is_key = and_(*(kms_key.c[name] == value for name, value in owner.items()))
        later = update(key_usage).where(noted, key_usage.c.used_at <= use["used_at"]).values(use)
        row = select(kms_key.c.account, kms_key.c.region, kms_key.c.key_id, *use.values())
        first = insert(key_usage).from_select(
            [*owner, *_USE], row.where(is_key, ~exists(select(key_usage.c.key_id).where(noted)))
        )
        self._connection.execute(later, values)
        self._connection.execute(first, values)

    def put_alias(self, record: AliasRecord, previous_key_id: str | None) -> None:
        """Insert an alias, or move it from ``previous_key_id``."""
        where = record.locator
        values = {
            "account": where.account,
            "region": where.region,
            "name": where.name,
            "key_id": record.key_id,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
        }
        if previous_key_id is None:
            self._connection.execute(insert(alias).values(values))
        else:
            self._connection.execute(
                update(alias)
                .where(alias.c.account == where.account, alias.c.region == where.region, alias.c.name == where.name)
                .values(values)
            )
            self._log_key(KeyLocator(where.account, where.region, previous_key_id))
        self._log_alias(record)

    def remove_alias(self, record: AliasRecord) -> None:
        """Remove an alias."""
        where = record.locator
        self._connection.execute(
            delete(alias).where(
                alias.c.account == where.account, alias.c.region == where.region, alias.c.name == where.name
            )
        )
        self._log_alias(record)

    def _save_materials(self, before: KmsKey, after: KmsKey) -> None:
        known = {material.material_id: material for material in before.materials}
        tokens = {material.token for material in after.materials}
        self.erased = self.erased or any(each.token not in tokens for each in before.materials)
        for material_id in known.keys() - {material.material_id for material in after.materials}:
            self._connection.execute(
                delete(key_material).where(
                    key_material.c.region == after.region, key_material.c.material_id == material_id
                )
            )
        for ordinal, material in enumerate(after.materials):
            values = rows.material_values(after, ordinal)
            if material.material_id not in known:
                self._connection.execute(insert(key_material).values(values))
            elif known[material.material_id] != material:
                self._connection.execute(
                    update(key_material)
                    .where(key_material.c.region == after.region, key_material.c.material_id == material.material_id)
                    .values(values)
                )

    def _count(self, key: KmsKey, change: int) -> None:
        if key.manager is not KeyManager.CUSTOMER:
            return
        where = and_(key_count.c.account == key.account, key_count.c.region == key.region)
        counted = update(key_count).where(where).values(customer_keys=key_count.c.customer_keys + change)
        if not self._connection.execute(counted).rowcount:
            first = {"account": key.account, "region": key.region, "customer_keys": change}
            self._connection.execute(insert(key_count).values(first))

    def _log_alias(self, record: AliasRecord) -> None:
        where = record.locator
        self._log(ChangeKind.ALIAS, where.account, where.region, where.name)
        self._log_key(KeyLocator(where.account, where.region, record.key_id))

    def _log_key(self, locator: KeyLocator) -> None:
        self._log(ChangeKind.KEY, locator.account, locator.region, locator.key_id)

    def _log(self, kind: ChangeKind, owner: str, region: str, name: str) -> None:
        log_change(self._connection, kind, owner, region, name)
