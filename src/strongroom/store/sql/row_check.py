"""Checks every record of the database, one after the other, whether it is used or not."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, exists, func, select
from typing_extensions import override

from strongroom.arns import parse_arn
from strongroom.errors import QuarantinedRecordException
from strongroom.iam.aws_managed_policies import AWS_POLICIES
from strongroom.iam.entities import Entity, EntityKind
from strongroom.keys.specs import KeyManager
from strongroom.store.quarantine import Finding, Quarantine, count_record, identity_record, material_record
from strongroom.store.sql import rows
from strongroom.store.sql.custom_key_stores import read_custom_key_store
from strongroom.store.sql.destructions import read_destruction
from strongroom.store.sql.grants import read_grant
from strongroom.store.sql.identities import read_entity
from strongroom.store.sql.key_rows import read_key
from strongroom.store.sql.row_guard import RowGuard, name_of
from strongroom.store.sql.row_walk import KeyRows, belonging, keys_of, place_of, rows_of
from strongroom.store.sql.schema import (
    access_key,
    account,
    alias,
    custom_key_store,
    destruction,
    identity,
    identity_link,
    key_count,
    key_grant,
    key_material,
    key_tag,
    kms_key,
    xks_proxy,
    xks_proxy_credential,
    xks_proxy_key,
)
from strongroom.store.sql.statements import KEY, of, where
from strongroom.store.sql.xks_proxies import read_xks_credential, read_xks_key, read_xks_proxy
from strongroom.store.subjects.records import Opens

_IDENTITY = ("account", "kind", "name_key")
_ENTITY = select(identity.c.unique_id).where(where(identity, *_IDENTITY))
_OTHERS = (
    (account, rows.read_account),
    (access_key, rows.read_access_key),
    (identity, read_entity),
    (identity_link, lambda row: row),
    (alias, rows.read_alias),
    (key_grant, read_grant),
    (custom_key_store, read_custom_key_store),
    (xks_proxy, read_xks_proxy),
    (xks_proxy_credential, read_xks_credential),
    (xks_proxy_key, read_xks_key),
    (destruction, read_destruction),
)


class _Findings(Quarantine):
    """Collects what a check finds. It neither logs nor reports."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Finding] = {}

    @override
    def add(self, finding: Finding) -> None:
        self.found.setdefault(finding.record, finding)

    def take(self) -> Iterable[Finding]:
        found, self.found = self.found, {}
        return found.values()


def check_rows(connection: Connection, guard: RowGuard, opens: Opens) -> Iterator[Finding]:
    """Yield each record that is not as this service wrote it, and each material that ``opens`` says does not open.

    Also what rows tell of others: keys that are gone while something of theirs is there, references that an identity
    does not have, policies and groups that are gone while an identity depends on them, counts of keys that are wrong.
    It writes nothing.
    """
    findings = _Findings()
    guard = RowGuard(findings, guard.authenticator)
    for parts in keys_of(connection):
        yield from _of_key(guard, parts, opens)
        yield from findings.take()
    for table, read in _OTHERS:
        for row in rows_of(connection, table):
            guard.read(table, row, read)
            yield from findings.take()
    yield from _lost_keys(connection)
    yield from _wrong_references(connection, guard)
    yield from _wrong_counts(connection)


def _of_key(guard: RowGuard, parts: KeyRows, opens: Opens) -> Iterator[Finding]:
    try:
        key = read_key(guard, *parts)
    except QuarantinedRecordException:
        return
    for material in key.materials:
        if material.token is not None and not opens(key, material):
            yield Finding(material_record(material.material_id, key.arn), "it cannot be unwrapped")


def _lost_keys(connection: Connection) -> Iterator[Finding]:
    """Yield keys that have no row of their own, but other rows: it was removed without them."""
    for table in (key_material, key_tag, alias, key_grant):
        columns = [table.c[name] for name in KEY]
        has_key = exists().where(*(kms_key.c[name] == table.c[name] for name in KEY))
        for row in connection.execute(select(*columns).where(~has_key).distinct()):
            yield Finding(name_of(kms_key, row), f"its own record is missing, but one of its `{table.name}` is there")


def _wrong_references(connection: Connection, guard: RowGuard) -> Iterator[Finding]:
    """Yield identities whose references, which searches use, are not those in their documents."""
    found = belonging(connection, identity_link, _IDENTITY, "relation")
    for row in rows_of(connection, identity):
        entity = guard.read(identity, row, read_entity)
        links = found(place_of(row, _IDENTITY))
        if entity is None:
            continue
        if {(link.relation.value, link.target) for link in entity.links} != {
            (each.relation, each.target) for each in links
        }:
            yield Finding(name_of(identity, row), "its references are not those in its document")
        yield from _missing_entities(connection, entity)


def _missing_entities(connection: Connection, entity: Entity) -> Iterator[Finding]:
    """Yield policies, groups and roles that an identity depends on and that have no row."""
    for link in entity.links:
        if link.target in AWS_POLICIES:
            continue
        arn = parse_arn(link.target)
        kind = EntityKind.GROUP if arn is None else EntityKind(arn.resource_type)
        name = link.target if arn is None else arn.resource_name
        account = entity.account if arn is None else arn.account
        place = {"account": account, "kind": kind.value, "name_key": name.lower()}
        if connection.execute(_ENTITY, of(**place)).one_or_none() is None:
            yield Finding(identity_record(**place), f"its record is missing, but {entity.arn} depends on it")


def _wrong_counts(connection: Connection) -> Iterator[Finding]:
    """Yield accounts whose number of customer managed keys in a Region is not the one that its quota counts."""
    counted = connection.execute(
        select(kms_key.c.account, kms_key.c.region, func.count())
        .where(kms_key.c.manager == KeyManager.CUSTOMER.value)
        .group_by(kms_key.c.account, kms_key.c.region)
    )
    keys = {(account, region): number for account, region, number in counted}
    kept = {(row.account, row.region): row.customer_keys for row in connection.execute(select(key_count))}
    for place in sorted(keys.keys() | kept.keys(), key=ascii):
        has, counts = keys.get(place, 0), kept.get(place, 0)
        if has != counts:
            yield Finding(
                count_record(*place),
                f"it is {has}, and {counts} is kept",
            )
