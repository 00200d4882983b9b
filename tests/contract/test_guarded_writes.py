"""What operations check before they write is checked again by the statements that write, with each back end."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from keys_builder import locator, make_key
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.seal import SealedDomainKey
from strongroom.errors import DependencyTimeoutException
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.keys.custom_key_stores import ConnectionState, CustomKeyStore, CustomKeyStoreType
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeyManager
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import AliasRecord
from strongroom.store.scopes import AccountScope

NOW = 1_790_000_000.0
ACCOUNT = "111122223333"
REGION = "us-east-1"


CUSTOM = CustomKeyStore(
    account=ACCOUNT,
    region=REGION,
    store_id="cks-1",
    name="one",
    type=CustomKeyStoreType.AWS_CLOUDHSM,
    created_at=NOW,
    wrapped_secret=b"wrapped",
)


def add(store: Store, key: KmsKey) -> KmsKey:
    store.write(lambda transaction: transaction.add_key(key))
    return key


def load(store: Store, where: KeyLocator) -> KmsKey | None:
    with store.read() as reader:
        return reader.key(where)


def test_a_key_is_inserted_only_below_the_limit_of_its_account(store: Store) -> None:
    def added(key: KmsKey, limit: int | None) -> bool:
        return store.write(lambda transaction: transaction.add_key(key, limit))

    assert not added(make_key(1), 0)
    assert added(make_key(1), 1)
    assert not added(make_key(2), 1)
    assert added(make_key(2), 2)
    assert added(replace(make_key(3), manager=KeyManager.AWS), 2)
    assert added(replace(make_key(4), region="eu-west-1"), 2)
    assert added(make_key(5), None)
    with store.read() as reader:
        assert reader.customer_keys(ACCOUNT, REGION) == 3
        assert len(reader.keys(ACCOUNT, REGION, "", 9)) == 4


def test_an_alias_is_inserted_or_moved_only_below_the_limit_of_its_key(store: Store) -> None:
    one, two = add(store, make_key(1)), add(store, make_key(2))
    record = AliasRecord(AliasLocator(ACCOUNT, REGION, "alias/a"), one.key_id, NOW, NOW)
    other = replace(record, locator=replace(record.locator, name="alias/b"))
    assert store.write(lambda transaction: transaction.add_alias(record, 1))
    start = store.changes(0).last
    assert not store.write(lambda transaction: transaction.add_alias(record, 9)), "its name is taken"
    assert not store.write(lambda transaction: transaction.add_alias(other, 1))
    assert store.changes(start).entries == []
    assert store.write(lambda transaction: transaction.add_alias(replace(other, key_id=two.key_id), 1))
    assert not store.write(lambda transaction: transaction.put_alias(other, two.key_id, 1))
    assert store.write(lambda transaction: transaction.put_alias(other, two.key_id, 2))
    found = load(store, one.locator)
    assert found is not None
    assert found.aliases == ("alias/a", "alias/b")


def test_a_write_of_what_is_not_there_any_more_is_a_typed_fault(store: Store) -> None:
    key = make_key(1)
    record = AliasRecord(AliasLocator(ACCOUNT, REGION, "alias/a"), key.key_id, NOW, NOW)
    writes: list[Callable[[Transaction], object]] = [
        lambda transaction: transaction.save_key(key, key),
        lambda transaction: transaction.erase_key(key),
        lambda transaction: transaction.put_alias(record, key.key_id),
        lambda transaction: transaction.put_alias(record, key.key_id, 9),
        lambda transaction: transaction.remove_alias(record),
        lambda transaction: transaction.remove_custom_key_store(CUSTOM),
    ]
    for number, write in enumerate(writes):
        with pytest.raises(DependencyTimeoutException):
            store.write(write)
        assert store.changes(0).entries == [], number


def test_a_custom_key_store_is_inserted_then_updated(store: Store) -> None:
    after = replace(CUSTOM, name="two", state=ConnectionState.CONNECTING)
    store.write(lambda transaction: transaction.put_custom_key_store(CUSTOM))
    store.write(lambda transaction: transaction.put_custom_key_store(after))
    with store.read() as reader:
        assert reader.custom_key_stores(ACCOUNT, REGION) == [after]
    with pytest.raises(IntegrityError):
        store.write(lambda transaction: transaction.put_custom_key_store(replace(CUSTOM, store_id="cks-2", name="two")))


def test_a_domain_key_that_was_removed_in_the_same_write_is_missed(store: Store, domain_keys: DomainKeys) -> None:
    """What a write has found is looked for once: it stays, unless the write itself removes it."""
    domain_key = SealedDomainKey(REGION, 1, b"sealed")

    def key_with_token(number: int) -> KmsKey:
        key = make_key(number)
        token = domain_keys.wrap(REGION, b"material", b"bound")
        return replace(key, materials=(replace(key.materials[0], token=token),))

    def both(transaction: Transaction) -> None:
        transaction.add_domain_key(domain_key)
        transaction.add_key(key_with_token(1))
        transaction.add_key(key_with_token(2))

    def remove(transaction: Transaction) -> None:
        transaction.add_key(key_with_token(3))
        transaction.remove_domain_key(domain_key)
        transaction.add_key(key_with_token(4))

    store.write(both, AccountScope(""))
    with pytest.raises(DependencyTimeoutException):
        store.write(remove, AccountScope(""))
    with store.read() as reader:
        assert reader.domain_keys() == [domain_key]
        assert reader.key(locator(3)) is None
