"""Databases of earlier releases."""

from contextlib import closing
from pathlib import Path

import msgspec
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from grants_builder import HOLDER, make_grant, subset
from keys_builder import locator, make_key
from strongroom.keys.arns import KeyLocator
from strongroom.keys.grants import Grant, GrantOperation, labels_wanted, pairs
from strongroom.store.sql.schema import metadata
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.migrate import migrate
from strongroom.store.sqlite.store import SqlStore

OLD_KEY = """
INSERT INTO kms_key (account, region, key_id, spec, usage, origin, manager, state, description, policy, multi_region,
    created_at, rotation_enabled, rotation_period_days)
VALUES ('111122223333', ?, ?, 'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT', 'AWS_KMS', 'CUSTOMER', 'Enabled', '', '{}', ?,
    1, 0, 365)
"""
OLD_GRANT = "INSERT INTO key_grant VALUES (?, ?, ?, ?, ?, NULL, '', ?)"
OLD_KEYS = (("k1", "us-east-1", False), ("mrk-k2", "us-east-1", True), ("k3", "eu-west-1", False))


def test_the_migrations_make_the_schema(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "strongroom.db")
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_keys_made_before_multi_region_keys_and_quotas_are_still_good(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "strongroom.db")
    migrate(engine, "0002")
    with engine.begin() as connection:
        for key_id, region, multi_region in OLD_KEYS:
            connection.exec_driver_sql(OLD_KEY, (region, key_id, multi_region))
    migrate(engine)
    store = SqlStore(engine)
    with store.read() as reader:
        assert reader.customer_keys("111122223333", "us-east-1") == 2
        assert reader.customer_keys("111122223333", "eu-west-1") == 1
        primary = reader.key(KeyLocator("111122223333", "us-east-1", "mrk-k2"))
        alone = reader.key(KeyLocator("111122223333", "us-east-1", "k1"))
    assert primary is not None
    assert not primary.is_replica
    assert alone is not None
    assert alone.primary_region == make_key().primary_region
    store.close()


def test_grants_made_before_they_had_labels_are_found(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "strongroom.db")
    migrate(engine, "0004")
    tenants = [make_grant(number, constraints=subset(app="shop", tenant=f"{number}")) for number in range(5)]
    shown = make_grant(5, GrantOperation.DESCRIBE_KEY)
    with engine.begin() as connection:
        connection.exec_driver_sql(OLD_KEY, ("us-east-1", locator(1).key_id, False))
        for grant in (*tenants, shown):
            owner = (grant.account, grant.region, grant.key_id)
            row = (*owner, grant.grant_id, grant.grantee.name, msgspec.json.encode(grant))
            connection.exec_driver_sql(OLD_GRANT, row)
    migrate(engine)
    with closing(SqlStore(engine)) as store, store.read() as reader:

        def found(operation: GrantOperation, **context: str) -> list[Grant]:
            labels = labels_wanted(operation, pairs(context))
            return [each for label in labels for each in reader.grants_to(locator(1), HOLDER, label, "", 9)]

        assert tenants[3] in found(GrantOperation.ENCRYPT, app="shop", tenant="3")
        assert len(found(GrantOperation.ENCRYPT, app="shop")) == 1
        assert found(GrantOperation.DESCRIBE_KEY) == [shown]


def test_grants_made_by_who_knows_no_labels_are_found(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "strongroom.db")
    migrate(engine)
    tenant = make_grant(1, GrantOperation.ENCRYPT, GrantOperation.DESCRIBE_KEY, constraints=subset(app="shop"))
    owner = (tenant.account, tenant.region, tenant.key_id)
    with engine.begin() as connection:
        connection.exec_driver_sql(OLD_KEY, ("us-east-1", locator(1).key_id, False))
        connection.exec_driver_sql(
            "INSERT INTO key_grant (account, region, key_id, grant_id, grantee, retiring, name, document) "
            "VALUES (?, ?, ?, ?, ?, NULL, '', ?)",
            (*owner, tenant.grant_id, tenant.grantee.name, msgspec.json.encode(tenant)),
        )
    with closing(SqlStore(engine)) as store, store.read() as reader:
        labels = reader.labels_of_grants_to(locator(1), HOLDER)
        for operation in (GrantOperation.ENCRYPT, GrantOperation.DESCRIBE_KEY):
            wanted = labels_wanted(operation, pairs({"app": "shop"}))
            assert any(reader.grants_to(locator(1), HOLDER, each, "", 9) == [tenant] for each in wanted)
        assert labels.intersection(labels_wanted(GrantOperation.ENCRYPT, frozenset()))


def test_writers_of_the_audit_log_are_known_by_their_marks(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "strongroom.db")
    migrate(engine, "0004")
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO audit_mark VALUES ('w0', 'segment', 1), ('w1', '', 0)")
        connection.exec_driver_sql("INSERT INTO audit_checkpoint VALUES ('w0', '{}', 'signature')")
    migrate(engine)
    store = SqlStore(engine)
    with store.read() as reader:
        writers = reader.audit_writers()
        records = reader.audit_writer_records()
    # Which node they belong to is not known yet, nor when they were seen first.
    assert [(each.writer, each.node, each.first_seen) for each in records] == [("w0", None, None), ("w1", None, None)]
    assert {writer: known.checkpoint is not None for writer, known in writers.items()} == {"w0": True, "w1": False}
    assert not any(known.stopped for known in writers.values())
    store.close()
