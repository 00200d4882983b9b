"""The contract of every store. The same tests run with each back end."""

import threading
import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from keys_builder import locator, make_key, material
from strongroom.clock import DAY
from strongroom.crypto.seal import SealedDomainKey
from strongroom.errors import DependencyTimeoutException
from strongroom.keys import imported, lifecycle
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.keys.imported import ImportType
from strongroom.keys.kms_key import KmsKey, RotationType
from strongroom.keys.specs import KeyManager, Origin
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import (
    AccessKeyRecord,
    AccountRecord,
    AliasRecord,
    Change,
    ChangeKind,
    KeyUse,
)
from strongroom.store.scopes import KeyScope
from strongroom.store.sqlite.store import SqlStore

NOW = 1_790_000_000.0
ACCOUNT = "111122223333"
REGION = "us-east-1"
READ_ONLY = {"sqlite": "PRAGMA query_only=ON", "postgresql": "SET TRANSACTION READ ONLY"}


def add(store: Store, key: KmsKey) -> KmsKey:
    store.write(lambda transaction: transaction.add_key(key))
    return key


def save(store: Store, before: KmsKey, after: KmsKey) -> KmsKey:
    store.write(lambda transaction: transaction.save_key(before, after))
    return after


def load(store: Store, where: KeyLocator) -> KmsKey | None:
    with store.read() as reader:
        return reader.key(where)


def name(store: Store, alias: str, key: KmsKey, previous: KmsKey | None = None) -> AliasRecord:
    record = AliasRecord(AliasLocator(ACCOUNT, REGION, alias), key.key_id, NOW, NOW)
    store.write(lambda transaction: transaction.put_alias(record, None if previous is None else previous.key_id))
    return record


def add_twice(transaction: Transaction, key: KmsKey) -> None:
    transaction.add_key(key)
    transaction.add_key(key)


def save_read_only(store: Store, key: KmsKey) -> None:
    def change(transaction: Transaction) -> None:
        connection: Connection = transaction._connection  # type: ignore[attr-defined]
        connection.exec_driver_sql(READ_ONLY[connection.dialect.name])
        transaction.save_key(key, replace(key, description="lost"))

    store.write(change)


def test_a_key_is_read_as_it_was_saved_after_every_change(store: Store) -> None:
    key = add(store, make_key(1, tags=(("a", "1"), ("b", ""))))
    assert load(store, key.locator) == key
    for number, change in enumerate(
        (
            lambda key: lifecycle.enable_rotation(key, 90, NOW),
            lambda key: lifecycle.rotate(key, material(2).material_id, b"second", RotationType.ON_DEMAND, NOW + 1),
            lambda key: lifecycle.rotate(key, material(3).material_id, b"third", RotationType.AUTOMATIC, NOW + 2),
            lambda key: replace(key, tags=(("b", "2"),), description="\u00e9 and more", policy="{}"),
            lambda key: replace(key, tags=()),
            lifecycle.disable,
            lambda key: lifecycle.schedule_deletion(key, 7, NOW),
            lifecycle.cancel_deletion,
        )
    ):
        key = save(store, key, change(key))
        assert load(store, key.locator) == key, number


def test_keys_belong_to_one_region_and_account(store: Store) -> None:
    key = add(store, make_key(1))
    for other in (replace(key.locator, region="eu-west-1"), replace(key.locator, account="444455556666")):
        assert load(store, other) is None
    with store.read() as reader:
        assert reader.key_of_material(REGION, key.materials[0].material_id) == key.locator
        assert reader.key_of_material("eu-west-1", key.materials[0].material_id) is None
        assert reader.keys(ACCOUNT, "eu-west-1", "", 10) == []


