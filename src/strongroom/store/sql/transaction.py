"""Writes, in SQL. Every write adds its entry to the change log in the same transaction."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, select, update

from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeyManager
from strongroom.store.quarantine import count_record, printable
from strongroom.store.records import AccountRecord, AliasRecord, ChangeKind, KeyUse
from strongroom.store.retries import WriteConflict
from strongroom.store.sql import rows
from strongroom.store.sql.audit import AuditWrites
from strongroom.store.sql.change_log import ChangeLog, InsertedChanges
from strongroom.store.sql.custom_key_stores import CustomKeyStoreWrites
from strongroom.store.sql.destructions import DestructionWrites
from strongroom.store.sql.domain_keys import DomainKeyWrites
from strongroom.store.sql.grants import GrantWrites
from strongroom.store.sql.history import HistoryWrites
from strongroom.store.sql.identities import IdentityWrites
from strongroom.store.sql.key_rows import sealed_key
from strongroom.store.sql.nodes import NodeWrites
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sql.reports import ReportWrites
from strongroom.store.sql.row_codes import adopt_rows, renew_codes
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.schema import (
    account,
    alias,
    key_count,
    key_grant,
    key_material,
    key_tag,
    key_usage,
    kms_key,
)
from strongroom.store.sql.seals import SealWrites
from strongroom.store.sql.statements import (
    KEY,
    insert_below_limit,
    may_replace,
    of,
    of_key,
    postgresql_insert,
    require_changed,
    where,
)
from strongroom.store.sql.xks_proxies import XksProxyWrites
from strongroom.store.subjects.records import RenewalPlace, RenewedCodes

_USE = {
    name: bindparam(f"use_{name}", type_=key_usage.c[name].type)
    for name in ("operation", "used_at", "event_id", "request_id")
}

_SAVE_ACCOUNT = update(account).where(where(account, "account"))
_SAVE_KEY = update(kms_key).where(where(kms_key, *KEY))
_ERASE_PARTS = [
    delete(table).where(where(table, *KEY)) for table in (key_usage, key_grant, alias, key_tag, key_material)
]
_ERASE_KEY = delete(kms_key).where(where(kms_key, *KEY))
_ALIAS_NAMES = select(alias.c.name).where(where(alias, *KEY))
_SAVE_MATERIAL = update(key_material).where(where(key_material, "region", "material_id"))
_ERASE_MATERIAL = delete(key_material).where(where(key_material, "region", "material_id"))
_ERASE_TAGS = delete(key_tag).where(where(key_tag, *KEY))
_COUNT_MORE = postgresql_insert(key_count).on_conflict_do_update(
    index_elements=["account", "region"], set_={"customer_keys": key_count.c.customer_keys + 1}
)
_COUNT_MORE_BELOW_LIMIT = postgresql_insert(key_count).on_conflict_do_update(
    index_elements=["account", "region"],
    set_={"customer_keys": key_count.c.customer_keys + 1},
    where=key_count.c.customer_keys < bindparam("limit"),
)
_COUNT_LESS = (
    update(key_count).where(where(key_count, "account", "region")).values(customer_keys=key_count.c.customer_keys - 1)
)
_COUNT_AGAIN = (
    update(key_count)
    .where(where(key_count, "account", "region"))
    .values(
        customer_keys=select(func.count())
        .select_from(kms_key)
        .where(where(kms_key, "account", "region"), kms_key.c.manager == KeyManager.CUSTOMER.value)
        .scalar_subquery()
    )
)
_ALIASES = select(func.count()).select_from(alias).where(where(alias, *KEY))
_ADD_ALIAS_BELOW_LIMIT = insert_below_limit(alias, _ALIASES).on_conflict_do_nothing(
    index_elements=["account", "region", "name"]
)
_MOVE_ALIAS = update(alias).where(
    where(alias, "account", "region", "name"), alias.c.key_id == bindparam("previous_key_id")
)
_MOVE_ALIAS_BELOW_LIMIT = _MOVE_ALIAS.where(_ALIASES.scalar_subquery() < bindparam("limit"))
_ERASE_ALIAS = delete(alias).where(where(alias, "account", "region", "name", "key_id"))
_INSERT_USE = postgresql_insert(key_usage).from_select(
    [*KEY, *_USE], select(*(kms_key.c[name] for name in KEY), *_USE.values()).where(where(kms_key, *KEY))
)
_NOTE_USE = _INSERT_USE.on_conflict_do_update(
    index_elements=KEY,
    set_={name: _INSERT_USE.excluded[name] for name in _USE},
    where=may_replace(key_usage.c.used_at, _INSERT_USE.excluded.used_at),
)


class SqlTransaction(
    SqlReader,
    IdentityWrites,
    ReportWrites,
    GrantWrites,
    CustomKeyStoreWrites,
    XksProxyWrites,
    AuditWrites,
    DomainKeyWrites,
    DestructionWrites,
    SealWrites,
    HistoryWrites,
    NodeWrites,
):
    """One write transaction. See ``protocol.Transaction``.

    ``erased`` tells whether key material was erased in it; ``is_last``, whether it must be committed before another one
    begins.
    """

    erased = False
    is_last = False
    # What is written again must not be less than what was read.
    _whole_keys = True

    def __init__(self, connection: Connection, guard: RowGuard | None = None, changes: ChangeLog | None = None) -> None:
        """Write through ``guard``. Entries of the change log go to ``changes``; otherwise each is inserted at once."""
        super().__init__(connection, guard)
        self._changes = changes or InsertedChanges(connection)
        self._found_domain_keys = set()

    def add_account(self, record: AccountRecord) -> None:
        """Insert an account."""
        self._insert(account, [self._guard.sealed(account, rows.account_values(record))])
        self._changes.add(ChangeKind.ACCOUNT, record.account, "", record.account, is_new=True)

    def save_account(self, record: AccountRecord) -> None:
        """Replace the alias and the password policy of an account."""
        place = of(account=record.account)
        values = self._guard.sealed(account, rows.account_values(record))
        require_changed(self._connection.execute(_SAVE_ACCOUNT, values | place))
        self._log(ChangeKind.ACCOUNT, record.account, "", record.account)

    def adopt_rows(self) -> int:
        """Authenticate all records as they are found, which an older release wrote; return how many they are."""
        return 0 if self._guard.authenticator is None else adopt_rows(self._connection, self._guard.authenticator)

    def renew_codes(self, place: RenewalPlace, limit: int) -> RenewedCodes:
        """Make new codes for ``limit`` records after a place, whose codes an older domain key has made."""
        return renew_codes(self._connection, self._guard, place, limit)

    def add_key(self, key: KmsKey, limit: int | None = None) -> bool:
        """Insert a key with its materials and tags.

        Returns False and writes nothing if it is a customer managed key, and its account has ``limit`` of them in the
        Region already.
        """
        if key.manager is KeyManager.CUSTOMER and not self._count_customer_key(key, limit):
            return False
        self._insert(kms_key, [sealed_key(self._guard, key)])
        for ordinal, material in enumerate(key.materials):
            self._require_domain_key(key.region, material.token)
            self._insert(key_material, [rows.material_values(key, ordinal)])
        if key.tags:
            self._insert(key_tag, rows.tag_values(key))
        # It contradicts no cache: that there is no such key is never cached.
        self._changes.add(ChangeKind.KEY, key.account, key.region, key.key_id, is_new=True)
        return True

    def save_key(self, before: KmsKey, after: KmsKey) -> None:
        """Write what differs between two versions of a key: its row, materials and tags; never its aliases."""
        owner = of_key(after.locator)
        require_changed(self._connection.execute(_SAVE_KEY, sealed_key(self._guard, after) | owner))
        self._save_materials(before, after)
        if before.tags != after.tags:
            self._connection.execute(_ERASE_TAGS, owner)
            if after.tags:
                self._insert(key_tag, rows.tag_values(after))
        self._log_key(after.locator)

    def erase_key(self, key: KmsKey) -> None:
        """Remove a key with its materials, tags and aliases."""
        self.erased = True
        for statement in _ERASE_PARTS:
            self._connection.execute(statement, of_key(key.locator))
        require_changed(self._connection.execute(_ERASE_KEY, of_key(key.locator)))
        if key.manager is KeyManager.CUSTOMER:
            self._connection.execute(_COUNT_LESS, of(account=key.account, region=key.region))
        for name in key.aliases:
            self._log(ChangeKind.ALIAS, key.account, key.region, name)
        self._log(ChangeKind.GRANT, key.account, key.region, f"{key.key_id}/")
        self._log_key(key.locator)

    def erase_damaged_key(self, locator: KeyLocator) -> None:
        """Remove all records of a key, also those that are quarantined."""
        self.erased = True
        owner = of_key(locator)
        aliases = self._connection.execute(_ALIAS_NAMES, owner).scalars().all()
        for statement in (*_ERASE_PARTS, _ERASE_KEY):
            self._connection.execute(statement, owner)
        # Whether the count has it is not known: its own record may be missing.
        self._connection.execute(_COUNT_AGAIN, of(account=locator.account, region=locator.region))
        self._guard.quarantine.release(count_record(locator.account, locator.region))
        for name in aliases:
            self._guard.gone(alias, account=locator.account, region=locator.region, name=name)
            self._log(ChangeKind.ALIAS, locator.account, locator.region, printable(name))
        self._guard.quarantine.release_of_key(locator.arn)
        self._log(ChangeKind.GRANT, locator.account, locator.region, f"{locator.key_id}/")
        self._log_key(locator)

    def note_key_uses(self, uses: Sequence[KeyUse], now: float) -> None:
        """Save the last use of each of some keys, unless a later one is saved or the key does not exist.

        One that is a day later than ``now`` is replaced.
        """
        values = [
            of_key(use.locator)
            | {
                "use_operation": use.operation,
                "use_used_at": use.used_at,
                "use_event_id": use.event_id,
                "use_request_id": use.request_id,
                "now": now,
            }
            for use in uses
        ]
        self._connection.execute(_NOTE_USE, values)

    def add_alias(self, record: AliasRecord, limit: int) -> bool:
        """Insert an alias; return False and write nothing if its name is taken or its key has ``limit`` aliases."""
        values = of(**self._guard.sealed(alias, rows.alias_values(record))) | {"limit": limit}
        if not self._connection.execute(_ADD_ALIAS_BELOW_LIMIT, values).rowcount:
            return False
        self._log_alias(record)
        return True

    def put_alias(self, record: AliasRecord, previous_key_id: str | None, limit: int | None = None) -> bool:
        """Insert an alias whose name must be free, or move it from ``previous_key_id``.

        Returns False and writes nothing if it would be moved to a key that has ``limit`` aliases already.
        """
        values = self._guard.sealed(alias, rows.alias_values(record))
        if previous_key_id is None:
            self._insert(alias, [values])
        else:
            if not self._move_alias(record, values | {"previous_key_id": previous_key_id}, limit):
                return False
            self._log_key(KeyLocator(record.locator.account, record.locator.region, previous_key_id))
        self._log_alias(record)
        return True

    def _move_alias(self, record: AliasRecord, values: dict[str, object], limit: int | None) -> bool:
        which = of(**msgspec.structs.asdict(record.locator))
        if limit is None:
            require_changed(self._connection.execute(_MOVE_ALIAS, values | which))
            return True
        which |= of(key_id=record.key_id)
        if self._connection.execute(_MOVE_ALIAS_BELOW_LIMIT, values | which | {"limit": limit}).rowcount:
            return True
        found = self.alias(record.locator)
        if found is None or found.key_id != values["previous_key_id"]:
            raise WriteConflict("The alias was moved or removed by another writer.")
        return False

    def remove_alias(self, record: AliasRecord) -> None:
        """Remove an alias, if it still points to the key of ``record``."""
        which = of(**msgspec.structs.asdict(record.locator), key_id=record.key_id)
        require_changed(self._connection.execute(_ERASE_ALIAS, which))
        self._log_alias(record)

    def _save_materials(self, before: KmsKey, after: KmsKey) -> None:
        known = {material.material_id: material for material in before.materials}
        tokens = {material.token for material in after.materials}
        self.erased = self.erased or any(each.token not in tokens for each in before.materials)
        for material_id in known.keys() - {material.material_id for material in after.materials}:
            self._connection.execute(_ERASE_MATERIAL, of(region=after.region, material_id=material_id))
        for ordinal, material in enumerate(after.materials):
            values = rows.material_values(after, ordinal)
            if known.get(material.material_id) != material:
                self._require_domain_key(after.region, material.token)
            if material.material_id not in known:
                self._insert(key_material, [values])
            elif known[material.material_id] != material:
                place = of(region=after.region, material_id=material.material_id)
                self._connection.execute(_SAVE_MATERIAL, values | place)

    def _count_customer_key(self, key: KmsKey, limit: int | None) -> bool:
        """Count a new customer managed key; return False if there are ``limit`` already."""
        first = {"account": key.account, "region": key.region, "customer_keys": 1}
        if limit is None:
            self._connection.execute(_COUNT_MORE, first)
            return True
        # The first key of an account is inserted, whatever the limit is.
        return limit > 0 and bool(self._connection.execute(_COUNT_MORE_BELOW_LIMIT, first | {"limit": limit}).rowcount)

    def _log_alias(self, record: AliasRecord) -> None:
        place = record.locator
        self._log(ChangeKind.ALIAS, place.account, place.region, place.name)
        self._log_key(KeyLocator(place.account, place.region, record.key_id))

    def _log_key(self, locator: KeyLocator) -> None:
        self._log(ChangeKind.KEY, locator.account, locator.region, locator.key_id)

    def _log(self, kind: ChangeKind, owner: str, region: str, name: str) -> None:
        self._changes.add(kind, owner, region, name)
