"""Users, groups, roles, policies, instance profiles, identity providers and access keys, in SQL.

Each entity is one row, as JSON: it is read, checked and written as a whole. The table ``identity_link`` is for searches
in the other direction: which entities have a policy, which users are in a group, and which instance profiles have a
role.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, delete, func, or_, select, update

from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.iam.entities import ENTITY_TYPES, Entity, EntityKind, Relation
from strongroom.store.records import AccessKeyRecord, AccessKeyUse, ChangeKind
from strongroom.store.sql.change_log import ChangeLog
from strongroom.store.sql.domain_keys import require_domain_key
from strongroom.store.sql.inserts import Inserts
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.row_macs import MAC
from strongroom.store.sql.rows import AnyRow, access_key_values, read_access_key
from strongroom.store.sql.schema import access_key, identity, identity_link, last_accessed_job, principal_use
from strongroom.store.sql.statements import insert_below_limit, may_replace, of, require_changed, where

E = TypeVar("E", bound=Entity)


_IDENTITY = ("account", "kind", "name_key")
_ENTITY = select(identity).where(where(identity, *_IDENTITY))
_ENTITY_BY_ID = select(identity).where(where(identity, "unique_id"))
_SAVE_ENTITY = update(identity).where(where(identity, *_IDENTITY, "unique_id"))
_ERASE_ENTITY = delete(identity).where(where(identity, *_IDENTITY))
_ERASE_LINKS = delete(identity_link).where(where(identity_link, *_IDENTITY))
_ERASE_TRACES = [
    delete(principal_use).where(where(principal_use, "unique_id")),
    delete(last_accessed_job).where(last_accessed_job.c.subject == bindparam("of_unique_id")),
]
_LINKED = (
    select(identity_link)
    .where(where(identity_link, "account", "target"))
    .order_by(identity_link.c.kind, identity_link.c.name_key)
)
_ACCESS_KEY = select(access_key).where(where(access_key, "access_key_id"))
_ACCESS_KEYS = (
    select(access_key)
    .where(where(access_key, "account", "principal"))
    .order_by(access_key.c.created_at, access_key.c.access_key_id)
)
_ADD_ACCESS_KEY_BELOW_LIMIT = insert_below_limit(
    access_key, select(func.count()).select_from(access_key).where(where(access_key, "account", "principal"))
)
_SAVE_ACCESS_KEY = update(access_key).where(where(access_key, "access_key_id"))
_NOTE_ACCESS_KEY_USE = _SAVE_ACCESS_KEY.where(
    or_(access_key.c.last_used_at.is_(None), may_replace(access_key.c.last_used_at, bindparam("of_used_at")))
)
_REMOVE_ACCESS_KEY = delete(access_key).where(where(access_key, "access_key_id"))


def _row_key(account: str, kind: EntityKind, name: str) -> dict[str, str]:
    return {"account": account, "kind": kind.value, "name_key": name.lower()}


class IdentityReads:
    """Reads of identities. See ``subjects.identities``."""

    _connection: Connection
    _guard: RowGuard

    def access_key(self, access_key_id: str) -> AccessKeyRecord | None:
        """Return an access key, active or not."""
        row = self._connection.execute(_ACCESS_KEY, of(access_key_id=access_key_id)).one_or_none()
        if row is None:
            self._guard.gone(access_key, access_key_id=access_key_id)
            return None
        return self._guard.require(access_key, row, read_access_key)

    def access_keys(self, account: str, principal: str) -> list[AccessKeyRecord]:
        """List the access keys of one principal, oldest first."""
        found = self._connection.execute(_ACCESS_KEYS, of(account=account, principal=principal))
        return self._guard.intact(access_key, found, read_access_key)

    def access_key_ids(self, account: str, principal: str) -> list[str]:
        """List the ids of the access keys of one principal, oldest first, also of those that are quarantined."""
        found = self._connection.execute(_ACCESS_KEYS, of(account=account, principal=principal))
        return [str(row.access_key_id) for row in found]

    def services(self) -> list[str]:
        """List the services that have an access key, by name."""
        found = self._connection.execute(
            select(access_key.c.principal).where(access_key.c.account == "").distinct().order_by(access_key.c.principal)
        )
        return list(found.scalars())

    def entity(self, kind: type[E], account: str, name: str) -> E | None:
        """Return an entity by its name, which is not case-sensitive."""
        place = of(**_row_key(account, kind.kind, name))
        row = self._connection.execute(_ENTITY, place).one_or_none()
        return None if row is None else self._guard.require(identity, row, lambda each: _read(each, kind))

    def entity_by_id(self, unique_id: str) -> Entity | None:
        """Return an entity by its unique id."""
        row = self._connection.execute(_ENTITY_BY_ID, of(unique_id=unique_id)).one_or_none()
        return None if row is None else self._guard.require(identity, row, read_entity)

    def entities(self, kind: type[E], account: str, path: str, after: str, limit: int) -> list[E]:
        """List entities of a kind whose path starts with ``path``, by name in lower case."""
        query = (
            select(identity)
            .where(
                identity.c.account == account,
                identity.c.kind == kind.kind.value,
                # Not LIKE: paths differ by case, and SQLite's LIKE does not.
                func.substr(identity.c.path, 1, len(path)) == path,
                identity.c.name_key > after,
            )
            .order_by(identity.c.name_key)
        )

        def fetch(most: int) -> Sequence[AnyRow]:
            return self._connection.execute(query.limit(most)).all()

        return self._guard.page(identity, fetch, limit, lambda each: _read(each, kind))

    def linked(self, account: str, target: str) -> list[tuple[Relation, EntityKind, str]]:
        """List the references to a policy or role (by ARN) or a group (by name): relation, kind, name in lower case."""
        found = self._connection.execute(_LINKED, of(account=account, target=target))
        return self._guard.intact(
            identity_link, found, lambda each: (Relation(each.relation), EntityKind(each.kind), each.name_key)
        )


class IdentityWrites(IdentityReads, Inserts):
    """Writes of identities. See ``subjects.identities``."""

    _changes: ChangeLog

    def add_access_key(self, record: AccessKeyRecord, limit: int | None = None) -> bool:
        """Insert an access key; return False and write nothing if its principal has ``limit`` access keys already."""
        require_domain_key(self._unaffected, IAM_SCOPE, record.wrapped_secret)
        values = self._guard.sealed(access_key, access_key_values(record))
        if limit is None:
            self._insert(access_key, [values])
        elif not self._connection.execute(_ADD_ACCESS_KEY_BELOW_LIMIT, of(**values) | {"limit": limit}).rowcount:
            return False
        self._changes.add(ChangeKind.ACCESS_KEY, record.account, "", record.access_key_id, is_new=True)
        return True

    def set_access_key_active(self, record: AccessKeyRecord, *, active: bool) -> None:
        """Switch an access key on or off."""
        place = of(access_key_id=record.access_key_id)
        after = self._guard.sealed(access_key, access_key_values(replace(record, active=active)))
        values = {"active": active, MAC: after[MAC]}
        require_changed(self._connection.execute(_SAVE_ACCESS_KEY, values | place))
        self._log_access_key(record)

    def remove_access_key(self, record: AccessKeyRecord) -> None:
        """Remove an access key."""
        require_changed(self._connection.execute(_REMOVE_ACCESS_KEY, of(access_key_id=record.access_key_id)))
        self._log_access_key(record)

    def remove_access_keys(self, account: str, principal: str) -> None:
        """Remove all access keys of a principal, also those that are quarantined."""
        for access_key_id in self.access_key_ids(account, principal):
            require_changed(self._connection.execute(_REMOVE_ACCESS_KEY, of(access_key_id=access_key_id)))
            self._changes.add(ChangeKind.ACCESS_KEY, account, "", access_key_id)

    def note_access_key_use(self, use: AccessKeyUse, now: float) -> None:
        """Save the last use of an access key, unless a later one is saved. It has no entry in the change log.

        One that is a day later than ``now`` is replaced.
        """
        used = {"last_used_at": use.used_at, "last_used_region": use.region, "last_used_service": use.service}
        which = of(access_key_id=use.access_key_id, used_at=use.used_at)
        self._connection.execute(_NOTE_ACCESS_KEY_USE, used | which | {"now": now})

    def put_entity(self, entity: Entity, before: Entity | None = None) -> None:
        """Insert an entity, or update the row of its version ``before``, which may have another name."""
        place = _row_key(entity.account, entity.kind, entity.name)
        values = self._guard.sealed(
            identity,
            {**place, "path": entity.path, "unique_id": entity.unique_id, "document": msgspec.json.encode(entity)},
        )
        if before is None:
            self._insert(identity, [values])
            self._add_links(entity)
        else:
            old_place = _row_key(before.account, before.kind, before.name)
            which = of(**old_place, unique_id=before.unique_id)
            require_changed(self._connection.execute(_SAVE_ENTITY, values | which))
            if place != old_place or entity.links != before.links:
                self._connection.execute(_ERASE_LINKS, of(**old_place))
                self._add_links(entity)
        self._changes.add(ChangeKind.IDENTITY, entity.account, "", entity.unique_id)

    def remove_entity(self, entity: Entity) -> None:
        """Remove an entity."""
        place = of(**_row_key(entity.account, entity.kind, entity.name))
        require_changed(self._connection.execute(_ERASE_ENTITY, place))
        self._connection.execute(_ERASE_LINKS, place)
        for trace in _ERASE_TRACES:
            self._connection.execute(trace, of(unique_id=entity.unique_id))
        self._changes.add(ChangeKind.IDENTITY, entity.account, "", entity.unique_id)

    def _add_links(self, entity: Entity) -> None:
        place = _row_key(entity.account, entity.kind, entity.name)
        for link in entity.links:
            values = {**place, "relation": link.relation.value, "target": link.target}
            self._insert(identity_link, [self._guard.sealed(identity_link, values)])

    def _log_access_key(self, record: AccessKeyRecord) -> None:
        self._changes.add(ChangeKind.ACCESS_KEY, record.account, "", record.access_key_id)


def read_entity(row: AnyRow) -> Entity:
    """Read an entity of any kind."""
    return _read(row, ENTITY_TYPES[EntityKind(row.kind)])


def _read(row: AnyRow, kind: type[E]) -> E:
    return msgspec.json.decode(row.document, type=kind)