def test_lists_are_ordered_and_paged(store: Store) -> None:
    keys = sorted((add(store, make_key(number)) for number in range(5)), key=lambda key: key.key_id)
    names = ["alias/a", "alias/b", "alias/c"]
    for alias in reversed(names):
        name(store, alias, keys[0])
    name(store, "alias/d", keys[1])
    with store.read() as reader:
        assert reader.keys(ACCOUNT, REGION, "", 3) == [key.locator for key in keys[:3]]
        assert reader.keys(ACCOUNT, REGION, keys[2].key_id, 3) == [key.locator for key in keys[3:]]
        assert [each.locator.name for each in reader.aliases(ACCOUNT, REGION, keys[0].key_id, "", 9)] == names
        assert [each.locator.name for each in reader.aliases(ACCOUNT, REGION, None, "alias/b", 9)] == [
            "alias/c",
            "alias/d",
        ]


def test_an_alias_moves_to_another_key_and_is_read_with_it(store: Store) -> None:
    one, two = add(store, make_key(1)), add(store, make_key(2))
    name(store, "alias/x", one)
    moved = name(store, "alias/x", two, one)
    with store.read() as reader:
        assert reader.alias(moved.locator) == moved
        assert [(key.aliases) for key in (reader.key(one.locator), reader.key(two.locator)) if key] == [
            (),
            ("alias/x",),
        ]
    store.write(lambda transaction: transaction.remove_alias(moved))
    with store.read() as reader:
        assert reader.alias(moved.locator) is None


def test_keys_due_for_rotation_and_deletion_are_found(store: Store) -> None:
    rotating = lifecycle.enable_rotation(make_key(1), 90, NOW)
    sleeping = lifecycle.disable(lifecycle.enable_rotation(make_key(2), 90, NOW))
    leaving = lifecycle.schedule_deletion(make_key(3), 7, NOW)
    for key in (rotating, sleeping, leaving, make_key(4)):
        add(store, key)
    with store.read() as reader:
        assert reader.keys_to_rotate(NOW + 90 * DAY - 1, 10) == []
        assert reader.keys_to_rotate(NOW + 90 * DAY, 10) == [rotating.locator]
        assert reader.keys_to_rotate(NOW + 90 * DAY, 10, {rotating.region, "x"}) == [rotating.locator]
        assert reader.keys_to_rotate(NOW + 90 * DAY, 10, {"x"}) == []
        assert reader.keys_to_delete(NOW + 7 * DAY - 1, 10) == []
        assert reader.keys_to_delete(NOW + 7 * DAY, 10) == [leaving.locator]
        assert reader.keys_to_delete(NOW + 7 * DAY, 10, {leaving.region}) == [leaving.locator]
        assert reader.keys_to_delete(NOW + 7 * DAY, 10, {"x"}) == []


def test_imported_material_is_read_as_it_was_saved_after_every_change(store: Store) -> None:
    key = add(store, make_key(1, origin=Origin.EXTERNAL))
    described = replace(material(4), description="new", expires_at=NOW + 5)
    life: list[Callable[[KmsKey], KmsKey]] = [
        lambda key: imported.import_material(key, material(2), ImportType.NEW),
        lambda key: imported.import_material(key, material(3), ImportType.NEW),
        lambda key: imported.delete_material(key, material(3).material_id),
        lambda key: imported.import_material(key, described, ImportType.NEW),
        lambda key: imported.rotate(key, NOW),
        lambda key: imported.delete_material(key, material(2).material_id),
        lambda key: imported.as_of(key, NOW + 5),
        lambda key: imported.import_material(key, material(4), ImportType.EXISTING),
    ]
    for number, change in enumerate(life):
        key = save(store, key, change(key))
        assert load(store, key.locator) == key, number
    with store.read() as reader:
        assert reader.key_of_material(REGION, material(3).material_id) is None


