"""Custom key stores, in SQL. Each is one row, as JSON."""

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, exists, select, tuple_

from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.keys.custom_key_stores import CustomKeyStore
from strongroom.store.records import ChangeKind
from strongroom.store.sql.change_log import ChangeLog
from strongroom.store.sql.domain_keys import require_domain_key
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import custom_key_store, kms_key
from strongroom.store.sql.statements import require_changed, upsert

_decoder = msgspec.json.Decoder(CustomKeyStore)

_PUT = upsert(custom_key_store, "account", "region", "store_id")


def _has_id(account: str, region: str, store_id: str) -> ColumnElement[bool]:
    return and_(
        custom_key_store.c.account == account,
        custom_key_store.c.region == region,
        custom_key_store.c.store_id == store_id,
    )


class CustomKeyStoreReads:
    """Reads of custom key stores. See ``subjects.custom_key_stores``."""

    _connection: Connection
    _guard: RowGuard

    def custom_key_store(self, account: str, region: str, store_id: str) -> CustomKeyStore | None:
        """Return a custom key store."""
        row = self._connection.execute(select(custom_key_store).where(_has_id(account, region, store_id))).one_or_none()
        return None if row is None else self._guard.require(custom_key_store, row, read_custom_key_store)

    def custom_key_stores(self, account: str, region: str) -> list[CustomKeyStore]:
        """List an account's custom key stores in a Region, by id."""
        found = self._connection.execute(
            select(custom_key_store)
            .where(custom_key_store.c.account == account, custom_key_store.c.region == region)
            .order_by(custom_key_store.c.store_id)
        )
        return self._guard.intact(custom_key_store, found, read_custom_key_store)

    def custom_key_stores_after(self, after: tuple[str, str, str], limit: int) -> list[CustomKeyStore]:
        """List custom key stores of all accounts, after the one of an account, Region and id."""
        place = (custom_key_store.c.account, custom_key_store.c.region, custom_key_store.c.store_id)
        rows = select(custom_key_store).where(tuple_(*place) > after).order_by(*place)
        return self._guard.page(
            custom_key_store,
            lambda most: self._connection.execute(rows.limit(most)).all(),
            limit,
            read_custom_key_store,
        )

    def all_custom_key_stores(self) -> list[CustomKeyStore]:
        """List the custom key stores of all accounts and Regions."""
        found = self._connection.execute(select(custom_key_store).order_by(*custom_key_store.primary_key))
        return self._guard.intact(custom_key_store, found, read_custom_key_store)

    def has_keys_in(self, store_id: str) -> bool:
        """Tell whether a custom key store holds keys."""
        return bool(
            self._connection.execute(select(exists().where(kms_key.c.custom_key_store_id == store_id))).scalar()
        )


class CustomKeyStoreWrites(CustomKeyStoreReads):
    """Writes of custom key stores. See ``subjects.custom_key_stores``."""

    _changes: ChangeLog

    def put_custom_key_store(self, store: CustomKeyStore) -> None:
        """Insert a custom key store, or replace the one of its id."""
        values = {
            "account": store.account,
            "region": store.region,
            "store_id": store.store_id,
            "name": store.name,
            "document": msgspec.json.encode(store),
        }
        require_domain_key(self._connection, IAM_SCOPE, store.wrapped_secret)
        self._connection.execute(_PUT, self._guard.sealed(custom_key_store, values))
        self._log_store(store)

    def remove_custom_key_store(self, store: CustomKeyStore) -> None:
        """Remove a custom key store."""
        place = _has_id(store.account, store.region, store.store_id)
        require_changed(self._connection.execute(delete(custom_key_store).where(place)))
        self._log_store(store)

    def _log_store(self, store: CustomKeyStore) -> None:
        self._changes.add(ChangeKind.CUSTOM_KEY_STORE, store.account, store.region, store.store_id)


def read_custom_key_store(row: AnyRow) -> CustomKeyStore:
    """Read a custom key store."""
    return _decoder.decode(row.document)
