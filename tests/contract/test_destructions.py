"""What is left to destroy, as every store keeps it. The same tests run with each."""

from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from keys_builder import NOW, make_key
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seal import SealedDomainKey
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Store, Transaction
from strongroom.store.retries import WriteConflict
from strongroom.store.subjects.destructions import (
    NEVER,
    Backlog,
    Destruction,
    ErasedDomainKey,
    ErasedMaterial,
    ErasedObject,
)

KEY = make_key(1)
DOMAIN_KEY = ErasedDomainKey("us-east-1", 1, "ab" * 32)


def erased(key: KmsKey) -> ErasedMaterial:
    (material,) = key.materials
    assert material.token is not None
    owner = MaterialBinding(key.account, key.region, key.key_id, material.material_id, key.spec)
    return ErasedMaterial("cks-1", material.token, owner)


MATERIAL = erased(KEY)


def due(store: Store, now: float = NOW, limit: int = 10) -> list[Destruction]:
    with store.read() as reader:
        return reader.destructions(now, limit)


def backlog(store: Store) -> Backlog:
    with store.read() as reader:
        return reader.destruction_backlog()


def add(store: Store, *objects: ErasedObject) -> None:
    def act(transaction: Transaction) -> None:
        for each in objects:
            transaction.add_destruction(each)

    store.write(act)


def test_both_kinds_are_read_as_they_were_written_and_are_due_at_once(store: Store) -> None:
    assert due(store) == []
    assert backlog(store) == Backlog(0, None)
    add(store, MATERIAL, DOMAIN_KEY)
    assert {each.erased for each in due(store)} == {MATERIAL, DOMAIN_KEY}
    assert {(each.due_at, each.since) for each in due(store)} == {(0.0, None)}
    assert len(due(store, limit=1)) == 1
    assert backlog(store) == Backlog(2, None)


def test_shared_objects_are_noted_and_never_due(store: Store) -> None:
    shared = ErasedDomainKey("us-east-1", 2, "cd" * 16, shared=True)
    store.write(lambda transaction: transaction.add_destruction(shared, NEVER))
    add(store, MATERIAL, DOMAIN_KEY)
    assert {each.erased for each in due(store, float("inf"))} == {MATERIAL, DOMAIN_KEY}
    assert backlog(store).count == 2
    with store.read() as reader:
        assert {each.erased for each in reader.object_destructions()} == {DOMAIN_KEY, shared}


def test_one_of_two_processes_begins_it(store: Store, other: Store) -> None:
    add(store, MATERIAL)
    (before,), (seen,) = due(store), due(other)
    after = replace(before, due_at=NOW + 10, since=NOW)
    assert store.write(lambda transaction: transaction.defer_destruction(before, after))
    assert not other.write(lambda transaction: transaction.defer_destruction(seen, after))
    assert due(other, NOW + 9) == []
    assert due(other, NOW + 10) == [after]
    assert backlog(other) == Backlog(1, NOW)


def deferred(before: Destruction, after: Destruction, transaction: Transaction) -> bool:
    return transaction.defer_destruction(before, after)


def test_the_one_that_has_waited_longest_comes_first(store: Store) -> None:
    keys = [make_key(number) for number in range(3)]
    add(store, *map(erased, keys))
    for each, at in zip(sorted(due(store), key=lambda each: each.erased.object_id), (30.0, 10.0, 20.0), strict=True):
        after = replace(each, due_at=at)
        store.write(partial(deferred, each, after))
    assert [each.due_at for each in due(store)] == [10.0, 20.0, 30.0]


def test_what_is_no_time_does_not_count_as_one(store: Store) -> None:
    """Times are not covered by the code of the row, and what reads them must not fail."""
    add(store, MATERIAL)
    for forged in (float("inf"), -1e300, 1e300):
        (before,) = due(store)
        store.write(partial(deferred, before, replace(before, since=forged)))
        assert due(store) == [replace(before, since=None)]
        assert backlog(store) == Backlog(1, None)


