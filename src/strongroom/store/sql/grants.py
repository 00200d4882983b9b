"""Grants, in SQL. Each is one row: the grant as JSON, and the columns by which it is found."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, select, tuple_

from strongroom.keys.arns import KeyLocator
from strongroom.keys.grants import (
    ANY_CONTEXT,
    Grant,
    Label,
    has_unconstrained_operation,
    possible_labels,
    terms_digest,
)
from strongroom.store.records import ChangeKind, GrantFilter
from strongroom.store.sql.change_log import ChangeLog
from strongroom.store.sql.dialects import as_json, is_integer
from strongroom.store.sql.inserts import Inserts
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.rows import AnyRow
from strongroom.store.sql.schema import key_grant
from strongroom.store.sql.statements import KEY, insert_below_limit, of, of_key, require_changed, where

_decoder = msgspec.json.Decoder(Grant)
_labels = msgspec.json.Decoder(set[Label])

_ROW = select(key_grant)
_GRANT = _ROW.where(where(key_grant, *KEY, "grant_id"))
_TO_GRANTEE = (
    _ROW.where(where(key_grant, *KEY, "grantee"), key_grant.c.grant_id > bindparam("after"))
    .order_by(key_grant.c.grant_id)
    .limit(bindparam("limit"))
)
_LABELLED = _TO_GRANTEE.where(where(key_grant, "label"))
_ANY_CONTEXT = _TO_GRANTEE.where(key_grant.c.whatever_context)
# As one value: fifty thousand rows take three times as long.
_LABELS = select(as_json(key_grant.c.label)).where(where(key_grant, *KEY, "grantee"), is_integer(key_grant.c.label))
_COUNT_LABELLED = select(func.count()).select_from(key_grant).where(where(key_grant, *KEY, "grantee", "label"))
_NAMED = _ROW.where(where(key_grant, *KEY, "name"))
_COUNT = select(func.count()).select_from(key_grant).where(where(key_grant, *KEY))
_ADD_BELOW_LIMIT = insert_below_limit(key_grant, _COUNT)
_REMOVE = delete(key_grant).where(where(key_grant, *KEY, "grant_id"))


class GrantReads:
    """Reads of grants. See ``subjects.grants``."""

    _connection: Connection
    _guard: RowGuard

    def grant(self, locator: KeyLocator, grant_id: str) -> Grant | None:
        """Return a grant."""
        which = of_key(locator) | of(grant_id=grant_id)
        row = self._connection.execute(_GRANT, which).one_or_none()
        return None if row is None else self._guard.read(key_grant, row, read_grant)

    def labels_of_grants_to(self, locator: KeyLocator, grantee: str) -> set[Label]:
        """Return the labels of the grants on a key to one grantee, which is named as in policies."""
        return _labels.decode(self._connection.execute(_LABELS, of_key(locator) | of(grantee=grantee)).scalar_one())

    def grants_to(self, locator: KeyLocator, grantee: str, label: Label, after: str, limit: int) -> list[Grant]:
        """List the grants on a key to one grantee that have a label, by grant id."""
        which = of_key(locator) | of(grantee=grantee, label=label) | {"after": after}
        query = _ANY_CONTEXT if label == ANY_CONTEXT else _LABELLED

        def fetch(most: int) -> Sequence[AnyRow]:
            return self._connection.execute(query, which | {"limit": most}).all()

        return self._guard.page(key_grant, fetch, limit, read_grant)

    def grants_named(self, locator: KeyLocator, name: str) -> list[Grant]:
        """List the grants on a key that have a name."""
        found = self._connection.execute(_NAMED, of_key(locator) | of(name=name))
        return self._guard.intact(key_grant, found, read_grant)

    def count_grants(self, locator: KeyLocator) -> int:
        """Return how many grants a key has."""
        return self._connection.execute(_COUNT, of_key(locator)).scalar_one()

    def grants(self, locator: KeyLocator, which: GrantFilter, after: str, limit: int) -> list[Grant]:
        """List a key's grants by grant id."""
        query = _ROW.where(where(key_grant, *KEY), key_grant.c.grant_id > after)
        if which.grant_id is not None:
            query = query.where(key_grant.c.grant_id == which.grant_id)
        if which.grantee is not None:
            query = query.where(key_grant.c.grantee == which.grantee)

        def fetch(most: int) -> Sequence[AnyRow]:
            return self._connection.execute(query.order_by(key_grant.c.grant_id).limit(most), of_key(locator)).all()

        return self._guard.page(key_grant, fetch, limit, read_grant)

    def retirable_grants(self, region: str, retiring: str, after: str, limit: int) -> list[Grant]:
        """List the grants in a Region that a principal may retire, by grant id and key id, ``after`` one such pair."""
        place = tuple_(key_grant.c.grant_id, key_grant.c.key_id)
        grant_id, _, key_id = after.partition("/")
        query = _ROW.where(
            key_grant.c.retiring == retiring, key_grant.c.region == region, place > (grant_id, key_id)
        ).order_by(key_grant.c.grant_id, key_grant.c.key_id)

        def fetch(most: int) -> Sequence[AnyRow]:
            return self._connection.execute(query.limit(most)).all()

        return self._guard.page(key_grant, fetch, limit, read_grant)


class GrantWrites(GrantReads, Inserts):
    """Writes of grants. See ``subjects.grants``."""

    _changes: ChangeLog

    def add_grant(self, grant: Grant, limit: int | None = None) -> bool:
        """Insert a grant; return False and write nothing if the key has ``limit`` grants already."""
        row = {
            "account": grant.account,
            "region": grant.region,
            "key_id": grant.key_id,
            "grant_id": grant.grant_id,
            "grantee": grant.grantee.name,
            "retiring": None if grant.retiring is None else grant.retiring.name,
            "name": grant.name,
            "document": msgspec.json.encode(grant),
            "label": self._rarest_label(grant),
            "whatever_context": has_unconstrained_operation(grant),
            "terms": terms_digest(grant) if grant.name else None,
        }
        values = self._guard.sealed(key_grant, row)
        if limit is None:
            self._insert(key_grant, [values])
        elif not self._connection.execute(_ADD_BELOW_LIMIT, of(**values) | {"limit": limit}).rowcount:
            return False
        self._log_grant(grant)
        return True

    def _rarest_label(self, grant: Grant) -> Label | None:
        """Return the label that the fewest grants have: a tenant's id, say, rather than the ``app`` that all share."""
        possible = possible_labels(grant)
        if len(possible) <= 1:
            return next(iter(possible), None)
        owner = of_key(grant.locator) | of(grantee=grant.grantee.name)
        return min(
            possible,
            key=lambda label: self._connection.execute(_COUNT_LABELLED, owner | of(label=label)).scalar_one(),
        )

    def remove_grant(self, grant: Grant) -> None:
        """Remove a grant."""
        require_changed(self._connection.execute(_REMOVE, of_key(grant.locator) | of(grant_id=grant.grant_id)))
        self._log_grant(grant)

    def _log_grant(self, grant: Grant) -> None:
        name = f"{grant.key_id}/{grant.grant_id}"
        self._changes.add(ChangeKind.GRANT, grant.account, grant.region, name)


def read_grant(row: AnyRow) -> Grant:
    """Read a grant."""
    return _decoder.decode(row.document)
