"""How principals in policies are checked, pinned to unique ids, and shown with their current names."""

import json

import pytest
from msgspec.structs import replace

from policies import AWAY, HOME, allow, document, others
from strongroom.iam import PolicyKind, parse_policy
from strongroom.iam.entities import Role, User
from strongroom.keys.grants import Party
from strongroom.operations.named_principals import UnknownPrincipal, current_names, party, pin, with_current_names
from strongroom.store.protocol import Transaction
from strongroom.store.records import AccountRecord
from strongroom.store.sqlite.store import SqlStore

ROOT = f"arn:aws:iam::{HOME}:root"
alice = User(account=HOME, name="alice", unique_id="AIDAALICEALICEALICE", created_at=1.0)
bob = User(account=HOME, name="bob", unique_id="AIDABOBBOBBOBBOB", created_at=1.0, path="/staff/")
worker = Role(account=HOME, name="Worker", unique_id="AROAWORKERWORKER", created_at=1.0, trust_policy="{}")


@pytest.fixture(autouse=True)
def known(store: SqlStore) -> None:
    def change(transaction: Transaction) -> None:
        transaction.add_account(AccountRecord(HOME, 1.0))
        for entity in (alice, bob, worker):
            transaction.put_entity(entity)

    store.write(change)


def pinned(store: SqlStore, *principals: str) -> dict[str, str]:
    named = parse_policy(document(allow(*principals)), PolicyKind.RESOURCE).principals
    with store.read() as reader:
        return dict(pin(reader, named))


def test_only_users_and_roles_are_pinned_to_unique_ids(store: SqlStore) -> None:
    session = f"arn:aws:sts::{HOME}:assumed-role/Worker/job"
    federated = f"arn:aws:sts::{HOME}:federated-user/visitor"
    rest = ("*", ROOT, HOME, alice.unique_id, session, federated, "S:backup.amazonaws.com", "F:oidc.example.com")
    assert pinned(store, alice.arn, bob.arn, worker.arn, *rest) == {
        each.arn: each.unique_id for each in (alice, bob, worker)
    }
    assert pinned(store, *rest) == {}


@pytest.mark.parametrize(
    "principal",
    [
        AWAY,
        f"arn:aws:iam::{AWAY}:root",
        f"arn:aws:iam::{HOME}:user/carol",
        f"arn:aws:iam::{HOME}:user/bob",
        f"arn:aws:iam::{HOME}:user/staff/alice",
        f"arn:aws:iam::{HOME}:user/Alice",
        f"arn:aws:iam::{HOME}:role/alice",
        f"arn:aws-cn:iam::{HOME}:user/alice",
        f"arn:aws:sts::{HOME}:assumed-role/Nothing/job",
        f"arn:aws:sts::{AWAY}:federated-user/visitor",
        "AIDACAROLCAROLCAROL",
    ],
)
def test_principals_that_do_not_exist_are_refused(store: SqlStore, principal: str) -> None:
    with pytest.raises(UnknownPrincipal):
        pinned(store, alice.arn, principal)


@pytest.mark.parametrize(
    "principal",
    [f"urn:aws:iam::{HOME}:root", f"arn:aws:iam::{HOME}", "arn:aws:iam:", "root"],
)
def test_a_grant_is_not_made_to_text_that_is_no_principal(store: SqlStore, principal: str) -> None:
    with store.read() as reader:
        assert party(reader, ROOT) == Party(ROOT, HOME)
        with pytest.raises(UnknownPrincipal):
            party(reader, principal)


def test_renamed_users_have_their_new_arn_and_deleted_ones_their_unique_id(store: SqlStore) -> None:
    pins = [(each.arn, each.unique_id) for each in (alice, bob, worker)]
    renamed = replace(bob, name="bobby", path="/")

    def change(transaction: Transaction) -> None:
        transaction.put_entity(renamed, bob)
        transaction.remove_entity(worker)

    store.write(change)
    with store.read() as reader:
        assert current_names(reader, pins) == {bob.arn: renamed.arn, worker.arn: worker.unique_id}


def test_only_principal_elements_show_new_names(store: SqlStore) -> None:
    condition = {"StringEquals": {"aws:PrincipalArn": bob.arn}}
    statements = [
        allow(alice.arn, bob.arn, "S:backup.amazonaws.com"),
        allow("*", when=condition),
        others("Deny", bob.arn),
        {"Sid": bob.arn, "Effect": "Allow", "Principal": {"AWS": bob.arn}, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": bob.arn},
    ]
    text = document(*statements)
    pins = [(each.arn, each.unique_id) for each in (alice, bob)]
    with store.read() as reader:
        assert with_current_names(reader, text, pins) == text

    def change(transaction: Transaction) -> None:
        swapped = replace(alice, name="bob", path="/staff/")
        transaction.remove_entity(bob)
        transaction.put_entity(swapped, alice)
        transaction.put_entity(replace(bob, name="alice", path="/"))

    store.write(change)
    with store.read() as reader:
        shown = json.loads(with_current_names(reader, text, pins))["Statement"]
    first, by_condition, inverted, single, by_resource = shown
    assert first["Principal"] == {"AWS": [bob.arn, alice.arn], "Service": ["backup.amazonaws.com"]}
    assert (by_condition, by_resource) == (statements[1], statements[4])
    assert inverted["NotPrincipal"] == {"AWS": [alice.arn]}
    assert (single["Principal"], single["Sid"]) == ({"AWS": alice.arn}, bob.arn)
