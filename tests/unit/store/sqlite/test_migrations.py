"""Databases of earlier releases."""

from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from empty_database_statements import migrated_statements
from grants_builder import HOLDER, make_grant, subset
from keys_builder import locator, make_key
from strongroom.iam.entities import EntityKind, Relation, User
from strongroom.keys.arns import KeyLocator
from strongroom.keys.grants import Grant, GrantOperation, labels_wanted, pairs
from strongroom.store.records import AccessKeyRecord, AccountRecord
from strongroom.store.sql.schema import metadata
from strongroom.store.sql.transaction import SqlTransaction
from strongroom.store.sqlite.empty_database import STATEMENTS
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.migrate import migrate
from strongroom.store.sqlite.schema_version import SCHEMA, upgrade
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


def test_a_new_database_is_what_the_migrations_make(tmp_path: Path) -> None:
    assert STATEMENTS.read_text() == migrated_statements(), "run: .venv/bin/python tools/empty-database"
    upgrade(tmp_path / "strongroom.db")
    migrated = open_sqlite(tmp_path / "migrated.db")
    migrate(migrated)
    made = open_sqlite(tmp_path / "strongroom.db")
    with made.connect() as one, migrated.connect() as other:
        assert structure(one) == structure(other)
        assert len(structure(one)) > 50
        for name in metadata.tables:
            rows, others = (each.execute(select(metadata.tables[name])).all() for each in (one, other))
            if name == "database_history":
                # Each has an id of its own.
                (made_history,), (other_history,) = rows, others
                assert (made_history[0], len(made_history[1]), made_history[2]) == (1, 16, 0)
                assert made_history[1] != other_history[1]
            else:
                assert rows == others == []
        assert MigrationContext.configure(one).get_current_revision() == SCHEMA
    made.dispose()
    migrated.dispose()


def structure(connection: Connection) -> set[tuple[str, str, str]]:
    """Return the tables and indexes of a database, with their statements on one line."""
    found = connection.exec_driver_sql("SELECT type, name, coalesce(sql, '') FROM sqlite_master")
    return {(kind, name, " ".join(sql.split())) for kind, name, sql in found}


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


def test_users_and_accounts_made_before_instance_profiles_are_still_good(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "strongroom.db")
    migrate(engine, "0008")
    user = User(account="111122223333", name="Ann", unique_id="AIDAANN", created_at=1.0, groups=("Crew",))
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO account VALUES ('111122223333', 1)")
        row = (user.account, "user", "ann", "/", user.unique_id, msgspec.json.encode(user))
        connection.exec_driver_sql("INSERT INTO identity VALUES (?, ?, ?, ?, ?, ?)", row)
        connection.exec_driver_sql("INSERT INTO identity_link VALUES (?, 'user', 'ann', 'member', 'Crew')", row[:1])
    migrate(engine)
    with closing(SqlStore(engine)) as store:
        with store.read() as reader:
            assert reader.accounts() == [AccountRecord("111122223333", 1.0)]
            assert reader.entity_by_id("AIDAANN") == reader.entity(User, "111122223333", "ann") == user
            assert reader.linked("111122223333", "Crew") == [(Relation.MEMBER, EntityKind.USER, "ann")]
        with pytest.raises(IntegrityError):
            store.write(lambda transaction: transaction.put_entity(replace(user, name="Bob")))


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


def test_grants_made_before_constraints_for_several_writers_are_kept_even_if_made_twice(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "strongroom.db")
    migrate(engine, "0006")
    unnamed, first, again, other = (
        make_grant(1),
        make_grant(2, GrantOperation.ENCRYPT, GrantOperation.DECRYPT, name="n"),
        make_grant(3, GrantOperation.DECRYPT, GrantOperation.ENCRYPT, name="n"),
        make_grant(4, name="n"),
    )
    assert first.same_terms(again)
    grants = [unnamed, first, again, other]
    with engine.begin() as connection:
        connection.exec_driver_sql(OLD_KEY, ("us-east-1", locator(1).key_id, False))
        for grant in grants:
            connection.exec_driver_sql(
                "INSERT INTO key_grant (account, region, key_id, grant_id, grantee, retiring, name, document) "
                "VALUES (?, ?, ?, ?, ?, NULL, ?, ?)",
                (
                    *(grant.account, grant.region, grant.key_id),
                    *(grant.grant_id, grant.grantee.name, grant.name, msgspec.json.encode(grant)),
                ),
            )
        for number, principal in enumerate(("s3.amazonaws.com", "backup.amazonaws.com")):
            connection.exec_driver_sql(
                "INSERT INTO access_key VALUES (?, '', ?, x'', 1, 1.0, NULL, NULL, NULL)", (f"AKIA{number}", principal)
            )
    migrate(engine)
    with closing(SqlStore(engine)) as store:
        with store.read() as reader:
            assert [reader.grant(grant.locator, grant.grant_id) for grant in grants] == grants
            assert reader.services() == ["backup.amazonaws.com", "s3.amazonaws.com"]
        for refused in (replace(first, grant_id="5" * 64), replace(other, grant_id="5" * 64)):
            with pytest.raises(IntegrityError):
                store.write(partial(SqlTransaction.add_grant, grant=refused))
        store.write(partial(SqlTransaction.add_grant, grant=replace(unnamed, grant_id="5" * 64)))
        service = AccessKeyRecord("AKIA9", "", "s3.amazonaws.com", b"", active=True, created_at=1.0)
        with pytest.raises(IntegrityError):
            store.write(partial(SqlTransaction.add_access_key, record=service))
