"""A key that is loaded at once is the one that its tables have, to the type of each value."""

from typing import Any

import pytest
from msgspec.structs import replace
from psycopg.pq import TransactionStatus
from sqlalchemy import update

from keys_builder import NOW, locator, make_key, material
from strongroom.errors import QuarantinedRecordException
from strongroom.keys.arns import AliasLocator
from strongroom.keys.kms_key import KeyMaterialState, KmsKey
from strongroom.keys.states import KeyState
from strongroom.store.postgresql.connection import StoreConnection
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.protocol import Transaction
from strongroom.store.records import AliasRecord
from strongroom.store.sql.reader import SqlReader
from strongroom.store.sql.schema import kms_key
from strongroom.store.sqlite.store import SqlStore

AnyStore = SqlStore | PostgresqlStore

TEXT = 'quotes " and \\ and {braces}, \u00e4\u4e2d\U0001f600\u2028'


def full_key() -> KmsKey:
    """Return a key that has something in every column."""
    older = replace(
        material(7),
        state=KeyMaterialState.NON_CURRENT,
        rotated_at=NOW + 0.1,
        expires_at=NOW + 1e-6,
        description=TEXT,
        token=bytes(range(256)),
    )
    key = make_key(1, tags=(("b", TEXT), ("a", ""), ("B", "x")))
    return replace(
        key,
        description=TEXT,
        state=KeyState.PENDING_DELETION,
        deletion_at=NOW + 7 * 86400 + 0.3,
        deletion_window_days=7,
        pinned=(("arn:aws:iam::111122223333:user/ann", "AIDAANN"),),
        rotation=replace(key.rotation, enabled=True, next_at=NOW + 1 / 3),
        replica_regions=("eu-west-1",),
        materials=(older, *key.materials),
    )


@pytest.fixture
def filled(store: AnyStore) -> AnyStore:
    def add(transaction: Transaction) -> None:
        transaction.add_key(full_key())
        transaction.add_key(make_key(2))
        for name in ("alias/b", "alias/a", "alias/B"):
            place = AliasLocator(locator(1).account, locator(1).region, name)
            transaction.put_alias(AliasRecord(place, locator(1).key_id, NOW, NOW), None)

    store.write(add)
    return store


def test_a_loaded_key_is_the_one_that_is_read(filled: AnyStore) -> None:
    for number in (1, 2, 3):
        with filled.read() as reader:
            assert filled.load_key(locator(number)) == reader.key(locator(number))
    loaded = filled.load_key(locator(1))
    assert loaded is not None
    assert loaded == replace(full_key(), tags=loaded.tags, aliases=("alias/B", "alias/a", "alias/b"))
    assert [each.token for each in loaded.materials] == [bytes(range(256)), material(1).token]
    assert filled.load_key(locator(3)) is None


def test_each_value_has_the_type_that_a_select_returns(filled: AnyStore) -> None:
    with filled.read() as reader:
        for number in (1, 2):
            at_once = reader._key_rows(locator(number))
            one_by_one = SqlReader._key_rows(reader, locator(number))
            assert at_once is not None
            assert one_by_one is not None
            assert typed([at_once.row]) == typed([one_by_one.row])
            for parts in zip(at_once[1:], one_by_one[1:], strict=True):
                assert typed(parts[0]) == typed(parts[1])


def typed(rows: Any) -> list[list[tuple[type, object]]]:
    return [[(type(value), value) for value in row] for row in rows]


def test_a_key_that_was_changed_by_others_is_refused(filled: AnyStore) -> None:
    change = update(kms_key).where(kms_key.c.key_id == locator(2).key_id).values(description="forged")
    engine = filled._database.engine if isinstance(filled, PostgresqlStore) else filled._engine
    with engine.begin() as connection:
        connection.execute(change)
    with pytest.raises(QuarantinedRecordException):
        filled.load_key(locator(2))
    assert filled.load_key(locator(1)) is not None


def test_postgresql_is_asked_once(filled: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isinstance(filled, PostgresqlStore):
        pytest.skip("SQLite is in this process")
    filled.load_key(locator(1))
    messages: list[str] = []
    whole = StoreConnection.wait

    def wait(connection: StoreConnection, gen: Any, *parts: Any) -> Any:
        # What ends a transaction sends nothing where there is none.
        if gen.__name__ != "_rollback_gen" or connection.info.transaction_status is not TransactionStatus.IDLE:
            messages.append(gen.__name__)
        return whole(connection, gen, *parts)

    monkeypatch.setattr(StoreConnection, "wait", wait)
    for number in (1, 3):
        messages.clear()
        filled.load_key(locator(number))
        assert messages == ["_execute_gen"]
