"""Grants, in SQL. Each is one row that holds all of it as JSON, beside the columns it is found by."""

import msgspec
from sqlalchemy import Connection, and_, delete, func, insert, select, tuple_

from strongroom.keys.arns import KeyLocator
from strongroom.keys.grants import Grant
from strongroom.store.change_log import log_change
from strongroom.store.protocol import ChangeKind, GrantFilter
from strongroom.store.schema import key_grant, of_key

_decoder = msgspec.json.Decoder(Grant)


class GrantReads:
    """Reads of grants. See ``protocol.Reader``."""

    _connection: Connection

    def grant(self, locator: KeyLocator, grant_id: str) -> Grant | None:
        """Return a grant."""
        document = self._connection.execute(
            select(key_grant.c.document).where(and_(of_key(key_grant, locator), key_grant.c.grant_id == grant_id))
        ).scalar_one_or_none()
        return None if document is None else _decoder.decode(document)

    def grants_to(self, locator: KeyLocator, grantee: str) -> list[Grant]:
        """List every grant on a key to one grantee, by the name policies know it by."""
        found = self._connection.execute(
            select(key_grant.c.document).where(and_(of_key(key_grant, locator), key_grant.c.grantee == grantee))
        )
        return [_decoder.decode(row.document) for row in found]

    def grants_named(self, locator: KeyLocator, name: str) -> list[Grant]:
        """List the grants on a key that bear a name."""
        found = self._connection.execute(
            select(key_grant.c.document).where(and_(of_key(key_grant, locator), key_grant.c.name == name))
        )
        return [_decoder.decode(row.document) for row in found]

    def count_grants(self, locator: KeyLocator) -> int:
        """Return how many grants a key has."""
        count = select(func.count()).select_from(key_grant).where(of_key(key_grant, locator))
        return self._connection.execute(count).scalar_one()

    def grants(self, locator: KeyLocator, which: GrantFilter, after: str, limit: int) -> list[Grant]:
        """List a key's grants by grant id."""
        query = select(key_grant.c.document).where(of_key(key_grant, locator), key_grant.c.grant_id > after)
        if which.grant_id is not None:
            query = query.where(key_grant.c.grant_id == which.grant_id)
        if which.grantee is not None:
            query = query.where(key_grant.c.grantee == which.grantee)
        found = self._connection.execute(query.order_by(key_grant.c.grant_id).limit(limit))
        return [_decoder.decode(row.document) for row in found]

    def retirable_grants(self, region: str, retiring: str, after: str, limit: int) -> list[Grant]:
        """List the grants in a Region that a principal may retire, by grant id and key id, ``after`` one such pair."""
        place = tuple_(key_grant.c.grant_id, key_grant.c.key_id)
        grant_id, _, key_id = after.partition("/")
        found = self._connection.execute(
            select(key_grant.c.document)
            .where(key_grant.c.retiring == retiring, key_grant.c.region == region, place > (grant_id, key_id))
            .order_by(key_grant.c.grant_id, key_grant.c.key_id)
            .limit(limit)
        )
        return [_decoder.decode(row.document) for row in found]


class GrantWrites(GrantReads):
    """Writes of grants. See ``protocol.Transaction``."""

    def add_grant(self, grant: Grant) -> None:
        """Insert a grant."""
        self._connection.execute(
            insert(key_grant).values(
                account=grant.account,
                region=grant.region,
                key_id=grant.key_id,
                grant_id=grant.grant_id,
                grantee=grant.grantee.name,
                retiring=None if grant.retiring is None else grant.retiring.name,
                name=grant.name,
                document=msgspec.json.encode(grant),
            )
        )
        self._log_grant(grant)

    def remove_grant(self, grant: Grant) -> None:
        """Remove a grant."""
        self._connection.execute(
            delete(key_grant).where(of_key(key_grant, grant.locator), key_grant.c.grant_id == grant.grant_id)
        )
        self._log_grant(grant)

    def _log_grant(self, grant: Grant) -> None:
        name = f"{grant.key_id}/{grant.grant_id}"
        log_change(self._connection, ChangeKind.GRANT, grant.account, grant.region, name)
