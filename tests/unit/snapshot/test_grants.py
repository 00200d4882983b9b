"""The grant cache of a worker: it is invalidated grant by grant, and never exceeds its limit."""

import pytest

from grants_builder import make_grant, subset
from keys_builder import locator, make_key
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.keys.grants import Grant, GrantOperation, UseSearch, labels_wanted, pairs
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.protocol import Store, Transaction


@pytest.fixture
def snapshot(store: Store, key_backends: KeyBackends, service_secrets: ServiceSecrets) -> Snapshot:
    snapshot = Snapshot(store, key_backends, service_secrets, max_keys=10)

    def change(transaction: Transaction) -> None:
        for number in (1, 2):
            transaction.add_key(make_key(number))

    store.write(change)
    snapshot.refresh()
    return snapshot


def add_grants(store: Store, *grants: Grant) -> None:
    def change(transaction: Transaction) -> None:
        for grant in grants:
            transaction.add_grant(grant)

    store.write(change)


def remove_grant(store: Store, grant: Grant) -> None:
    store.write(lambda transaction: transaction.remove_grant(grant))


def found(snapshot: Snapshot, *names: str, key: int = 1, tenant: str = "t1") -> Grant | None:
    have = pairs({"tenant": tenant})
    search = UseSearch(GrantOperation.ENCRYPT, have, None)
    snapshot.refresh()
    return snapshot.grants.find(locator(key), names, labels_wanted(GrantOperation.ENCRYPT, have), search, may_wait=True)


def cached_entries(snapshot: Snapshot) -> tuple[int, int]:
    """Return the number of cached entries, as the cache counts them and as they are.

    Entries are grants, labels, pages of labels, and one for each grantee.
    """
    return snapshot.grants._size, sum(
        len(each) for holders in snapshot.grants._cached.values() for each in holders.values()
    )


def test_a_grant_is_found_from_its_creation_until_its_removal(store: Store, snapshot: Snapshot) -> None:
    grant, other = make_grant(1, to="alice", constraints=subset(tenant="t1")), make_grant(2, to="alice", key=2)
    assert found(snapshot, "alice") is None
    add_grants(store, grant, other)
    assert found(snapshot, "alice") == grant
    assert found(snapshot, "bob", "alice") == grant
    assert found(snapshot, "bob") is None
    assert found(snapshot, "alice", tenant="t2") is None
    assert found(snapshot, "alice", key=2) == other
    remove_grant(store, grant)
    assert found(snapshot, "alice") is None
    assert found(snapshot, "alice", key=2) == other


def test_grants_to_the_first_name_are_found_first(store: Store, snapshot: Snapshot) -> None:
    add_grants(store, make_grant(1, to="account"), make_grant(2, to="alice"))
    assert found(snapshot, "alice", "account") == make_grant(2, to="alice")


def test_an_erased_key_has_no_grants(store: Store, snapshot: Snapshot) -> None:
    add_grants(store, make_grant(1, to="alice"))
    assert found(snapshot, "alice") is not None
    store.write(lambda transaction: transaction.erase_key(make_key(1)))
    assert found(snapshot, "alice") is None


def test_the_cache_stays_within_its_limit(store: Store, snapshot: Snapshot) -> None:
    grants = [make_grant(number, to="alice") for number in range(1, 5)]
    assert found(snapshot, "alice") is None
    assert cached_entries(snapshot) == (1, 1)
    add_grants(store, *grants)
    assert found(snapshot, "alice") is not None
    # The grantee, a label, its file and four grants.
    assert cached_entries(snapshot) == (7, 7)
    remove_grant(store, grants[0])
    assert found(snapshot, "alice") is not None
    assert cached_entries(snapshot) == (6, 6)
    for name in ("bob", "carol", "dave", "eve"):
        found(snapshot, name)
    assert cached_entries(snapshot) == (10, 10)
    # One more does not fit: the key that was cached first is evicted, and read again when it is needed.
    assert found(snapshot, "alice", key=2) is None
    assert cached_entries(snapshot) == (1, 1)
    assert found(snapshot, "alice") is not None
    assert cached_entries(snapshot) == (7, 7)


def test_only_grants_that_a_call_could_use_are_read(store: Store, snapshot: Snapshot) -> None:
    add_grants(store, *(make_grant(n, to="alice", constraints=subset(app="shop", tenant=f"t{n}")) for n in range(1000)))
    for number in (700, 5):
        grant = found(snapshot, "alice", tenant=f"t{number}")
        assert grant is None or grant.constraints == subset(app="shop", tenant=f"t{number}")
    (holder,) = snapshot.grants._cached[locator(1)].values()
    assert len(holder.index) < 5


def test_of_many_similar_grants_a_few_are_read_and_all_only_if_none_permits(store: Store, snapshot: Snapshot) -> None:
    grants = [make_grant(number, GrantOperation.DECRYPT, to="alice") for number in range(250)]
    add_grants(store, *grants)
    assert found(snapshot, "alice") is None
    (holder,) = snapshot.grants._cached[locator(1)].values()
    assert len(holder.index) == 250
    add_grants(store, *(make_grant(number, to="bob") for number in range(1000, 1250)))
    first = found(snapshot, "bob")
    assert first == make_grant(1000, to="bob")
    holder = snapshot.grants._cached[locator(1)]["bob"]
    assert len(holder.index) == 100
    # Remove one grant that was not read yet, and all that were.
    for number in (1100, *range(1000, 1100)):
        remove_grant(store, make_grant(number, to="bob"))
    assert found(snapshot, "bob") == make_grant(1101, to="bob")
    add_grants(store, make_grant(250, to="alice"))
    assert found(snapshot, "alice") == make_grant(250, to="alice")


def test_a_worker_that_fell_behind_a_trimmed_change_log_empties_its_cache(store: Store, snapshot: Snapshot) -> None:
    grant = make_grant(1, to="alice")
    add_grants(store, grant)
    assert found(snapshot, "alice") == grant
    remove_grant(store, grant)
    add_grants(store, make_grant(2, to="bob"))
    store.trim_changes(1)
    assert found(snapshot, "alice") is None
