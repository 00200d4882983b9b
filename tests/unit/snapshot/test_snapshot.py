"""The snapshot of a worker: its caches never exceed their limits, and entries in use stay."""

from functools import partial

import pytest
from msgspec.structs import replace

from keys_builder import locator, make_key
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.keys.arns import AliasLocator
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import AliasRecord

KEYS = 12
POLICY = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}'


def alias(number: int) -> AliasLocator:
    return AliasLocator(locator(number).account, "us-east-1", f"alias/{number}")


@pytest.fixture
def snapshot(store: Store, key_backends: KeyBackends, service_secrets: ServiceSecrets) -> Snapshot:
    def change(transaction: Transaction) -> None:
        for number in range(KEYS):
            transaction.add_key(replace(make_key(number), policy=POLICY))
            transaction.put_alias(AliasRecord(alias(number), locator(number).key_id, 0.0, 0.0), None)

    store.write(change)
    snapshot = Snapshot(store, key_backends, service_secrets, max_keys=5)
    snapshot.refresh()
    return snapshot


def test_the_caches_of_keys_aliases_and_materials_stay_within_their_limit(snapshot: Snapshot) -> None:
    for _ in range(2):
        for number in range(KEYS):
            assert snapshot.alias(alias(number), may_wait=True) == locator(number).key_id
            active = snapshot.key_of_material("us-east-1", f"{number:064x}", may_wait=True)
            assert active is not None
            assert active.key.locator == locator(number)
            assert len(snapshot._keys.everything()) <= 5
            assert len(snapshot._aliases.everything()) <= 5
            assert len(snapshot._materials) == len(snapshot._keys.everything())


def test_reading_other_keys_does_not_evict_a_key_in_use(snapshot: Snapshot) -> None:
    hot = snapshot.key(locator(0), may_wait=True)
    for number in range(1, KEYS):
        snapshot.key(locator(number), may_wait=True)
        assert snapshot.key(locator(0), may_wait=True) is hot


def test_changed_entries_are_invalidated_in_either_generation(store: Store, snapshot: Snapshot) -> None:
    for number in range(6):
        snapshot.find(alias(number), may_wait=True)

    def change(transaction: Transaction, number: int) -> None:
        key = transaction.key(locator(number))
        assert key is not None
        transaction.save_key(key, replace(key, description="other"))
        transaction.remove_alias(AliasRecord(alias(number), key.key_id, 0.0, 0.0))

    for number in range(6):
        store.write(partial(change, number=number))
        snapshot.refresh()
        active = snapshot.key(locator(number), may_wait=True)
        assert active is not None
        assert active.key.description == "other"
        assert snapshot.find(alias(number), may_wait=True) is None


def test_keys_with_equal_policies_share_one_compiled_policy(snapshot: Snapshot) -> None:
    one, other = snapshot.key(locator(1), may_wait=True), snapshot.key(locator(2), may_wait=True)
    assert one is not None
    assert other is not None
    assert one.policy is other.policy
    assert one.key.policy is other.key.policy
