"""Domain keys, and what in the database needs which version of them, in SQL."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    LargeBinary,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.crypto.seal import SealedDomainKey
from strongroom.crypto.token_versions import FORMATS, domain_key_version, encoded_version
from strongroom.keys.arns import KeyLocator
from strongroom.store.records import AccessKeyRecord, ChangeKind
from strongroom.store.retries import WriteConflict
from strongroom.store.sql import rows
from strongroom.store.sql.change_log import ChangeLog
from strongroom.store.sql.inserts import Inserts
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.row_macs import MAC
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import access_key, domain_key, key_material, kms_key
from strongroom.store.sql.statements import KEY, of, require_changed, where

_DOMAIN_KEYS = select(domain_key).order_by(domain_key.c.scope, domain_key.c.version)
_ADD = insert(domain_key)
_IS = where(domain_key, "scope", "version")
_SAVE = update(domain_key).where(_IS)
_REMOVE = delete(domain_key).where(_IS)
# The lock keeps it from being destroyed before the transaction has ended. SQLite, with its one writer, needs none.
_FIND = select(domain_key.c.version).where(_IS).with_for_update(read=True, key_share=True)
_NEWEST = select(func.max(domain_key.c.version)).where(where(domain_key, "scope"))


def newest_version(connection: Connection, scope: str) -> int | None:
    """Return the newest version of a scope's domain key; None if there is none."""
    found: int | None = connection.execute(_NEWEST, of(scope=scope)).scalar_one()
    return found


def require_domain_key(connection: Connection, scope: str, token: bytes | None) -> None:
    """Refuse to store a token that needs a domain key which was destroyed since the token was made.

    Raises WriteConflict.
    """
    version = None if token is None else domain_key_version(token)
    if version is not None and connection.execute(_FIND, of(scope=scope, version=version)).one_or_none() is None:
        raise WriteConflict("The domain key that has wrapped this was destroyed meanwhile.")


def _needs_older(token: ColumnElement[bytes]) -> ColumnElement[bool]:
    """Return the condition that a token needs an older version of its domain key than the parameter ``version``."""
    form = func.substr(token, 1, 1, type_=LargeBinary)
    version = func.substr(token, 2, 4, type_=LargeBinary)
    return and_(form.in_(FORMATS), version < _parameter("version"))


def _parameter(name: str) -> BindParameter[bytes]:
    return bindparam(name, type_=LargeBinary)


_MATERIAL_IN = and_(key_material.c.region == bindparam("region"), _needs_older(key_material.c.token))
_MATERIAL = (
    select(key_material.c.material_id, key_material.c.account, key_material.c.region, key_material.c.key_id)
    .where(_MATERIAL_IN, key_material.c.material_id > bindparam("after"))
    .order_by(key_material.c.material_id)
    .limit(bindparam("limit"))
)
_COUNT_MATERIAL = select(func.count()).select_from(key_material).where(_MATERIAL_IN)
_KINDS = (
    select(kms_key.c.spec, kms_key.c.usage, func.count())
    .where(
        kms_key.c.region == bindparam("region"),
        exists().where(
            *(key_material.c[name] == kms_key.c[name] for name in KEY),
            func.substr(key_material.c.token, 1, 1, type_=LargeBinary).in_(FORMATS),
        ),
    )
    .group_by(kms_key.c.spec, kms_key.c.usage)
)
_SECRETS = _needs_older(access_key.c.wrapped_secret)
_ACCESS_KEYS = (
    select(access_key)
    .where(_SECRETS, access_key.c.access_key_id > bindparam("after"))
    .order_by(access_key.c.access_key_id)
    .limit(bindparam("limit"))
)
_COUNT_ACCESS_KEYS = select(func.count()).select_from(access_key).where(_SECRETS)


_REWRAP_ACCESS_KEY = update(access_key).where(
    where(access_key, "access_key_id"), access_key.c.wrapped_secret == _parameter("before")
)


