"""The worker's grants: kept current one at a time, and never more of them than it was told to hold."""

import pytest

from grants_builder import make_grant, subset
from keys_builder import locator, make_key
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.keys.grants import Grant, GrantIndex, GrantOperation, labels_wanted, pairs
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


def give(store: Store, *grants: Grant) -> None:
    def change(transaction: Transaction) -> None:
        for grant in grants:
            transaction.add_grant(grant)

    store.write(change)


def end(store: Store, grant: Grant) -> None:
    store.write(lambda transaction: transaction.remove_grant(grant))


def found(snapshot: Snapshot, *names: str, key: int = 1, tenant: str = "t1") -> Grant | None:
    def search(index: GrantIndex) -> Grant | None:
        return index.find(GrantOperation.ENCRYPT, have, None)

    have = pairs({"tenant": tenant})
    snapshot.refresh()
    return snapshot.grants.find(locator(key), names, labels_wanted(GrantOperation.ENCRYPT, have), search, may_wait=True)


def held(snapshot: Snapshot) -> tuple[int, int]:
    """Return what is held, as it is counted and as it is: grants, labels, files, and one for each holder."""
    return snapshot.grants._size, sum(
        len(each) for holders in snapshot.grants._cached.values() for each in holders.values()
    )


def test_a_grant_is_found_as_soon_as_it_is_there_and_no_longer(store: Store, snapshot: Snapshot) -> None:
    grant, other = make_grant(1, to="alice", constraints=subset(tenant="t1")), make_grant(2, to="alice", key=2)
    assert found(snapshot, "alice") is None
    give(store, grant, other)
    assert found(snapshot, "alice") == grant
    assert found(snapshot, "bob", "alice") == grant
    assert found(snapshot, "bob") is None
    assert found(snapshot, "alice", tenant="t2") is None
    assert found(snapshot, "alice", key=2) == other
    end(store, grant)
    assert found(snapshot, "alice") is None
    assert found(snapshot, "alice", key=2) == other


def test_the_closest_name_comes_first(store: Store, snapshot: Snapshot) -> None:
    give(store, make_grant(1, to="account"), make_grant(2, to="alice"))
    assert found(snapshot, "alice", "account") == make_grant(2, to="alice")


def test_an_erased_key_has_no_grants(store: Store, snapshot: Snapshot) -> None:
    give(store, make_grant(1, to="alice"))
    assert found(snapshot, "alice") is not None
    store.write(lambda transaction: transaction.erase_key(make_key(1)))
    assert found(snapshot, "alice") is None


def test_what_is_held_stays_within_its_bound(store: Store, snapshot: Snapshot) -> None:
    grants = [make_grant(number, to="alice") for number in range(1, 5)]
    assert found(snapshot, "alice") is None
    assert held(snapshot) == (1, 1)
    give(store, *grants)
    assert found(snapshot, "alice") is not None
    # The holder, a label, its file and four grants.
    assert held(snapshot) == (7, 7)
    end(store, grants[0])
    assert found(snapshot, "alice") is not None
    assert held(snapshot) == (6, 6)
    for name in ("bob", "carol", "dave", "eve"):
        found(snapshot, name)
    assert held(snapshot) == (10, 10)
    # One more does not fit: the key that came first makes room, and is read again when it is needed.
    assert found(snapshot, "alice", key=2) is None
    assert held(snapshot) == (1, 1)
    assert found(snapshot, "alice") is not None
    assert held(snapshot) == (7, 7)


def test_only_grants_that_a_call_could_use_are_read(store: Store, snapshot: Snapshot) -> None:
    give(store, *(make_grant(n, to="alice", constraints=subset(app="shop", tenant=f"t{n}")) for n in range(1000)))
    for number in (700, 5):
        grant = found(snapshot, "alice", tenant=f"t{number}")
        assert grant is None or grant.constraints == subset(app="shop", tenant=f"t{number}")
    (holder,) = snapshot.grants._cached[locator(1)].values()
    assert len(holder.labels_read) < 5


def test_of_many_grants_alike_a_few_are_read_and_all_only_where_none_permits(store: Store, snapshot: Snapshot) -> None:
    grants = [make_grant(number, GrantOperation.DECRYPT, to="alice") for number in range(250)]
    give(store, *grants)
    assert found(snapshot, "alice") is None
    (holder,) = snapshot.grants._cached[locator(1)].values()
    assert len(holder.labels_read) == 250
    give(store, *(make_grant(number, to="bob") for number in range(1000, 1250)))
    first = found(snapshot, "bob")
    assert first == make_grant(1000, to="bob")
    holder = snapshot.grants._cached[locator(1)]["bob"]
    assert len(holder.labels_read) == 100
    # One that was not read yet ends, and so do those that were.
    for number in (1100, *range(1000, 1100)):
        end(store, make_grant(number, to="bob"))
    assert found(snapshot, "bob") == make_grant(1101, to="bob")
    give(store, make_grant(250, to="alice"))
    assert found(snapshot, "alice") == make_grant(250, to="alice")


def test_a_worker_that_fell_behind_a_trimmed_log_reads_anew(store: Store, snapshot: Snapshot) -> None:
    grant = make_grant(1, to="alice")
    give(store, grant)
    assert found(snapshot, "alice") == grant
    end(store, grant)
    give(store, make_grant(2, to="bob"))
    store.trim_changes(1)
    assert found(snapshot, "alice") is None