def test_keys_with_expired_material_are_found_earliest_first(store: Store) -> None:
    for number, until in ((1, NOW + 20), (2, NOW + 10), (3, None)):
        key = add(store, make_key(number, origin=Origin.EXTERNAL))
        first = replace(material(number), expires_at=until)
        key = save(store, key, imported.import_material(key, first, ImportType.NEW))
        second = replace(material(10 + number), expires_at=until)
        save(store, key, imported.import_material(key, second, ImportType.NEW))
    with store.read() as reader:
        assert reader.keys_with_expired_material(NOW + 9, 10) == []
        assert reader.keys_with_expired_material(NOW + 10, 10) == [locator(2)]
        assert reader.keys_with_expired_material(NOW + 20, 10) == [locator(2), locator(1)]
        assert reader.keys_with_expired_material(NOW + 20, 1) == [locator(2)]
        assert reader.keys_with_expired_material(NOW + 20, 10, {locator(1).region}) == [locator(2), locator(1)]
        assert reader.keys_with_expired_material(NOW + 20, 10, {"x"}) == []


def test_the_primary_is_due_for_rotation_and_its_replicas_are_not(store: Store) -> None:
    primary = replace(
        lifecycle.enable_rotation(make_key(1), 90, NOW),
        multi_region=True,
        primary_region=REGION,
        replica_regions=("eu-west-1",),
    )
    replica = replace(primary, region="eu-west-1", arn=primary.arn.replace(REGION, "eu-west-1"))
    for key in (replica, primary):
        assert load(store, add(store, key).locator) == key
    with store.read() as reader:
        assert reader.keys_to_rotate(NOW + 90 * DAY, 10) == [primary.locator]
        for key in (primary, replica):
            assert reader.key_of_material(key.region, key.materials[0].material_id) == key.locator


def test_customer_keys_are_counted_by_account_and_region(store: Store) -> None:
    def counts() -> list[int]:
        with store.read() as reader:
            return [
                reader.customer_keys(*owner)
                for owner in ((ACCOUNT, REGION), (ACCOUNT, "eu-west-1"), ("444455556666", REGION))
            ]

    assert counts() == [0, 0, 0]
    key = add(store, make_key(1))
    add(store, make_key(2))
    add(store, replace(make_key(3), manager=KeyManager.AWS))
    add(store, replace(make_key(4), region="eu-west-1"))
    assert counts() == [2, 1, 0]
    store.write(lambda transaction: transaction.erase_key(key))
    assert counts() == [1, 1, 0]


def test_erasing_a_key_erases_its_aliases_and_material(store: Store) -> None:
    key = add(store, make_key(1, tags=(("a", "1"),)))
    record = name(store, "alias/x", key)
    found = load(store, key.locator)
    assert found is not None
    store.write(lambda transaction: transaction.erase_key(found))
    assert load(store, key.locator) is None
    with store.read() as reader:
        assert reader.alias(record.locator) is None
        assert reader.key_of_material(REGION, key.materials[0].material_id) is None
        assert reader.keys(ACCOUNT, REGION, "", 10) == []


def test_accounts_access_keys_and_domain_keys_are_read_as_written(store: Store) -> None:
    account = AccountRecord(ACCOUNT, NOW)
    access_key = AccessKeyRecord("AKIA1", ACCOUNT, "arn", b"wrapped", active=True, created_at=NOW)
    domain_key = SealedDomainKey(REGION, 1, b"sealed")

    def change(transaction: Transaction) -> None:
        transaction.add_account(account)
        transaction.add_access_key(access_key)
        transaction.add_domain_key(domain_key)

    store.write(change)
    with store.read() as reader:
        assert reader.accounts() == [account]
        assert reader.access_key("AKIA1") == access_key
        assert reader.access_key("AKIA2") is None
        assert reader.domain_keys() == [domain_key]


def test_a_transaction_that_raises_changes_nothing(store: Store) -> None:
    before = store.changes(0)
    with pytest.raises(IntegrityError):
        store.write(lambda transaction: add_twice(transaction, make_key(1)))
    assert load(store, locator(1)) is None
    assert store.changes(0) == before


