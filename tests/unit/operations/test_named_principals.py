"""How principals in policies are checked, pinned to unique ids, and shown with their current names."""

import json

import pytest
from msgspec.structs import replace

from policies import AWAY, HOME, allow, document, others
from strongroom.iam import PolicyKind, parse_policy
from strongroom.iam.entities import Role, User
from strongroom.keys.grants import Party
from strongroom.operations.named_principals import (
    UnknownPrincipal,
    current_names,
    party,
    pin,
    shown_name,
    with_current_names,
)
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
    rest = ("*", ROOT, HOME, alice.unique_id, session, "S:backup.amazonaws.com", "F:oidc.example.com")
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
        f"arn:aws:sts::{HOME}:assumed-role/worker/job",
        f"arn:aws-cn:sts::{HOME}:assumed-role/Worker/job",
        f"arn:aws:iam::{HOME}:assumed-role/Worker/job",
        f"arn:aws:sts::{HOME}:federated-user/visitor",
        f"arn:aws:sts::{HOME}:user/alice",
        f"arn:aws:sts::{HOME}:root",
        f"arn:elsewhere:iam::{HOME}:root",
        "AIDACAROLCAROLCAROL",
    ],
)
def test_principals_that_do_not_exist_are_refused(store: SqlStore, principal: str) -> None:
    with pytest.raises(UnknownPrincipal):
        pinned(store, alice.arn, principal)


@pytest.mark.parametrize(
    "principal",
    [
        f"urn:aws:iam::{HOME}:root",
        f"arn:aws:iam::{HOME}",
        "arn:aws:iam:",
        "root",
        "",
        "x..amazonaws.com",
        f"arn:aws:sts::{HOME}:root",
        f"arn:x:s3:eu:{HOME}:root",
        f"arn:aws:iam:eu:{HOME}:root",
        f"arn:aws:iam::{AWAY}:root",
        AWAY,
        f"arn:aws:iam::{HOME}:user/ALICE",
        f"arn:aws:sts::{HOME}:federated-user/visitor",
        # Conditions on kms:GranteePrincipal compare ARNs.
        alice.unique_id,
        worker.unique_id,
    ],
)
def test_a_grant_is_not_made_to_text_that_is_no_principal(store: SqlStore, principal: str) -> None:
    with store.read() as reader:
        assert party(reader, ROOT, "us-east-1") == Party(ROOT, HOME)
        with pytest.raises(UnknownPrincipal):
            party(reader, principal, "us-east-1")


@pytest.mark.parametrize("principal", [HOME, ROOT, f"arn:aws-cn:iam::{HOME}:root"])
@pytest.mark.parametrize(("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn")])
def test_all_names_of_an_account_are_shown_as_one(store: SqlStore, principal: str, region: str, partition: str) -> None:
    shown = f"arn:{partition}:iam::{HOME}:root"
    assert shown_name(principal, region) == shown
    with store.read() as reader:
        assert party(reader, principal, region) == Party(shown, HOME)


def test_a_party_has_one_name_whatever_text_means_it(store: SqlStore) -> None:
    """Two texts for one party would let a caller choose which of them a condition sees."""
    texts = [HOME, ROOT, alice.arn, alice.unique_id, bob.arn, worker.arn, worker.unique_id, "backup.amazonaws.com"]
    texts.append(f"arn:aws:sts::{HOME}:assumed-role/Worker/job")
    for each in list(texts):
        spelled = [each.upper(), each.lower(), each.replace("arn:aws:", "arn:aws-cn:"), each.replace("iam::", "sts::")]
        spelled += [each.replace("iam::", "iam:us-east-1:"), f"{each}/", f" {each}", each.replace("user/", "user//")]
        texts += spelled
    shown: dict[str, set[str]] = {}
    with store.read() as reader:
        for each in texts:
            try:
                found = party(reader, each, "us-east-1")
            except UnknownPrincipal:
                continue
            assert shown_name(each, "us-east-1") == found.shown
            shown.setdefault(found.name, set()).add(found.shown)
    assert len(shown) >= 6
    assert {name for name, names in shown.items() if len(names) > 1} == set()


def test_grants_are_found_by_unique_id_too(store: SqlStore) -> None:
    with store.read() as reader:
        for each in (alice, worker):
            assert party(reader, each.unique_id, "us-east-1", by_id=True).name == each.unique_id
        with pytest.raises(UnknownPrincipal):
            party(reader, "AIDACAROLCAROLCAROL", "us-east-1", by_id=True)


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
