"""The contract of every store for grants. The same tests run with each back end."""

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from grants_builder import HOLDER, equals, make_grant, subset
from keys_builder import locator, make_key
from strongroom.keys.grants import (
    ANY_CONTEXT,
    NO_CONTEXT,
    Grant,
    GrantOperation,
    labels_wanted,
    pairs,
    possible_labels,
)
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import ChangeKind, GrantFilter

NOW = 1_790_000_000.0
ACCOUNT = "111122223333"
REGION = "us-east-1"


def add(store: Store, key: KmsKey) -> KmsKey:
    store.write(lambda transaction: transaction.add_key(key))
    return key


def add_grants(store: Store, *grants: Grant) -> None:
    def change(transaction: Transaction) -> None:
        for grant in grants:
            transaction.add_grant(grant)

    store.write(change)


def test_a_grant_is_read_as_it_was_written(store: Store) -> None:
    add(store, make_key(1))
    grants = [
        make_grant(1),
        make_grant(2, GrantOperation.DECRYPT, GrantOperation.RETIRE_GRANT, constraints=subset(a="1"), name="n"),
        make_grant(3, constraints=replace(equals(a="\u00e9", b=""), source_arn="arn"), retiring="AIDABOB"),
        replace(make_grant(4, constraints=equals()), issuing_account="444455556666"),
    ]
    add_grants(store, *grants)
    with store.read() as reader:
        assert [reader.grant(grant.locator, grant.grant_id) for grant in grants] == grants
        assert reader.grant(locator(1), "0" * 64) is None
        assert reader.grant(locator(2), grants[0].grant_id) is None
        assert reader.grant(replace(locator(1), region="eu-west-1"), grants[0].grant_id) is None


def test_grants_are_found_by_the_encryption_context_that_a_call_needs_to_use_them(store: Store) -> None:
    add(store, make_key(1))
    shared = [make_grant(n, constraints=subset(app="shop", tenant=f"{n}")) for n in range(20)]
    exact = make_grant(20, constraints=equals(App="shop", tenant="1"))
    free = make_grant(21, GrantOperation.ENCRYPT, GrantOperation.DESCRIBE_KEY)
    only_shown = make_grant(22, GrantOperation.DESCRIBE_KEY, constraints=subset(tenant="1"))
    add_grants(store, *shared, exact, free, only_shown)

    def could_permit(operation: GrantOperation, **context: str) -> list[Grant]:
        with store.read() as reader:
            labels = dict.fromkeys(labels_wanted(operation, pairs(context)))
            found = [reader.grants_to(locator(1), HOLDER, label, "", 99) for label in labels]
            assert {*labels} - {ANY_CONTEXT} - reader.labels_of_grants_to(locator(1), HOLDER) == {
                label for label, grants in zip(labels, found, strict=True) if not grants
            }
        return sorted((grant for grants in found for grant in grants), key=lambda grant: grant.grant_id)

    assert could_permit(GrantOperation.ENCRYPT) == [free]
    # One of them is indexed by the pair that all have in common.
    common = could_permit(GrantOperation.ENCRYPT, app="shop")
    assert common == [shared[0], free]
    assert could_permit(GrantOperation.ENCRYPT, app="shop", tenant="19", more="x") == [shared[0], shared[19], free]
    assert could_permit(GrantOperation.ENCRYPT, app="shop", tenant="1") == [shared[0], shared[1], exact, free]
    assert could_permit(GrantOperation.DESCRIBE_KEY, app="shop", tenant="1") == [free, only_shown]
    assert could_permit(GrantOperation.RETIRE_GRANT) == [free, only_shown]
    assert possible_labels(only_shown) == ()


def test_grants_are_found_by_grantee_name_and_id_on_their_key_only(store: Store) -> None:
    for number in (1, 2):
        add(store, make_key(number))
    to_alice = [
        make_grant(1, to="AIDAALICE", name="n"),
        make_grant(2, to="AIDAALICE", name="m"),
        make_grant(3, GrantOperation.DECRYPT, to="AIDAALICE", name="n"),
    ]
    to_bob = make_grant(4, to="AIDABOB")
    elsewhere = make_grant(5, to="AIDAALICE", name="n", key=2)
    add_grants(store, *to_alice, to_bob, elsewhere)
    with store.read() as reader:
        assert reader.labels_of_grants_to(locator(1), "AIDAALICE") == {NO_CONTEXT}
        assert reader.labels_of_grants_to(locator(1), "AIDACAROL") == set()
        assert reader.grants_to(locator(1), "AIDAALICE", NO_CONTEXT, "", 9) == to_alice
        assert reader.grants_to(locator(1), "AIDAALICE", NO_CONTEXT, "", 2) == to_alice[:2]
        assert reader.grants_to(locator(1), "AIDAALICE", NO_CONTEXT, to_alice[0].grant_id, 9) == to_alice[1:]
        assert reader.grants_to(locator(1), "AIDACAROL", NO_CONTEXT, "", 9) == []
        assert reader.grants_to(locator(2), "AIDAALICE", NO_CONTEXT, "", 9) == [elsewhere]
        assert {grant.grant_id for grant in reader.grants_named(locator(1), "n")} == {f"{1:064x}", f"{3:064x}"}
        assert reader.grants_named(locator(2), "m") == []
        assert (reader.count_grants(locator(1)), reader.count_grants(locator(2))) == (4, 1)
        assert reader.grants(locator(1), GrantFilter(), "", 9) == [*to_alice, to_bob]
        assert reader.grants(locator(1), GrantFilter(grantee="AIDABOB"), "", 9) == [to_bob]
        assert reader.grants(locator(1), GrantFilter(grant_id=to_bob.grant_id), "", 9) == [to_bob]
        assert reader.grants(locator(1), GrantFilter(to_bob.grant_id, "AIDAALICE"), "", 9) == []