def test_every_commit_changes_the_version_and_adds_to_the_change_log(store: Store) -> None:
    seen = store.version()
    assert store.version() == seen
    start = store.changes(0).last
    key = add(store, make_key(1))
    assert store.version() != seen
    seen = store.version()
    name(store, "alias/x", key)
    assert store.version() != seen
    changes = store.changes(start)
    assert changes.complete
    assert [(each.kind, each.name) for each in changes.entries] == [
        (ChangeKind.KEY, key.key_id),
        (ChangeKind.ALIAS, "alias/x"),
        (ChangeKind.KEY, key.key_id),
    ]
    assert store.changes(changes.last).entries == []
    assert isinstance(changes.entries[0], Change)


def test_a_commit_of_another_process_changes_the_version_too(store: Store, other: Store) -> None:
    """The other process needs not notify this one, and may have died."""
    seen = store.version()
    start = store.changes(0).last
    key = add(other, make_key(1))
    assert store.version() != seen
    assert [each.name for each in store.changes(start).entries] == [key.key_id]
    assert load(store, key.locator) == key


def test_writers_on_many_threads_do_not_lose_each_others_changes(store: Store) -> None:
    key = add(store, make_key(1))

    def tag(number: int) -> None:
        def change(transaction: Transaction) -> None:
            before = transaction.key(key.locator)
            assert before is not None
            transaction.save_key(before, replace(before, tags=tuple(sorted((*before.tags, (f"{number:02}", ""))))))

        store.write(change, KeyScope(key.account, key.key_id))

    threads = [threading.Thread(target=tag, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = load(store, key.locator)
    assert found is not None
    assert [tag for tag, _ in found.tags] == [f"{number:02}" for number in range(20)]


def test_a_reader_sees_one_state_while_others_write(store: Store) -> None:
    key = add(store, make_key(1))
    with store.read() as reader:
        first = reader.key(key.locator)
        save(store, key, replace(key, description="changed"))
        assert reader.key(key.locator) == first
    changed = load(store, key.locator)
    assert changed is not None
    assert changed.description == "changed"


def test_a_failed_write_raises_a_typed_exception(store: Store) -> None:
    key = add(store, make_key(1))
    with pytest.raises(DependencyTimeoutException):
        save_read_only(store, key)


def test_scrubbing_succeeds_without_readers(store: Store) -> None:
    key = add(store, make_key(1, origin=Origin.EXTERNAL))
    key = save(store, key, imported.import_material(key, material(2), ImportType.NEW))
    assert store.scrub()
    save(store, key, imported.delete_material(key, None))
    assert store.scrub()


def test_scrubbing_does_not_wait_for_long_readers(sqlite_store: SqlStore) -> None:
    store = sqlite_store
    key = add(store, make_key(1, origin=Origin.EXTERNAL))
    key = save(store, key, imported.import_material(key, material(2), ImportType.NEW))
    with store.read() as reader:
        assert reader.key(key.locator) == key
        save(store, key, imported.delete_material(key, None))
        begun = time.monotonic()
        assert not store.scrub()
        # Scrubbing holds the write lock, so it must be short.
        assert time.monotonic() - begun < 2
    assert store.scrub()


def test_scrubbing_succeeds_with_readers_if_nothing_was_erased(store: Store) -> None:
    key = add(store, make_key(1))
    assert store.scrub()
    with store.read() as reader:
        assert reader.key(key.locator) == key
        save(store, key, replace(key, description="changed"))
        assert store.scrub()


def test_a_later_use_of_a_key_is_not_replaced_by_an_earlier_one(store: Store) -> None:
    key, other = add(store, make_key(1)), make_key(2)
    early, late, gone = (
        KeyUse(where, operation, at, f"event {operation}", f"request {operation}")
        for where, operation, at in (
            (key.locator, "Encrypt", NOW),
            (key.locator, "Decrypt", NOW + 1),
            (other.locator, "Encrypt", NOW),
        )
    )

    def saved(*uses: KeyUse) -> KeyUse | None:
        store.write(lambda transaction: transaction.note_key_uses(uses, NOW))
        with store.read() as reader:
            assert reader.key_use(other.locator) is None
            return reader.key_use(key.locator)

    assert saved(gone, early) == early
    assert saved(late, gone) == late
    assert saved(early) == late
    assert saved(late, early) == late
