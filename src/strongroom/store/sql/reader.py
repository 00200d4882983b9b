"""Reads of one consistent state, in SQL."""

from collections.abc import Collection, Iterator, Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, func, or_, select, tuple_

from strongroom.clock import DAY
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.states import KeyState
from strongroom.store.quarantine import Finding, Quarantine
from strongroom.store.records import AccountRecord, AliasRecord, DamagedKey, KeyUse, ListedKey
from strongroom.store.sql import rows
from strongroom.store.sql.audit import AuditReads
from strongroom.store.sql.custom_key_stores import CustomKeyStoreReads
from strongroom.store.sql.destructions import DestructionReads
from strongroom.store.sql.domain_keys import DomainKeyReads
from strongroom.store.sql.grants import GrantReads
from strongroom.store.sql.history import HistoryReads
from strongroom.store.sql.identities import IdentityReads
from strongroom.store.sql.key_list import listed_keys, saved_uses
from strongroom.store.sql.key_rows import KEY_ROW, PARTS_OF_KEY, KeyRows, damaged_key, key_of
from strongroom.store.sql.nodes import NodeReads
from strongroom.store.sql.reports import ReportReads
from strongroom.store.sql.row_check import check_rows
from strongroom.store.sql.row_codes import codes_under_older
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.schema import account as account_table
from strongroom.store.sql.schema import (
    alias,
    key_count,
    key_material,
    key_usage,
    kms_key,
)
from strongroom.store.sql.seals import SealReads
from strongroom.store.sql.statements import KEY, of, of_key, where
from strongroom.store.sql.xks_proxies import XksProxyReads
from strongroom.store.subjects.records import Opens

_LOCATOR = select(kms_key.c.account, kms_key.c.region, kms_key.c.key_id)
_KEYS_BY_REGION = select(kms_key.c.region, func.count()).group_by(kms_key.c.region)
_CUSTOMER_KEYS = select(key_count.c.customer_keys).where(where(key_count, "account", "region"))
_KEY_OF_MATERIAL = select(key_material.c.account, key_material.c.region, key_material.c.key_id).where(
    where(key_material, "region", "material_id")
)
_ALIAS = select(alias).where(where(alias, "account", "region", "name"))
_KEY_USE = select(key_usage).where(where(key_usage, *KEY))
_earlier = key_material.alias("earlier")
# Of each key, the material that expired first. With a GROUP BY, SQLite would read all material.
_EXPIRED = (
    select(key_material.c.account, key_material.c.region, key_material.c.key_id)
    .where(
        key_material.c.expires_at <= bindparam("now"),
        ~exists().where(
            *(_earlier.c[name] == key_material.c[name] for name in KEY),
            tuple_(_earlier.c.expires_at, _earlier.c.ordinal)
            < tuple_(key_material.c.expires_at, key_material.c.ordinal),
        ),
    )
    .order_by(key_material.c.expires_at)
    .limit(bindparam("limit"))
)
_ACCOUNTS = select(account_table).order_by(account_table.c.account)
_ACCOUNT = select(account_table).where(where(account_table, "account"))
_ACCOUNT_WITH_ALIAS = select(account_table).where(where(account_table, "alias"))