class DomainKeyReads:
    """Reads of domain keys and of what needs them. See ``subjects.domain_keys``."""

    _connection: Connection
    _guard: RowGuard

    def domain_keys(self) -> list[SealedDomainKey]:
        """Return every domain key, sealed."""
        return [SealedDomainKey(**row._asdict()) for row in self._connection.execute(_DOMAIN_KEYS)]

    def material_under_older(self, region: str, version: int, after: str, limit: int) -> dict[str, KeyLocator]:
        """List key material of a Region that needs an older version of its domain key: ids and keys, by id."""
        values = {"region": region, "version": encoded_version(version), "after": after, "limit": limit}
        found = self._connection.execute(_MATERIAL, values)
        return {row.material_id: KeyLocator(row.account, row.region, row.key_id) for row in found}

    def count_material_under_older(self, region: str, version: int) -> int:
        """Count the key material of a Region that needs an older version of its domain key."""
        values = {"region": region, "version": encoded_version(version)}
        count: int = self._connection.execute(_COUNT_MATERIAL, values).scalar_one()
        return count

    def count_keys_by_kind(self, region: str) -> dict[tuple[str, str], int]:
        """Count the keys of a Region whose material a domain key has wrapped, by spec and usage. It reads all keys."""
        return {(spec, usage): count for spec, usage, count in self._connection.execute(_KINDS, {"region": region})}

    def access_keys_under_older(self, version: int, after: str, limit: int) -> list[AccessKeyRecord]:
        """List access keys whose secrets need an older version of the domain key ``iam``, by id."""
        values = {"version": encoded_version(version), "after": after}

        def fetch(most: int) -> Sequence[AnyRow]:
            return self._connection.execute(_ACCESS_KEYS, {**values, "limit": most}).all()

        return self._guard.page(access_key, fetch, limit, rows.read_access_key)

    def count_access_keys_under_older(self, version: int) -> int:
        """Count the access keys whose secrets need an older version of the domain key ``iam``."""
        count: int = self._connection.execute(_COUNT_ACCESS_KEYS, {"version": encoded_version(version)}).scalar_one()
        return count


class DomainKeyWrites(DomainKeyReads, Inserts):
    """Writes of domain keys. See ``subjects.domain_keys``."""

    _changes: ChangeLog
    erased: bool
    is_last: bool
    _found_domain_keys: set[tuple[str, int]]
    """The domain keys, by scope and version, that this transaction has found, and that stay until it has ended."""

    def _require_domain_key(self, scope: str, token: bytes | None) -> None:
        """Do what ``require_domain_key`` does, once for each domain key: a group of writes is one transaction."""
        version = None if token is None else domain_key_version(token)
        if version is not None and (scope, version) not in self._found_domain_keys:
            require_domain_key(self._unaffected, scope, token)
            self._found_domain_keys.add((scope, version))

    def add_domain_key(self, record: SealedDomainKey) -> None:
        """Insert a domain key."""
        self.is_last = True
        self._connection.execute(_ADD, msgspec.structs.asdict(record))
        self._changes.add(ChangeKind.DOMAIN_KEY, "", "", record.scope)

    def replace_domain_key(self, record: SealedDomainKey) -> None:
        """Replace a domain key by the same one, sealed anew."""
        which = of(scope=record.scope, version=record.version)
        require_changed(self._connection.execute(_SAVE, {"sealed": record.sealed} | which))

    def remove_domain_key(self, record: SealedDomainKey) -> None:
        """Remove a domain key that nothing needs any more: whatever it has wrapped cannot be opened after that."""
        self.erased = True
        self._found_domain_keys.clear()
        require_changed(self._connection.execute(_REMOVE, of(scope=record.scope, version=record.version)))
        self._changes.add(ChangeKind.DOMAIN_KEY, "", "", record.scope)

    def rewrap_access_key(self, record: AccessKeyRecord, wrapped_secret: bytes) -> None:
        """Replace the wrapped secret of an access key by the same one; raises WriteConflict if another was put there.

        ``record`` is the access key as it was read.
        """
        require_domain_key(self._connection, IAM_SCOPE, wrapped_secret)
        values = rows.access_key_values(msgspec.structs.replace(record, wrapped_secret=wrapped_secret))
        changed = {name: self._guard.sealed(access_key, values)[name] for name in ("wrapped_secret", MAC)}
        which = of(access_key_id=record.access_key_id) | {"before": record.wrapped_secret}
        require_changed(self._connection.execute(_REWRAP_ACCESS_KEY, changed | which))
        self._changes.add(ChangeKind.ACCESS_KEY, record.account, "", record.access_key_id)