def test_it_is_noted_once_and_removed_however_often(store: Store) -> None:
    add(store, MATERIAL)
    (before,) = due(store)
    after = replace(before, due_at=NOW, since=NOW)
    store.write(lambda transaction: transaction.defer_destruction(before, after))
    add(store, MATERIAL)
    assert due(store) == [after]
    for _ in range(2):
        store.write(lambda transaction: transaction.remove_destruction(MATERIAL))
        assert due(store) == []


def test_what_is_to_be_made_is_due_later_and_withdrawn_in_time_only(store: Store, other: Store) -> None:
    planned = replace(MATERIAL, uncommitted=True)
    key_of_region = replace(DOMAIN_KEY, uncommitted=True)

    def announce(transaction: Transaction) -> None:
        for each in (planned, key_of_region):
            transaction.add_destruction(each, NOW + 10)

    store.write(announce)
    assert due(other, NOW + 9) == []
    assert {each.erased for each in due(other, NOW + 10)} == {planned, key_of_region}
    store.write(lambda transaction: transaction.withdraw_destruction(planned, NOW + 10))
    (begun,) = due(other, NOW + 10)
    other.write(lambda transaction: transaction.defer_destruction(begun, replace(begun, due_at=NOW + 20, since=NOW)))
    for gone in (planned, key_of_region):
        with pytest.raises(WriteConflict):
            store.write(partial(withdrawn, gone))
    assert [each.erased for each in due(other, NOW + 20)] == [key_of_region]


def withdrawn(erased: ErasedObject, transaction: Transaction) -> None:
    transaction.add_key(KEY)
    transaction.withdraw_destruction(erased, NOW + 10)


def test_a_destruction_that_was_withdrawn_is_not_begun(store: Store, other: Store) -> None:
    planned = replace(MATERIAL, uncommitted=True)
    store.write(lambda transaction: transaction.add_destruction(planned, NOW))
    (seen,) = due(other)
    store.write(lambda transaction: transaction.withdraw_destruction(planned, NOW))
    assert not other.write(partial(deferred, seen, replace(seen, due_at=NOW + 10)))


def test_it_is_not_noted_when_the_erasure_is_rolled_back(store: Store) -> None:
    store.write(lambda transaction: transaction.add_key(KEY))

    def fail(transaction: Transaction) -> None:
        transaction.erase_key(KEY)
        transaction.add_destruction(MATERIAL)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(fail)
    assert due(store) == []


def in_use(what: ErasedObject) -> Callable[[Transaction], bool]:
    return lambda transaction: transaction.is_in_use(what)


def test_what_a_key_has_is_in_use_and_what_it_had_is_not(store: Store) -> None:
    assert not store.write(in_use(MATERIAL))
    store.write(lambda transaction: transaction.add_key(KEY))
    assert store.write(in_use(MATERIAL))
    # The same material, imported again.
    assert not store.write(in_use(replace(MATERIAL, token=b"another")))
    without = replace(KEY, materials=(replace(KEY.materials[0], token=None),))
    store.write(lambda transaction: transaction.save_key(KEY, without))
    assert not store.write(in_use(MATERIAL))


def test_a_version_of_a_domain_key_is_in_use_while_it_is_there(store: Store) -> None:
    record = SealedDomainKey("us-east-1", 1, b"sealed")
    assert not store.write(in_use(DOMAIN_KEY))
    store.write(lambda transaction: transaction.add_domain_key(record))
    assert store.write(in_use(DOMAIN_KEY))
    assert not store.write(in_use(replace(DOMAIN_KEY, version=2)))
    # Whether it has this very object is sealed.
    assert not store.write(in_use(replace(DOMAIN_KEY, uncommitted=True)))
    store.write(lambda transaction: transaction.remove_domain_key(record))
    assert not store.write(in_use(DOMAIN_KEY))
