"""Cache misses: none is filled if the call may not wait, and none with data that was changed meanwhile."""

import json
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from msgspec.structs import replace

from empty_database import put_empty_database
from grants_builder import make_grant, subset
from interrupted_store import InterruptedStore, commit_and_notice
from keys_builder import locator, make_key
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.iam.entities import ManagedPolicy, PolicyVersion, User
from strongroom.iam.request import AuthorizationRequest
from strongroom.keys.arns import AliasLocator
from strongroom.keys.grants import Grant, GrantOperation, UseSearch, labels_wanted, pairs
from strongroom.keys.kms_key import KmsKey
from strongroom.snapshot.miss import MustWait
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.protocol import Transaction
from strongroom.store.records import AliasRecord
from strongroom.store.sqlite.engine import open_sqlite

ALIAS = AliasLocator(locator(1).account, "us-east-1", "alias/one")
MATERIAL = f"{1:064x}"
POLICY = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}'
GRANTEE = "alice"
MAY_WAIT, CACHED_ONLY = True, False
ACCOUNT = locator(1).account


@pytest.fixture(params=["after a read", "within a read"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[InterruptedStore]:
    put_empty_database(tmp_path / "strongroom.db")
    store = InterruptedStore(open_sqlite(tmp_path / "strongroom.db"))
    store.after = request.param == "after a read"
    store.write(add_keys)
    yield store
    store.close()


@pytest.fixture
def snapshot(store: InterruptedStore, key_backends: KeyBackends, service_secrets: ServiceSecrets) -> Snapshot:
    snapshot = Snapshot(store, key_backends, service_secrets)
    snapshot.refresh()
    return snapshot


def add_keys(transaction: Transaction) -> None:
    transaction.add_key(key())
    transaction.add_key(make_key(2))
    transaction.put_alias(AliasRecord(ALIAS, locator(1).key_id, 0.0, 0.0), None)


def key() -> KmsKey:
    return replace(make_key(1), policy=POLICY)


def document(effect: str) -> str:
    """Return an identity policy that allows or denies everything."""
    return json.dumps({"Version": "2012-10-17", "Statement": {"Effect": effect, "Action": "*", "Resource": "*"}})


def describe(store: InterruptedStore, text: str) -> None:
    def change(transaction: Transaction) -> None:
        before = transaction.key(locator(1))
        assert before is not None
        transaction.save_key(before, replace(before, description=text))

    store.write(change)


def give(store: InterruptedStore, *grants: Grant) -> None:
    def change(transaction: Transaction) -> None:
        for grant in grants:
            transaction.add_grant(grant)

    store.write(change)


def revoke(store: InterruptedStore, *grants: Grant) -> None:
    def change(transaction: Transaction) -> None:
        for grant in grants:
            transaction.remove_grant(grant)

    store.write(change)


def find_grant(snapshot: Snapshot, grantee: str = GRANTEE, *, may_wait: bool = True) -> Grant | None:
    search = UseSearch(GrantOperation.ENCRYPT, frozenset(), None)
    labels = labels_wanted(GrantOperation.ENCRYPT, frozenset())
    return snapshot.grants.find(locator(1), [grantee], labels, search, may_wait=may_wait)


def described(snapshot: Snapshot) -> str:
    active = snapshot.key(locator(1), may_wait=True)
    assert active is not None
    return active.key.description


LOOKUPS: dict[str, Callable[[Snapshot, bool], object]] = {
    "key": lambda snapshot, may_wait: snapshot.key(locator(1), may_wait=may_wait),
    "alias": lambda snapshot, may_wait: snapshot.alias(ALIAS, may_wait=may_wait),
    "key by alias": lambda snapshot, may_wait: snapshot.find(ALIAS, may_wait=may_wait),
    "key of a material": lambda snapshot, may_wait: snapshot.key_of_material("us-east-1", MATERIAL, may_wait=may_wait),
    "grant": lambda snapshot, may_wait: find_grant(snapshot, may_wait=may_wait),
}


@pytest.mark.parametrize("lookup", LOOKUPS)
def test_a_miss_reads_nothing_where_the_call_may_not_wait(
    store: InterruptedStore, snapshot: Snapshot, lookup: str
) -> None:
    give(store, make_grant(1, GrantOperation.ENCRYPT, to=GRANTEE))
    snapshot.refresh()
    look_up = LOOKUPS[lookup]
    reads = store.reads
    with pytest.raises(MustWait):
        look_up(snapshot, CACHED_ONLY)
    assert store.reads == reads
    found = look_up(snapshot, MAY_WAIT)
    assert found is not None
    reads = store.reads
    assert look_up(snapshot, CACHED_ONLY) == found
    assert store.reads == reads


@pytest.mark.parametrize("lookup", ["credential", "named", "role"])
def test_a_principal_that_is_not_cached_is_not_read_either(
    store: InterruptedStore, snapshot: Snapshot, lookup: str
) -> None:
    principals, reads = snapshot.principals, store.reads
    look_ups: dict[str, Callable[[], object]] = {
        "credential": lambda: principals.credential("AKIA", may_wait=False),
        "named": lambda: principals.named("arn:aws:iam::000000000000:user/alice", may_wait=False),
        "role": lambda: principals.role("000000000000", "role", may_wait=False),
    }
    with pytest.raises(MustWait):
        look_ups[lookup]()
    assert store.reads == reads


def test_a_session_token_that_was_not_issued_here_is_refused_without_waiting(snapshot: Snapshot) -> None:
    assert snapshot.principals.session("ASIA", "bm90IG91cnM=", may_wait=False) is None


def test_a_key_that_changed_while_it_was_read_is_read_again_by_the_next_call(
    store: InterruptedStore, snapshot: Snapshot
) -> None:
    store.interruption = commit_and_notice(snapshot, lambda: describe(store, "changed"))
    assert described(snapshot) == ""
    assert described(snapshot) == "changed"


def test_an_alias_that_moved_while_it_was_read_is_read_again_by_the_next_call(
    store: InterruptedStore, snapshot: Snapshot
) -> None:
    def move() -> None:
        moved = AliasRecord(ALIAS, locator(2).key_id, 0.0, 1.0)
        store.write(lambda transaction: transaction.put_alias(moved, locator(1).key_id))

    store.interruption = commit_and_notice(snapshot, move)
    assert snapshot.alias(ALIAS, may_wait=True) == locator(1).key_id
    assert snapshot.alias(ALIAS, may_wait=True) == locator(2).key_id


def test_a_managed_policy_that_changed_while_a_user_was_read_applies_to_every_later_call(
    store: InterruptedStore, snapshot: Snapshot
) -> None:
    allowed, denied = (PolicyVersion(each, document(effect), 0.0) for each, effect in ((1, "Allow"), (2, "Deny")))
    policy = ManagedPolicy(account=ACCOUNT, name="p", unique_id="ANPA", created_at=0.0, versions=(allowed, denied))
    user = User(account=ACCOUNT, name="u", unique_id="AIDA", created_at=0.0, attached=(policy.arn,))
    changed = replace(policy, default_version=2)

    def add(transaction: Transaction) -> None:
        transaction.put_entity(policy)
        transaction.put_entity(user)

    def is_allowed() -> bool:
        found = snapshot.principals.named(user.arn, may_wait=True)
        assert found is not None
        request = AuthorizationRequest(found.principal, "kms:ListKeys", "*")
        return found.policies.identity[0].allowance(request) is not None

    store.write(add)
    snapshot.refresh()
    store.interruption = commit_and_notice(
        snapshot, lambda: store.write(lambda transaction: transaction.put_entity(changed, policy))
    )
    assert is_allowed(), "this call began before the change"
    assert not is_allowed()


def test_a_grant_revoked_while_its_page_was_read_permits_no_later_call(
    store: InterruptedStore, snapshot: Snapshot
) -> None:
    grant = make_grant(1, GrantOperation.ENCRYPT, to=GRANTEE)
    give(store, grant)
    snapshot.refresh()
    # The labels are cached, so that the read which is interrupted is that of the page.
    snapshot.grants._of_grantee(locator(1), GRANTEE, may_wait=True)
    find_grant(snapshot, "bob")

    def revoke_and_call_again() -> None:
        revoke(store, grant)
        snapshot.refresh()
        # A call by another grantee reads what has changed on the key.
        find_grant(snapshot, "bob")

    store.interruption = revoke_and_call_again
    find_grant(snapshot)
    assert find_grant(snapshot) is None


def test_a_grant_created_while_the_labels_were_read_permits_the_next_call(
    store: InterruptedStore, snapshot: Snapshot
) -> None:
    grant = make_grant(1, GrantOperation.ENCRYPT, to=GRANTEE)
    store.interruption = commit_and_notice(snapshot, lambda: give(store, grant))
    find_grant(snapshot)
    assert find_grant(snapshot) == grant


def test_a_grant_revoked_while_it_is_read_again_permits_no_later_call(
    store: InterruptedStore, snapshot: Snapshot
) -> None:
    grant = make_grant(1, GrantOperation.ENCRYPT, to=GRANTEE)
    give(store, make_grant(2, GrantOperation.DECRYPT, to=GRANTEE))
    assert find_grant(snapshot) is None
    give(store, grant)
    snapshot.refresh()
    with pytest.raises(MustWait):
        find_grant(snapshot, may_wait=False)
    store.interruption = commit_and_notice(snapshot, lambda: revoke(store, grant))
    find_grant(snapshot)
    assert find_grant(snapshot) is None


def test_grants_that_change_all_the_time_are_read_for_one_call_alone(
    store: InterruptedStore, snapshot: Snapshot
) -> None:
    grant = make_grant(1, GrantOperation.ENCRYPT, to=GRANTEE)
    others = iter(range(1000, 2000))
    give(store, grant)
    snapshot.refresh()
    snapshot.grants._of_grantee(locator(1), GRANTEE, may_wait=True)

    def change_again() -> None:
        give(store, make_grant(next(others), GrantOperation.DECRYPT, to="bob"))
        snapshot.refresh()
        store.interruption = change_again

    store.interruption = change_again
    assert find_grant(snapshot) == grant
    store.interruption = None
    revoke(store, grant)
    snapshot.refresh()
    assert find_grant(snapshot) is None


def test_many_changed_grants_are_read_anew_all_together(store: InterruptedStore, snapshot: Snapshot) -> None:
    grants = [make_grant(number, GrantOperation.ENCRYPT, to="bob") for number in range(1100)]
    assert find_grant(snapshot) is None
    give(store, *grants, make_grant(5000, GrantOperation.ENCRYPT, to=GRANTEE))
    snapshot.refresh()
    assert snapshot.grants._cached == {}
    assert find_grant(snapshot) == make_grant(5000, GrantOperation.ENCRYPT, to=GRANTEE)


def test_pages_of_grants_are_read_only_where_the_call_may_wait(store: InterruptedStore, snapshot: Snapshot) -> None:
    give(store, *(make_grant(number, GrantOperation.DECRYPT, to=GRANTEE) for number in range(950)))
    snapshot.refresh()
    snapshot.grants._of_grantee(locator(1), GRANTEE, may_wait=True)
    reads = store.reads
    with pytest.raises(MustWait):
        find_grant(snapshot, may_wait=False)
    assert store.reads == reads
    assert find_grant(snapshot) is None
    assert store.reads == reads + 10
    assert find_grant(snapshot, may_wait=False) is None
    assert store.reads == reads + 10


def test_many_grants_are_compared_only_where_the_call_may_wait(store: InterruptedStore, snapshot: Snapshot) -> None:
    """The grants of every eight of these pairs: each pair of the call finds many, and none applies."""
    names = [f"name{number}" for number in range(13)]
    every = list(combinations(names, 8))
    give(store, *(make_grant(n, to=GRANTEE, constraints=subset(**dict.fromkeys(c, "1"))) for n, c in enumerate(every)))
    snapshot.refresh()

    def look_up(*, of: int, may_wait: bool) -> Grant | None:
        have = pairs(dict.fromkeys(names[:of], "1"))
        search = UseSearch(GrantOperation.ENCRYPT, have, None)
        labels = labels_wanted(GrantOperation.ENCRYPT, have)
        return snapshot.grants.find(locator(1), [GRANTEE], labels, search, may_wait=may_wait)

    assert look_up(of=7, may_wait=True) is None
    reads = store.reads
    with pytest.raises(MustWait):
        look_up(of=7, may_wait=False)
    assert look_up(of=7, may_wait=True) is None
    found = look_up(of=8, may_wait=True)
    assert found is not None
    assert found.constraints == subset(**dict.fromkeys(names[:8], "1"))
    assert look_up(of=13, may_wait=False) is not None
    assert store.reads == reads


def test_a_grant_that_another_call_reads_at_the_same_time_permits_both(
    store: InterruptedStore, snapshot: Snapshot
) -> None:
    """Another grant changes meanwhile, so the call reads no page to its end, and finds that there is none left."""
    grant = make_grant(1, GrantOperation.ENCRYPT, to=GRANTEE)
    give(store, grant)
    snapshot.refresh()
    # The next read is that of the page.
    snapshot.grants._of_grantee(locator(1), GRANTEE, may_wait=True)

    def meanwhile() -> None:
        give(store, make_grant(2, GrantOperation.ENCRYPT, to="bob"))
        snapshot.refresh()
        assert find_grant(snapshot) == grant

    store.interruption = meanwhile
    assert find_grant(snapshot) == grant
