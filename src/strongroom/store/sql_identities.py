"""Users, groups, roles, policies and access keys, in SQL.

Each entity is one row that holds all of it as JSON: it is read, checked and written as a whole. What has to be found
from the other side (who has this policy, who is in this group) stands in ``identity_link``.
"""

from typing import TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from strongroom.iam.entities import ENTITY_TYPES, Entity, EntityKind, Relation
from strongroom.store.change_log import log_change
from strongroom.store.protocol import AccessKeyRecord, AccessKeyUse, ChangeKind
from strongroom.store.schema import access_key, identity, identity_link

E = TypeVar("E", bound=Entity)


def _is(entity: Entity) -> ColumnElement[bool]:
    return _named(entity.account, entity.kind, entity.name)


def _named(account: str, kind: EntityKind, name: str) -> ColumnElement[bool]:
    return and_(identity.c.account == account, identity.c.kind == kind.value, identity.c.name_key == name.lower())


class IdentityReads:
    """Reads of identities. See ``protocol.Reader``."""

    _connection: Connection

    def access_key(self, access_key_id: str) -> AccessKeyRecord | None:
        """Return an access key, active or not."""
        row = self._connection.execute(
            select(access_key).where(access_key.c.access_key_id == access_key_id)
        ).one_or_none()
        return None if row is None else AccessKeyRecord(**row._asdict())

    def access_keys(self, account: str, principal: str) -> list[AccessKeyRecord]:
        """List the access keys of one principal, oldest first."""
        found = self._connection.execute(
            select(access_key)
            .where(access_key.c.account == account, access_key.c.principal == principal)
            .order_by(access_key.c.created_at, access_key.c.access_key_id)
        )
        return [AccessKeyRecord(**row._asdict()) for row in found]

    def services(self) -> list[str]:
        """List the services that have an access key, by name."""
        found = self._connection.execute(
            select(access_key.c.principal).where(access_key.c.account == "").distinct().order_by(access_key.c.principal)
        )
        return list(found.scalars())

    def entity(self, kind: type[E], account: str, name: str) -> E | None:
        """Return a user, group, role or policy by its name, whatever its case."""
        document = self._connection.execute(
            select(identity.c.document).where(_named(account, kind.kind, name))
        ).scalar_one_or_none()
        return None if document is None else msgspec.json.decode(document, type=kind)

    def entity_by_id(self, unique_id: str) -> Entity | None:
        """Return an entity by its unique id."""
        row = self._connection.execute(
            select(identity.c.kind, identity.c.document).where(identity.c.unique_id == unique_id)
        ).one_or_none()
        return None if row is None else msgspec.json.decode(row.document, type=ENTITY_TYPES[EntityKind(row.kind)])

    def entities(self, kind: type[E], account: str, path: str, after: str, limit: int) -> list[E]:
        """List entities of a kind whose path starts with ``path``, by name in lower case."""
        found = self._connection.execute(
            select(identity.c.document)
            .where(
                identity.c.account == account,
                identity.c.kind == kind.kind.value,
                # Not LIKE: paths differ by case, and SQLite's LIKE does not.
                func.substr(identity.c.path, 1, len(path)) == path,
                identity.c.name_key > after,
            )
            .order_by(identity.c.name_key)
            .limit(limit)
        )
        return [msgspec.json.decode(row.document, type=kind) for row in found]

    def linked(self, account: str, target: str) -> list[tuple[Relation, EntityKind, str]]:
        """List who refers to a policy (by ARN) or to a group (by name): relation, kind, name in lower case."""
        found = self._connection.execute(
            select(identity_link.c.relation, identity_link.c.kind, identity_link.c.name_key)
            .where(identity_link.c.account == account, identity_link.c.target == target)
            .order_by(identity_link.c.kind, identity_link.c.name_key)
        )
        return [(Relation(row.relation), EntityKind(row.kind), row.name_key) for row in found]


class IdentityWrites(IdentityReads):
    """Writes of identities. See ``protocol.Transaction``."""

    def add_access_key(self, record: AccessKeyRecord) -> None:
        """Insert an access key."""
        self._connection.execute(insert(access_key).values(msgspec.structs.asdict(record)))
        self._log_access_key(record)

    def set_access_key_active(self, record: AccessKeyRecord, *, active: bool) -> None:
        """Switch an access key on or off."""
        self._connection.execute(
            update(access_key).where(access_key.c.access_key_id == record.access_key_id).values(active=active)
        )
        self._log_access_key(record)

    def remove_access_key(self, record: AccessKeyRecord) -> None:
        """Remove an access key."""
        self._connection.execute(delete(access_key).where(access_key.c.access_key_id == record.access_key_id))
        self._log_access_key(record)

    def note_access_key_use(self, use: AccessKeyUse) -> None:
        """Write down when and for what an access key was last used. Not a change: nothing depends on it."""
        self._connection.execute(
            update(access_key)
            .where(access_key.c.access_key_id == use.access_key_id)
            .values(last_used_at=use.used_at, last_used_region=use.region, last_used_service=use.service)
        )

    def put_entity(self, entity: Entity, before: Entity | None = None) -> None:
        """Insert an entity, or put it in the place of what it was before, which may have had another name."""
        if before is not None:
            self._erase(before)
        self._connection.execute(
            insert(identity).values(
                account=entity.account,
                kind=entity.kind.value,
                name_key=entity.name.lower(),
                path=entity.path,
                unique_id=entity.unique_id,
                document=msgspec.json.encode(entity),
            )
        )
        for link in entity.links:
            self._connection.execute(
                insert(identity_link).values(
                    account=entity.account,
                    kind=entity.kind.value,
                    name_key=entity.name.lower(),
                    relation=link.relation.value,
                    target=link.target,
                )
            )
        log_change(self._connection, ChangeKind.IDENTITY, entity.account, "", entity.unique_id)

    def remove_entity(self, entity: Entity) -> None:
        """Remove an entity."""
        self._erase(entity)
        log_change(self._connection, ChangeKind.IDENTITY, entity.account, "", entity.unique_id)

    def _erase(self, entity: Entity) -> None:
        self._connection.execute(delete(identity).where(_is(entity)))
        self._connection.execute(
            delete(identity_link).where(
                identity_link.c.account == entity.account,
                identity_link.c.kind == entity.kind.value,
                identity_link.c.name_key == entity.name.lower(),
            )
        )

    def _log_access_key(self, record: AccessKeyRecord) -> None:
        log_change(self._connection, ChangeKind.ACCESS_KEY, record.account, "", record.access_key_id)
