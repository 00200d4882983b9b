"""Proxies of external key stores of AWS KMS, in SQL."""

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.store.records import ChangeKind
from strongroom.store.sql.change_log import ChangeLog
from strongroom.store.sql.domain_keys import require_domain_key
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.row_macs import MAC
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import xks_proxy, xks_proxy_credential, xks_proxy_key
from strongroom.store.sql.statements import of, require_changed, where
from strongroom.xks_proxy.registry import Usage, XksCredential, XksKey, XksProxy

_PROXY = select(xks_proxy).where(where(xks_proxy, "prefix"))
_PROXIES = select(xks_proxy).order_by(xks_proxy.c.prefix)
_CREDENTIALS = (
    select(xks_proxy_credential)
    .where(where(xks_proxy_credential, "prefix"))
    .order_by(xks_proxy_credential.c.created_at, xks_proxy_credential.c.access_key_id)
)
_ALL_CREDENTIALS = select(xks_proxy_credential).order_by(xks_proxy_credential.c.access_key_id)
_KEY = select(xks_proxy_key).where(where(xks_proxy_key, "prefix", "external_id"))
_KEYS = select(xks_proxy_key).where(where(xks_proxy_key, "prefix")).order_by(xks_proxy_key.c.external_id)

_ADD_PROXY = insert(xks_proxy)
_ADD_CREDENTIAL = insert(xks_proxy_credential)
_ADD_KEY = insert(xks_proxy_key)
_REMOVE_PARTS = [delete(table).where(where(table, "prefix")) for table in (xks_proxy_key, xks_proxy_credential)]
_REMOVE_PROXY = delete(xks_proxy).where(where(xks_proxy, "prefix"))
_REMOVE_CREDENTIAL = delete(xks_proxy_credential).where(where(xks_proxy_credential, "access_key_id", "prefix"))
_SAVE_CREDENTIAL = update(xks_proxy_credential).where(where(xks_proxy_credential, "access_key_id", "prefix"))
_REMOVE_KEY = delete(xks_proxy_key).where(where(xks_proxy_key, "prefix", "external_id"))


class XksProxyReads:
    """Reads of proxies. See ``subjects.xks_proxies``."""

    _connection: Connection
    _guard: RowGuard

    def xks_proxy(self, prefix: str) -> XksProxy | None:
        """Return a proxy."""
        row = self._connection.execute(_PROXY, of(prefix=prefix)).one_or_none()
        return None if row is None else self._guard.require(xks_proxy, row, read_xks_proxy)

    def xks_proxies(self) -> list[XksProxy]:
        """List all proxies, by prefix."""
        return self._guard.intact(xks_proxy, self._connection.execute(_PROXIES), read_xks_proxy)

    def xks_credentials(self, prefix: str) -> list[XksCredential]:
        """List the credentials of a proxy, the oldest first."""
        found = self._connection.execute(_CREDENTIALS, of(prefix=prefix))
        return self._guard.intact(xks_proxy_credential, found, read_xks_credential)

    def all_xks_credentials(self) -> list[XksCredential]:
        """List the credentials of all proxies."""
        return self._guard.intact(xks_proxy_credential, self._connection.execute(_ALL_CREDENTIALS), read_xks_credential)

    def xks_key(self, prefix: str, external_id: str) -> XksKey | None:
        """Return a key that a proxy gives out."""
        row = self._connection.execute(_KEY, of(prefix=prefix, external_id=external_id)).one_or_none()
        return None if row is None else self._guard.require(xks_proxy_key, row, read_xks_key)

    def xks_keys(self, prefix: str) -> list[XksKey]:
        """List all keys that a proxy gives out, by external id."""
        found = self._connection.execute(_KEYS, of(prefix=prefix))
        return self._guard.intact(xks_proxy_key, found, read_xks_key)


class XksProxyWrites(XksProxyReads):
    """Writes of proxies. See ``subjects.xks_proxies``."""

    _changes: ChangeLog

    def add_xks_proxy(self, proxy: XksProxy) -> None:
        """Insert a proxy, whose prefix must be free."""
        self._connection.execute(_ADD_PROXY, self._guard.sealed(xks_proxy, msgspec.structs.asdict(proxy)))
        self._log_proxy(proxy.prefix)

    def remove_xks_proxy(self, proxy: XksProxy) -> None:
        """Remove a proxy with its credentials and all that it gives out; the KMS keys stay."""
        for statement in _REMOVE_PARTS:
            self._connection.execute(statement, of(prefix=proxy.prefix))
        require_changed(self._connection.execute(_REMOVE_PROXY, of(prefix=proxy.prefix)))
        self._log_proxy(proxy.prefix)

    def add_xks_credential(self, credential: XksCredential) -> None:
        """Insert a credential."""
        require_domain_key(self._connection, IAM_SCOPE, credential.wrapped_secret)
        values = self._guard.sealed(xks_proxy_credential, msgspec.structs.asdict(credential))
        self._connection.execute(_ADD_CREDENTIAL, values)
        self._log_proxy(credential.prefix)

    def rewrap_xks_credential(self, credential: XksCredential, wrapped_secret: bytes) -> None:
        """Replace the wrapped secret of a credential by the same one; raises WriteConflict if it is gone."""
        require_domain_key(self._connection, IAM_SCOPE, wrapped_secret)
        after = msgspec.structs.replace(credential, wrapped_secret=wrapped_secret)
        values = self._guard.sealed(xks_proxy_credential, msgspec.structs.asdict(after))
        changed = {name: values[name] for name in ("wrapped_secret", MAC)}
        place = of(access_key_id=credential.access_key_id, prefix=credential.prefix)
        require_changed(self._connection.execute(_SAVE_CREDENTIAL, changed | place))
        self._log_proxy(credential.prefix)

    def remove_xks_credential(self, credential: XksCredential) -> None:
        """Remove a credential."""
        place = of(access_key_id=credential.access_key_id, prefix=credential.prefix)
        require_changed(self._connection.execute(_REMOVE_CREDENTIAL, place))
        self._log_proxy(credential.prefix)

    def add_xks_key(self, key: XksKey) -> None:
        """Insert a key under an external id that must be free."""
        values = msgspec.structs.asdict(key) | {"usages": ",".join(key.usages)}
        self._connection.execute(_ADD_KEY, self._guard.sealed(xks_proxy_key, values))
        self._log_proxy(key.prefix)

    def remove_xks_key(self, key: XksKey) -> None:
        """Remove a key; the KMS key stays."""
        place = of(prefix=key.prefix, external_id=key.external_id)
        require_changed(self._connection.execute(_REMOVE_KEY, place))
        self._log_proxy(key.prefix)

    def _log_proxy(self, prefix: str) -> None:
        self._changes.add(ChangeKind.XKS_PROXY, "", "", prefix)


def read_xks_proxy(row: AnyRow) -> XksProxy:
    """Read a proxy."""
    return XksProxy(
        prefix=row.prefix,
        account=row.account,
        region=row.region,
        signing_region=row.signing_region,
        created_at=row.created_at,
    )


def read_xks_credential(row: AnyRow) -> XksCredential:
    """Read a credential of a proxy."""
    return XksCredential(
        access_key_id=row.access_key_id,
        prefix=row.prefix,
        wrapped_secret=row.wrapped_secret,
        created_at=row.created_at,
    )


def read_xks_key(row: AnyRow) -> XksKey:
    """Read a key that a proxy gives out."""
    return XksKey(
        prefix=row.prefix,
        external_id=row.external_id,
        key_id=row.key_id,
        usages=tuple(Usage(each) for each in row.usages.split(",") if each),
        created_at=row.created_at,
    )