class SqlReader(
    IdentityReads,
    ReportReads,
    GrantReads,
    CustomKeyStoreReads,
    XksProxyReads,
    AuditReads,
    DomainKeyReads,
    DestructionReads,
    SealReads,
    HistoryReads,
    NodeReads,
):
    """One consistent state, seen through one connection. See ``protocol.Reader``."""

    _whole_keys = False
    """Whether a key with damaged material is refused."""

    def __init__(self, connection: Connection, guard: RowGuard | None = None) -> None:
        """Read through ``guard``; without one, rows are not authenticated."""
        self._connection = connection
        self._guard = guard or RowGuard(Quarantine())

    def key(self, locator: KeyLocator) -> KmsKey | None:
        """Return a key with its materials, tags and aliases."""
        return key_of(self._guard, locator, self._key_rows(locator), whole=self._whole_keys)

    def _key_rows(self, locator: KeyLocator) -> KeyRows | None:
        owner = of_key(locator)
        row = self._connection.execute(KEY_ROW, owner).one_or_none()
        if row is None:
            return None
        return KeyRows(row, *(self._connection.execute(part, owner).all() for part in PARTS_OF_KEY))

    def damaged_key(self, locator: KeyLocator) -> DamagedKey | None:
        """Return what is left of a key of which a record is damaged or missing; None if none is, or all are."""
        owner = of_key(locator)
        row = self._connection.execute(KEY_ROW, owner).one_or_none()
        materials, tags, aliases = (self._connection.execute(part, owner).all() for part in PARTS_OF_KEY)
        return damaged_key(self._guard, locator, row, materials, tags, aliases)

    def all_keys(self) -> Iterator[ListedKey]:
        """Yield every key, by account, Region and key id, as it is read: memory does not grow with their number."""
        return listed_keys(self._connection, self._guard)

    def key_uses(self) -> Iterator[KeyUse]:
        """Yield the last use of every key that was saved, in the same order and as it is read."""
        return saved_uses(self._connection)

    def customer_keys(self, account: str, region: str) -> int:
        """Count an account's customer managed keys in a Region."""
        found = self._connection.execute(_CUSTOMER_KEYS, of(account=account, region=region)).scalar_one_or_none()
        return found or 0

    def keys_by_region(self) -> dict[str, int]:
        """Count the keys of all accounts in each Region that has any. It reads an index of all keys."""
        return {row[0]: row[1] for row in self._connection.execute(_KEYS_BY_REGION)}

    def key_of_material(self, region: str, material_id: str) -> KeyLocator | None:
        """Return the key that a key material of this Region belongs to."""
        place = of(region=region, material_id=material_id)
        row = self._connection.execute(_KEY_OF_MATERIAL, place).one_or_none()
        return None if row is None else self._guard.locator(row)

    def alias(self, locator: AliasLocator) -> AliasRecord | None:
        """Return an alias."""
        row = self._connection.execute(_ALIAS, of(**msgspec.structs.asdict(locator))).one_or_none()
        if row is None:
            self._guard.gone(alias, **msgspec.structs.asdict(locator))
            return None
        return self._guard.require(alias, row, rows.read_alias)

    def key_use(self, locator: KeyLocator) -> KeyUse | None:
        """Return the last use of a key that was saved."""
        row = self._connection.execute(_KEY_USE, of_key(locator)).one_or_none()
        return None if row is None else KeyUse(locator, row.operation, row.used_at, row.event_id, row.request_id)

    def accounts(self) -> list[AccountRecord]:
        """Return every account."""
        return self._guard.intact(account_table, self._connection.execute(_ACCOUNTS), rows.read_account)

    def account(self, account: str) -> AccountRecord | None:
        """Return an account."""
        row = self._connection.execute(_ACCOUNT, of(account=account)).one_or_none()
        return None if row is None else self._guard.require(account_table, row, rows.read_account)

    def account_with_alias(self, alias: str) -> AccountRecord | None:
        """Return the account that has an alias."""
        row = self._connection.execute(_ACCOUNT_WITH_ALIAS, of(alias=alias)).one_or_none()
        return None if row is None else self._guard.require(account_table, row, rows.read_account)

    def keys(self, account: str, region: str, after: str, limit: int) -> list[KeyLocator]:
        """List keys by key id."""
        query = _LOCATOR.where(
            kms_key.c.account == account, kms_key.c.region == region, kms_key.c.key_id > after
        ).order_by(kms_key.c.key_id)
        return self._guard.locators(lambda most: self._connection.execute(query.limit(most)).all(), limit)

    def aliases(self, account: str, region: str, key_id: str | None, after: str, limit: int) -> list[AliasRecord]:
        """List aliases by name; of one key when ``key_id`` is given."""
        query = select(alias).where(alias.c.account == account, alias.c.region == region, alias.c.name > after)
        if key_id is not None:
            query = query.where(alias.c.key_id == key_id)

        def fetch(most: int) -> Sequence[rows.AnyRow]:
            return self._connection.execute(query.order_by(alias.c.name).limit(most)).all()

        return self._guard.page(alias, fetch, limit, rows.read_alias)

    def keys_to_rotate(self, now: float, limit: int, regions: Collection[str] | None = None) -> list[KeyLocator]:
        """List keys whose automatic rotation was due at ``now``, most overdue first."""
        due = and_(
            kms_key.c.next_rotation_at <= now,
            kms_key.c.state == KeyState.ENABLED.value,
            # Replicas rotate with their primary.
            kms_key.c.primary_region.in_(("", kms_key.c.region)),
        )
        return self._due(due, kms_key.c.next_rotation_at, limit, regions)

    def keys_with_expired_material(
        self, now: float, limit: int, regions: Collection[str] | None = None
    ) -> list[KeyLocator]:
        """List keys with imported material that had expired at ``now``, first expired first."""
        query = _EXPIRED if regions is None else _EXPIRED.where(key_material.c.region.in_(sorted(regions)))

        def fetch(most: int) -> Sequence[rows.AnyRow]:
            return self._connection.execute(query, {"now": now, "limit": most}).all()

        return self._guard.locators(fetch, limit)

    def keys_to_delete(self, now: float, limit: int, regions: Collection[str] | None = None) -> list[KeyLocator]:
        """List keys whose waiting period was over at ``now``, most overdue first."""
        return self._due(kms_key.c.deletion_at <= now, kms_key.c.deletion_at, limit, regions)

    def misdated_keys(
        self, now: float, margin: float, unsure_since: float, limit: int, regions: Collection[str] | None = None
    ) -> list[KeyLocator]:
        """List keys that rotate later than a period from ``now`` on, or are deleted later than a window, by ``margin``.

        And those with a waiting period that began since ``unsure_since`` and ends before a window from ``now`` on.
        Times are epoch seconds.
        """
        end = now + margin
        # Each with a bound that its index knows.
        late_rotation = and_(
            kms_key.c.next_rotation_at > end,
            kms_key.c.next_rotation_at > end + kms_key.c.rotation_period_days * DAY,
        )
        window = kms_key.c.deletion_window_days * DAY
        late_deletion = kms_key.c.deletion_at > end + window
        # SQLite has no infinity that could be a parameter.
        since = min(unsure_since, now)
        early_deletion = and_(kms_key.c.deletion_at >= since + window, kms_key.c.deletion_at < now + window)
        # Related keys have the rotation of their primary.
        own = kms_key.c.primary_region.in_(("", kms_key.c.region))
        return self._due(
            or_(and_(late_rotation, own), and_(kms_key.c.deletion_at > since, or_(late_deletion, early_deletion))),
            kms_key.c.key_id,
            limit,
            regions,
        )

    def _due(
        self,
        condition: ColumnElement[bool],
        order: ColumnElement[float],
        limit: int,
        regions: Collection[str] | None,
    ) -> list[KeyLocator]:
        query = _LOCATOR.where(condition).order_by(order)
        if regions is not None:
            query = query.where(kms_key.c.region.in_(sorted(regions)))
        return self._guard.locators(lambda most: self._connection.execute(query.limit(most)).all(), limit)

    def codes_under_older(self, version: int) -> int:
        """Count the records whose codes were made with an older version of the domain key ``iam``."""
        return codes_under_older(self._connection, version)

    def findings(self, opens: Opens) -> Iterator[Finding]:
        """Check every record of the database; see ``row_check.check_rows``."""
        return check_rows(self._connection, self._guard, opens)
