"""Every column of every row that decides is changed in a real database: the change is noticed and has no effect."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, Table

from grants_builder import HOLDER, make_grant, subset
from keys_builder import NOW, locator, make_key, material
from strongroom.crypto.material import MaterialBinding
from strongroom.errors import QuarantinedIdentityException, QuarantinedRecordException
from strongroom.iam.entities import Group, InlinePolicy, ManagedPolicy, User
from strongroom.keys import lifecycle
from strongroom.keys.arns import AliasLocator
from strongroom.keys.custom_key_stores import CustomKeyStore, CustomKeyStoreType
from strongroom.keys.grants import ANY_CONTEXT
from strongroom.keys.kms_key import KmsKey, RotationType
from strongroom.keys.specs import KeySpec, Origin
from strongroom.store.protocol import Transaction
from strongroom.store.quarantine import Finding, Quarantine
from strongroom.store.records import AccessKeyRecord, AccountRecord, AliasRecord, GrantFilter, PasswordPolicy
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sql.row_guard import RowGuard
from strongroom.store.sql.row_macs import AUTHENTICATED, MAC, NOT_COVERED, UNAUTHENTICATED, WITH_THEIR_KEY
from strongroom.store.sql.schema import identity, identity_link, key_material, key_tag, kms_key, metadata
from strongroom.store.sqlite.store import SqlStore
from strongroom.store.subjects.destructions import ErasedMaterial
from xks_records import CREDENTIAL, PROXY, XKS_KEY

ACCOUNT, REGION = locator(1).account, locator(1).region
KEY = replace(
    lifecycle.rotate(
        lifecycle.enable_rotation(make_key(1, tags=(("a", "1"), ("b", "2"))), 90, NOW),
        material(2).material_id,
        b"second",
        RotationType.ON_DEMAND,
        NOW + 1,
    ),
    description="d",
    custom_key_store_id="cks-1",
    deletion_at=NOW + 9,
    deletion_window_days=7,
    pinned=(("arn:aws:iam::111122223333:user/ann", "AIDAANN"),),
    primary_region="us-east-1",
    replica_regions=("eu-west-1",),
)
IMPORTED = make_key(2, origin=Origin.EXTERNAL)
IMPORTED = replace(IMPORTED, materials=(replace(material(3), expires_at=NOW + 5, description="m"),))
ALIAS = AliasRecord(AliasLocator(ACCOUNT, REGION, "alias/x"), KEY.key_id, NOW, NOW)
GRANTS = (
    make_grant(1, constraints=subset(app="shop"), name="n", retiring="AIDABOB"),
    make_grant(2),
)
USER = User(
    account=ACCOUNT,
    name="Ann",
    unique_id="AIDAANN",
    created_at=NOW,
    groups=("crew",),
    inline=(InlinePolicy("p", "{}"),),
)
GROUP = Group(account=ACCOUNT, name="crew", unique_id="AGPACREW", created_at=NOW)
POLICY_ARN = f"arn:aws:iam::{ACCOUNT}:policy/p"
ACCESS_KEY = AccessKeyRecord("AKIAANN", ACCOUNT, "AIDAANN", b"wrapped", active=True, created_at=NOW)
SERVICE_KEY = AccessKeyRecord("AKIASERVICE", "", "s3.amazonaws.com", b"wrapped", active=False, created_at=NOW)
STORE = CustomKeyStore(
    account=ACCOUNT,
    region=REGION,
    store_id="cks-1",
    name="store",
    type=CustomKeyStoreType.AWS_CLOUDHSM,
    created_at=NOW,
    wrapped_secret=b"wrapped",
)
ERASED = ErasedMaterial(
    "cks-1", b"token", MaterialBinding(ACCOUNT, REGION, KEY.key_id, "ab" * 32, KeySpec.SYMMETRIC_DEFAULT)
)
RECORDS = (AccountRecord(ACCOUNT, NOW, "company", PasswordPolicy()), AccountRecord("444455556666", NOW))


def fill(transaction: Transaction) -> None:
    for account in RECORDS:
        transaction.add_account(account)
    transaction.put_custom_key_store(STORE)
    transaction.add_xks_proxy(PROXY)
    transaction.add_xks_credential(CREDENTIAL)
    transaction.add_xks_key(XKS_KEY)
    transaction.add_key(KEY)
    transaction.add_key(IMPORTED)
    transaction.put_alias(ALIAS, None)
    for grant in GRANTS:
        transaction.add_grant(grant)
    for entity in (GROUP, USER):
        transaction.put_entity(entity)
    for record in (ACCESS_KEY, SERVICE_KEY):
        transaction.add_access_key(record)
    transaction.add_destruction(ERASED)


@pytest.fixture
def filled(store: SqlStore) -> SqlStore:
    store.write(fill)
    return store


@contextmanager
def changed(store: SqlStore, statement: str, *values: object) -> Iterator[SqlReader]:
    """Change rows as another program would, and read in that state; it is undone afterwards."""
    with store._engine.connect() as connection:
        # A program that changes a database need not have SQLite enforce them.
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        connection.exec_driver_sql(statement, values)
        yield SqlReader(connection, RowGuard(Quarantine(), store.guard.authenticator))
        connection.rollback()


def findings(reader: SqlReader) -> list[Finding]:
    return list(reader.findings(lambda _key, _material: True))


def seen(reader: SqlReader) -> list[object]:
    """Return all that can be read; what is refused is left out. Any other error fails the test."""
    singles: tuple[Callable[[], object], ...] = (
        *(lambda key=key: reader.key(key.locator) for key in (KEY, IMPORTED)),
        lambda: reader.alias(ALIAS.locator),
        *(lambda grant=grant: reader.grant(grant.locator, grant.grant_id) for grant in GRANTS),
        *(lambda each=each: reader.access_key(each.access_key_id) for each in (ACCESS_KEY, SERVICE_KEY)),
        lambda: reader.entity(User, ACCOUNT, "ann"),
        lambda: reader.entity_by_id("AIDAANN"),
        *(lambda each=each: reader.account(each.account) for each in RECORDS),
        lambda: reader.account_with_alias("company"),
        lambda: reader.custom_key_store(ACCOUNT, REGION, "cks-1"),
        lambda: reader.xks_proxy(PROXY.prefix),
        lambda: reader.xks_key(PROXY.prefix, XKS_KEY.external_id),
    )
    labels = reader.labels_of_grants_to(KEY.locator, HOLDER)
    found: list[object] = [
        *reader.accounts(),
        *reader.aliases(ACCOUNT, REGION, None, "", 9),
        *reader.grants(KEY.locator, GrantFilter(), "", 9),
        *reader.grants_named(KEY.locator, "n"),
        *(each for label in (ANY_CONTEXT, *labels) for each in reader.grants_to(KEY.locator, HOLDER, label, "", 9)),
        *reader.retirable_grants(REGION, "AIDABOB", "", 9),
        *reader.access_keys(ACCOUNT, "AIDAANN"),
        *reader.access_keys_in(ACCOUNT),
        *reader.access_keys("", "s3.amazonaws.com"),
        *reader.entities(User, ACCOUNT, "/", "", 9),
        *reader.entities(ManagedPolicy, ACCOUNT, "/", "", 9),
        *reader.linked(ACCOUNT, "crew"),
        *reader.custom_key_stores(ACCOUNT, REGION),
        *reader.xks_proxies(),
        *reader.xks_credentials(PROXY.prefix),
        *reader.xks_keys(PROXY.prefix),
        *reader.destructions(NOW, 9),
    ]
    for read in singles:
        try:
            record = read()
        except (QuarantinedRecordException, QuarantinedIdentityException):
            continue
        if record is not None:
            found.append(_parts(record) if isinstance(record, KmsKey) else record)
    return [each for record in found for each in (record if isinstance(record, list) else [record])]


def _parts(key: KmsKey) -> list[object]:
    """Return what a key consists of: of a damaged key, some materials and aliases can be missing."""
    return [replace(key, materials=(), aliases=(), damaged=()), *key.materials, *key.aliases]


def alterations(column: Column[object]) -> list[tuple[str, tuple[object, ...]]]:
    """Return SQL expressions, with parameters, of other values for a column: near ones and ones of a wrong type."""
    name = f'"{column.name}"'
    null: list[tuple[str, tuple[object, ...]]] = [("NULL", ())] if column.nullable else []
    if isinstance(column.type, Boolean):
        return [(f"1 - {name}", ())]
    wrong = [*null, ("?", (b"\xff\x00",)), ("CAST(? AS TEXT)", (b"\xff",))]
    if isinstance(column.type, Integer | Float):
        return [*wrong, (f"coalesce({name}, 0) + 7", ()), ("?", ("text",))]
    if isinstance(column.type, LargeBinary):
        return [*wrong, (f"CAST(coalesce({name}, '') AS BLOB) || x'00'", ()), ("?", ("text",)), ("7", ())]
    return [*wrong, (f"coalesce({name}, '') || 'x'", ()), ("7", ())]


COLUMNS = [
    (table, column)
    for table in (*AUTHENTICATED, key_material, key_tag)
    for column in table.c
    if column.name not in NOT_COVERED.get(table.name, ())
]


def test_every_table_is_authenticated_or_the_reason_is_given() -> None:
    authenticated = {table.name for table in AUTHENTICATED}
    assert metadata.tables.keys() == authenticated | WITH_THEIR_KEY | UNAUTHENTICATED.keys()
    assert {table.name for table in metadata.tables.values() if MAC in table.c} == authenticated
    for table, columns in NOT_COVERED.items():
        assert columns <= {*metadata.tables[table].c.keys()}


def test_what_was_not_changed_is_good(filled: SqlStore) -> None:
    with filled.read() as reader:
        assert findings(reader) == []
        assert reader.key(KEY.locator) == replace(KEY, aliases=("alias/x",))
        assert len(seen(reader)) > len(COLUMNS) / 3
    assert len(filled.quarantine) == 0


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda each: each.name)
def test_a_changed_value_is_noticed_and_has_no_effect(filled: SqlStore, table: Table, column: Column[object]) -> None:
    with filled.read() as reader:
        before = seen(reader)
    for expression, values in alterations(column):
        other = f'(SELECT min(rowid) FROM {table.name} WHERE "{column.name}" IS NOT {expression})'  # noqa: S608
        statement = f'UPDATE {table.name} SET "{column.name}" = {expression} WHERE rowid = {other}'  # noqa: S608
        with changed(filled, statement, *values, *values) as reader:
            assert reader._connection.exec_driver_sql("SELECT changes()").scalar_one() == 1
            found = findings(reader)
            assert found, ascii((expression, values))
            # They are logged.
            assert all(each.record.isprintable() for each in found), ascii(found)
            for record in seen(reader):
                assert record in before, ascii((expression, values, record))


@pytest.mark.parametrize("table", [*AUTHENTICATED, key_material, key_tag], ids=lambda each: each.name)
def test_a_row_that_is_removed_is_missed_where_it_belongs_to_another(filled: SqlStore, table: Table) -> None:
    with filled.read() as reader:
        before = seen(reader)
    first = f"(SELECT min(rowid) FROM {table.name})"  # noqa: S608 - a name of the schema
    with changed(filled, f"DELETE FROM {table.name} WHERE rowid = {first}") as reader:  # noqa: S608 - as above
        assert all(record in before for record in seen(reader))
        assert bool(findings(reader)) is (table in {kms_key, key_material, key_tag, identity, identity_link})


def test_an_old_row_with_its_old_code_is_accepted(filled: SqlStore) -> None:
    """This is what a code of one row cannot show; see the threat model."""
    old = "SELECT policy, state, material_macs, row_mac FROM kms_key WHERE key_id = ?"
    with filled._engine.connect() as connection:
        row = connection.exec_driver_sql(old, (IMPORTED.key_id,)).one()
    filled.write(lambda transaction: transaction.save_key(IMPORTED, lifecycle.disable(IMPORTED)))
    statement = "UPDATE kms_key SET policy = ?, state = ?, material_macs = ?, row_mac = ? WHERE key_id = ?"
    with changed(filled, statement, *row, IMPORTED.key_id) as reader:
        assert findings(reader) == []
        assert reader.key(IMPORTED.locator) == IMPORTED
