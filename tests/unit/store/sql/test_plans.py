"""The cost of the queries of calls and of the keeper grows with their results, not with the size of the tables."""

import re
from typing import Any

import pytest
from sqlalchemy import event

from grants_builder import make_grant, subset
from keys_builder import locator, make_key
from strongroom.iam.entities import User
from strongroom.keys.arns import AliasLocator
from strongroom.keys.grants import ANY_CONTEXT, NO_CONTEXT
from strongroom.store.protocol import Transaction
from strongroom.store.records import (
    AccessKeyRecord,
    AccessKeyUse,
    AliasRecord,
    CredentialReport,
    GrantFilter,
    KeyUse,
    LastAccessedJob,
    PrincipalUse,
)
from strongroom.store.sqlite.store import SqlStore

# Each may hold as many rows as there are keys, or far more.
LARGE = re.compile(
    r"SCAN (kms_key|key_material|key_tag|alias|key_grant|key_usage|access_key|identity|principal_use"
    r"|last_accessed_job|change|xks_proxy_key)\b"
)


@pytest.fixture
def scans(store: SqlStore) -> list[str]:
    """Return the statements that read a whole table, as they come."""
    found: list[str] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            values = parameters[0] if many else parameters
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            found.extend(f"{statement}: {step[3]}" for step in plan if LARGE.match(step[3]))

    event.listen(store._engine, "before_cursor_execute", explain)
    return found


def test_nothing_reads_a_whole_table(store: SqlStore, scans: list[str]) -> None:
    key, grant = make_key(1, tags=(("a", "b"),)), make_grant(1, constraints=subset(a="1", b="2"), name="n")
    alias = AliasRecord(AliasLocator(key.account, key.region, "alias/a"), key.key_id, 0.0, 0.0)
    access_key = AccessKeyRecord("AKIA", key.account, "AIDA", b"wrapped", active=True, created_at=0.0)

    def add(transaction: Transaction) -> None:
        transaction.add_key(key, 10)
        transaction.add_grant(grant, 10)
        transaction.add_alias(alias, 10)
        transaction.put_alias(alias, key.key_id, 10)
        transaction.add_access_key(access_key, 10)
        transaction.note_access_key_use(AccessKeyUse("AKIA", 1.0, key.region, "kms"), 1.0)
        transaction.note_key_uses([KeyUse(key.locator, "Encrypt", 1.0, "e", "r")], 1.0)
        transaction.save_key(key, key)

    store.write(add)
    with store.read() as reader:
        reader.key(key.locator)
        reader.customer_keys(key.account, key.region)
        reader.key_of_material(key.region, "m")
        reader.key_use(key.locator)
        reader.alias(alias.locator)
        reader.keys(key.account, key.region, "", 10)
        for key_id in (None, key.key_id):
            reader.aliases(key.account, key.region, key_id, "", 10)
        reader.keys_to_rotate(1.0, 10)
        reader.keys_with_expired_material(1.0, 10)
        reader.keys_to_delete(1.0, 10)
        reader.misdated_keys(1.0, 1.0, 0.0, 10)
        reader.has_keys_in("store")
        reader.labels_of_grants_to(locator(1), "AIDA")
        for label in (NO_CONTEXT, ANY_CONTEXT):
            reader.grants_to(locator(1), "AIDA", label, "", 10)
        reader.grants_named(locator(1), "n")
        reader.count_grants(locator(1))
        for which in (GrantFilter(), GrantFilter(grantee="AIDA")):
            reader.grants(locator(1), which, "", 10)
        reader.retirable_grants(key.region, "AIDA", "", 10)
        reader.access_key("AKIA")
        reader.access_keys(key.account, "AIDA")
        reader.services()
        reader.entity_by_id("AIDA")
        reader.linked(key.account, "arn")
    store.changes(0)
    store.trim_changes(10)

    def remove(transaction: Transaction) -> None:
        transaction.remove_grant(grant)
        transaction.remove_alias(alias)
        transaction.erase_key(key)

    store.write(remove)
    assert scans == []


def test_reports_read_what_they_are_about(store: SqlStore, scans: list[str]) -> None:
    user = User(account="111122223333", name="a", unique_id="AIDA", created_at=0.0)

    def add(transaction: Transaction) -> None:
        transaction.put_entity(user)
        transaction.note_principal_uses([PrincipalUse(user.unique_id, "kms", 1.0, "us-east-1")], 1.0)
        transaction.put_last_accessed_job(LastAccessedJob("j", user.account, user.unique_id, "SERVICE_LEVEL", 1.0))
        transaction.put_credential_report(CredentialReport(user.account, 1.0, b""))

    store.write(add)
    with store.read() as reader:
        reader.principal_uses((user.unique_id, "AROA"))
        reader.access_keys_in(user.account)
        reader.last_accessed_job(user.account, "j")
        reader.credential_report(user.account)
    store.write(lambda transaction: transaction.remove_entity(user))
    assert scans == []
