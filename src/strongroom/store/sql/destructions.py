"""Destructions that are left to do, in SQL."""

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, select, update

from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import destruction, domain_key, key_material
from strongroom.store.sql.statements import of, postgresql_insert, require_changed, where
from strongroom.store.subjects.destructions import (
    NEVER,
    Backlog,
    Destruction,
    ErasedDomainKey,
    ErasedMaterial,
    ErasedObject,
)

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[ErasedObject] = msgspec.json.Decoder(ErasedObject)

_YEAR_10000 = 253_402_300_800.0

_DUE = (
    select(destruction)
    .where(destruction.c.due_at <= bindparam("now"), destruction.c.due_at < NEVER)
    .order_by(destruction.c.due_at, destruction.c.object_id)
)
_ALL = select(destruction).order_by(destruction.c.due_at, destruction.c.object_id)
_BACKLOG = (
    select(func.count(), func.min(destruction.c.since)).select_from(destruction).where(destruction.c.due_at < NEVER)
)
_MATERIAL = select(key_material.c.material_id).where(where(key_material, "region", "material_id", "token"))
_DOMAIN_KEY = select(domain_key.c.version).where(where(domain_key, "scope", "version"))

_ADD = postgresql_insert(destruction).on_conflict_do_nothing(index_elements=["object_id"])
_DEFER = update(destruction).where(where(destruction, "object_id", "due_at"))
_WITHDRAW = delete(destruction).where(where(destruction, "object_id", "due_at"))
_REMOVE = delete(destruction).where(where(destruction, "object_id"))


class DestructionReads:
    """Reads of destructions. See ``subjects.destructions``."""

    _connection: Connection
    _guard: RowGuard

    def destructions(self, now: float, limit: int) -> list[Destruction]:
        """List destructions that were due at ``now``, those first that have waited longest."""
        return self._guard.page(
            destruction,
            lambda most: self._connection.execute(_DUE.limit(most), {"now": now}).all(),
            limit,
            read_destruction,
        )

    def object_destructions(self) -> list[Destruction]:
        """List all destructions of objects that domain keys had in the token, and the shared objects."""
        found = self._guard.intact(destruction, self._connection.execute(_ALL).all(), read_destruction)
        return [each for each in found if isinstance(each.erased, ErasedDomainKey)]

    def destruction_backlog(self) -> Backlog:
        """Count the destructions."""
        count, since = self._connection.execute(_BACKLOG).one()
        return Backlog(count, _time(since))

    def is_in_use(self, erased: ErasedObject) -> bool:
        """Tell whether the database still refers to an object: a key has its token, or a domain key its version."""
        if isinstance(erased, ErasedMaterial):
            owner = erased.owner
            values = of(region=owner.region, material_id=owner.material_id, token=erased.token)
            return self._connection.execute(_MATERIAL, values).one_or_none() is not None
        if erased.uncommitted:
            return False
        values = of(scope=erased.scope, version=erased.version)
        return self._connection.execute(_DOMAIN_KEY, values).one_or_none() is not None


class DestructionWrites(DestructionReads):
    """Writes of destructions. See ``subjects.destructions``."""

    def add_destruction(self, erased: ErasedObject, due_at: float = 0.0) -> None:
        """Note that an object is to be destroyed, unless that is noted already."""
        values = {"object_id": erased.object_id, "document": _encode(erased), "due_at": due_at}
        self._connection.execute(_ADD, self._guard.sealed(destruction, values))

    def withdraw_destruction(self, erased: ErasedObject, due_at: float) -> None:
        """Remove the destruction of an object that is kept; raises WriteConflict if it was begun, or is gone."""
        require_changed(self._connection.execute(_WITHDRAW, of(object_id=erased.object_id, due_at=due_at)))

    def defer_destruction(self, before: Destruction, after: Destruction) -> bool:
        """Replace the times of a destruction; return False if another process was faster."""
        values = {"due_at": after.due_at, "since": after.since}
        place = of(object_id=before.erased.object_id, due_at=before.due_at)
        return bool(self._connection.execute(_DEFER, values | place).rowcount)

    def remove_destruction(self, erased: ErasedObject) -> None:
        """Remove the destruction of an object, if it is there."""
        self._connection.execute(_REMOVE, of(object_id=erased.object_id))


def read_destruction(row: AnyRow) -> Destruction:
    """Read a destruction; raises ValueError if it names another object than its key does."""
    erased = _decoder.decode(row.document)
    if erased.object_id != row.object_id:
        raise ValueError(row.object_id)
    return Destruction(erased=erased, due_at=row.due_at, since=_time(row.since))


def _time(stored: float | None) -> float | None:
    """Return a time of a row, None if it is none: the code of the row does not cover it."""
    return stored if stored is not None and 0 <= stored < _YEAR_10000 else None