def test_grants_are_listed_by_id_and_paged(store: Store) -> None:
    add(store, make_key(1))
    grants = [make_grant(number) for number in range(1, 8)]
    add_grants(store, *reversed(grants))
    with store.read() as reader:
        assert reader.grants(locator(1), GrantFilter(), "", 3) == grants[:3]
        assert reader.grants(locator(1), GrantFilter(), grants[2].grant_id, 3) == grants[3:6]
        assert reader.grants(locator(1), GrantFilter(), grants[6].grant_id, 3) == []


def test_the_grants_a_principal_may_retire_are_on_any_key_of_the_region(store: Store) -> None:
    for key in (make_key(1), make_key(2), replace(make_key(3), account="444455556666")):
        add(store, key)
    abroad = replace(make_key(4), region="eu-west-1")
    add(store, abroad)
    # Two grants may have the same id if their keys differ.
    mine = [
        make_grant(1, key=2, retiring="AIDABOB"),
        make_grant(2, key=1, retiring="AIDABOB"),
        make_grant(2, key=2, retiring="AIDABOB"),
        replace(make_grant(3, key=3, retiring="AIDABOB"), account="444455556666"),
    ]
    others = [
        make_grant(4, key=1, retiring="AIDACAROL"),
        make_grant(5, key=1),
        replace(make_grant(6, key=4, retiring="AIDABOB"), region="eu-west-1"),
    ]
    add_grants(store, *others, *reversed(mine))
    with store.read() as reader:
        assert reader.retirable_grants(REGION, "AIDABOB", "", 9) == mine
        assert reader.retirable_grants(REGION, "AIDABOB", "", 2) == mine[:2]
        assert reader.retirable_grants(REGION, "AIDABOB", f"{mine[1].grant_id}/{mine[1].key_id}", 9) == mine[2:]
        assert reader.retirable_grants("eu-west-1", "AIDABOB", "", 9) == [others[2]]


def test_a_removed_grant_is_gone_and_the_others_are_not(store: Store) -> None:
    add(store, make_key(1))
    gone, kept = make_grant(1, retiring="AIDABOB"), make_grant(2, retiring="AIDABOB")
    add_grants(store, gone, kept)
    store.write(lambda transaction: transaction.remove_grant(gone))
    with store.read() as reader:
        assert reader.grant(gone.locator, gone.grant_id) is None
        assert reader.grants(locator(1), GrantFilter(), "", 9) == [kept]
        assert reader.retirable_grants(REGION, "AIDABOB", "", 9) == [kept]


def test_erasing_a_key_erases_its_grants(store: Store) -> None:
    one, two = add(store, make_key(1)), add(store, make_key(2))
    kept = make_grant(1, key=2, retiring="AIDABOB")
    add_grants(store, make_grant(1, retiring="AIDABOB"), make_grant(2), kept)
    store.write(lambda transaction: transaction.erase_key(one))
    with store.read() as reader:
        assert reader.count_grants(one.locator) == 0
        assert reader.retirable_grants(REGION, "AIDABOB", "", 9) == [kept]
        assert reader.count_grants(two.locator) == 1


def test_the_change_log_has_an_entry_for_each_changed_grant(store: Store) -> None:
    key = add(store, make_key(1))
    start, grant = store.changes(0).last, make_grant(1)
    add_grants(store, grant)
    store.write(lambda transaction: transaction.remove_grant(grant))
    name = f"{key.key_id}/{grant.grant_id}"
    assert [(each.kind, each.account, each.region, each.name) for each in store.changes(start).entries] == [
        (ChangeKind.GRANT, ACCOUNT, REGION, name)
    ] * 2
    start = store.changes(0).last
    store.write(lambda transaction: transaction.erase_key(key))
    assert (ChangeKind.GRANT, f"{key.key_id}/") in [(each.kind, each.name) for each in store.changes(start).entries]


def test_a_grant_on_a_key_that_does_not_exist_is_refused(store: Store) -> None:
    with pytest.raises(IntegrityError):
        add_grants(store, make_grant(1))


def test_a_grant_is_inserted_only_below_the_limit_of_its_key(store: Store) -> None:
    for number in (1, 2):
        add(store, make_key(number))

    def added(number: int, key: int = 1) -> bool:
        return store.write(lambda transaction: transaction.add_grant(make_grant(number, key=key), 2))

    assert [added(number) for number in range(3)] == [True, True, False]
    assert added(4, key=2)
    with store.read() as reader:
        assert reader.count_grants(locator(1)) == 2


def test_the_same_terms_are_granted_once_under_a_name(store: Store) -> None:
    for number in (1, 2):
        add(store, make_key(number))
    terms = subset(b="2", a="1")
    both = (GrantOperation.ENCRYPT, GrantOperation.DECRYPT)
    add_grants(store, make_grant(1, *both, constraints=terms, name="n"))
    again = replace(make_grant(2, *reversed(both), constraints=subset(a="1", b="2"), name="n"), created_at=NOW + 1)
    with pytest.raises(IntegrityError):
        store.write(lambda transaction: transaction.add_grant(again))
    with pytest.raises(IntegrityError):
        store.write(lambda transaction: transaction.add_grant(again, 9))
    add_grants(
        store,
        make_grant(3, *both, constraints=terms, name="m"),
        make_grant(4, *both, constraints=terms, name="n", key=2),
        make_grant(5, *both, constraints=terms),
        make_grant(6, *both, constraints=terms),
        make_grant(7, *both, constraints=subset(a="1"), name="n"),
    )
