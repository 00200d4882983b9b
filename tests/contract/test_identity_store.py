"""The contract of every store for identities and access keys. The same tests run with each back end."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from strongroom.clock import DAY
from strongroom.errors import DependencyTimeoutException
from strongroom.iam.entities import (
    Entity,
    EntityKind,
    Group,
    InlinePolicy,
    InstanceProfile,
    ManagedPolicy,
    OpenIdConnectProvider,
    PolicyVersion,
    Relation,
    Role,
    User,
)
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import (
    AccessKeyRecord,
    AccessKeyUse,
    AccountRecord,
    Change,
    ChangeKind,
    PasswordPolicy,
)
from strongroom.store.retries import WriteConflict

NOW = 1_790_000_000.0
ACCOUNT, OTHER = "111122223333", "444455556666"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/Keys"

alice = User(
    account=ACCOUNT,
    name="Alice",
    unique_id="AIDAALICE",
    created_at=NOW,
    path="/staff/",
    tags=(("team", "\u00e9"), ("x", "")),
    inline=(InlinePolicy("own", '{"a": "\u00e9"}'),),
    attached=(POLICY, "arn:aws:iam::aws:policy/ReadOnlyAccess"),
    boundary=POLICY,
    groups=("Crew",),
)
crew = Group(account=ACCOUNT, name="Crew", unique_id="AGPACREW", created_at=NOW, attached=(POLICY,))
worker = Role(
    account=ACCOUNT,
    name="Worker",
    unique_id="AROAWORKER",
    created_at=NOW,
    trust_policy="{}",
    trusted=((alice.arn, alice.unique_id),),
    description="works",
    max_session_seconds=7200,
    boundary=POLICY,
)
keys = ManagedPolicy(
    account=ACCOUNT,
    name="Keys",
    unique_id="ANPAKEYS",
    created_at=NOW,
    versions=(PolicyVersion(1, "{}", NOW), PolicyVersion(3, "{ }", NOW + 1)),
    default_version=3,
    last_version=4,
    updated_at=NOW + 2,
)
profile = InstanceProfile(
    account=ACCOUNT, name="Web", unique_id="AIPAWEB", created_at=NOW, path="/web/", role=worker.arn, tags=(("a", "b"),)
)
provider = OpenIdConnectProvider(
    account=ACCOUNT,
    name="oidc.example.com/" + "x" * 230,
    unique_id="OIDC1",
    created_at=NOW,
    client_ids=("app", "other"),
    thumbprints=("0" * 40,),
    keys='{"keys": []}',
)


def put(store: Store, *entities: Entity) -> None:
    def change(transaction: Transaction) -> None:
        for entity in entities:
            transaction.put_entity(entity)

    store.write(change)


def user(name: str, *, account: str = ACCOUNT, path: str = "/") -> User:
    return User(account=account, name=name, unique_id=f"AIDA{name}{account}", created_at=NOW, path=path)


def access_key(number: int, principal: str = "AIDAALICE", account: str = ACCOUNT) -> AccessKeyRecord:
    return AccessKeyRecord(f"AKIA{number}", account, principal, b"wrapped", active=True, created_at=NOW - number)


def test_entities_are_read_as_they_were_written(store: Store) -> None:
    put(store, alice, crew, worker, keys, profile, provider)
    with store.read() as reader:
        assert reader.entity(User, ACCOUNT, "Alice") == alice
        assert reader.entity(Group, ACCOUNT, "Crew") == crew
        assert reader.entity(Role, ACCOUNT, "Worker") == worker
        assert reader.entity(ManagedPolicy, ACCOUNT, "Keys") == keys
        assert reader.entity(InstanceProfile, ACCOUNT, "Web") == profile
        assert reader.entity(OpenIdConnectProvider, ACCOUNT, provider.name) == provider
        for entity in (alice, crew, worker, keys, profile, provider):
            assert reader.entity_by_id(entity.unique_id) == entity
        assert reader.entity_by_id("AIDANOBODY") is None


def test_names_are_case_insensitive_and_unique_for_each_type_and_account(store: Store) -> None:
    put(store, alice, replace(worker, name="alice"))
    with store.read() as reader:
        assert reader.entity(User, ACCOUNT, "aLICE") == alice
        assert reader.entity(User, OTHER, "Alice") is None
        assert reader.entity(Group, ACCOUNT, "Alice") is None
    put(store, user("Alice", account=OTHER))
    with pytest.raises(IntegrityError):
        put(store, user("ALICE"))
    with pytest.raises(IntegrityError):
        put(store, replace(user("bob"), unique_id=alice.unique_id))


def test_a_changed_entity_replaces_the_old_one(store: Store) -> None:
    put(store, alice)
    after = replace(alice, name="Alicia", path="/", groups=(), boundary=None)
    store.write(lambda transaction: transaction.put_entity(after, alice))
    with store.read() as reader:
        assert reader.entity(User, ACCOUNT, "alice") is None
        assert reader.entity(User, ACCOUNT, "alicia") == reader.entity_by_id(alice.unique_id) == after
        assert reader.linked(ACCOUNT, "Crew") == []
        assert reader.linked(ACCOUNT, POLICY) == [(Relation.ATTACHED, EntityKind.USER, "alicia")]


def test_the_entities_that_refer_to_a_policy_or_a_group(store: Store) -> None:
    put(store, alice, crew, worker, replace(user("carol", account=OTHER), attached=(POLICY,)))
    with store.read() as reader:
        assert sorted(reader.linked(ACCOUNT, POLICY)) == [
            (Relation.ATTACHED, EntityKind.GROUP, "crew"),
            (Relation.ATTACHED, EntityKind.USER, "alice"),
            (Relation.BOUNDARY, EntityKind.ROLE, "worker"),
            (Relation.BOUNDARY, EntityKind.USER, "alice"),
        ]
        assert reader.linked(ACCOUNT, "Crew") == [(Relation.MEMBER, EntityKind.USER, "alice")]
    store.write(lambda transaction: transaction.remove_entity(alice))
    with store.read() as reader:
        assert reader.entity(User, ACCOUNT, "Alice") is None
        assert reader.entity_by_id(alice.unique_id) is None
        assert len(reader.linked(ACCOUNT, POLICY)) == 2
        assert reader.linked(ACCOUNT, "Crew") == []


def test_the_instance_profiles_that_have_a_role(store: Store) -> None:
    put(store, worker, profile, replace(profile, name="Other", unique_id="AIPAOTHER", role=None))
    with store.read() as reader:
        found = [(Relation.IN_PROFILE, EntityKind.INSTANCE_PROFILE, "web")]
        assert reader.linked(ACCOUNT, worker.arn) == found
    store.write(lambda transaction: transaction.put_entity(replace(profile, role=None), profile))
    with store.read() as reader:
        assert reader.linked(ACCOUNT, worker.arn) == []


def test_an_alias_is_one_accounts(store: Store) -> None:
    policy = PasswordPolicy(minimum_length=8, max_age_days=90)
    mine, theirs = AccountRecord(ACCOUNT, NOW), AccountRecord(OTHER, NOW + 1)
    store.write(lambda transaction: transaction.add_account(mine))
    store.write(lambda transaction: transaction.add_account(theirs))
    named = replace(mine, alias="mine", password_policy=policy)
    store.write(lambda transaction: transaction.save_account(named))
    with store.read() as reader:
        assert reader.account(ACCOUNT) == reader.account_with_alias("mine") == named
        assert reader.account(OTHER) == theirs
        assert reader.account("000000000000") is None
        assert reader.account_with_alias("theirs") is None
        assert reader.accounts() == [named, theirs]
    with pytest.raises(IntegrityError):
        store.write(lambda transaction: transaction.save_account(replace(theirs, alias="mine")))
    store.write(lambda transaction: transaction.save_account(mine))
    store.write(lambda transaction: transaction.save_account(replace(theirs, alias="mine")))
    assert [change.kind for change in store.changes(0).entries] == [ChangeKind.ACCOUNT] * 5
    with pytest.raises(WriteConflict):
        store.write(lambda transaction: transaction.save_account(replace(mine, account="000000000000")))


def test_lists_are_ordered_by_name_and_filtered_by_path_prefix(store: Store) -> None:
    paths = {"b": "/", "A": "/a/", "d": "/a/b/", "C": "/A/", "e": "/a_/", "f": "/ax/"}
    put(store, crew, user("z", account=OTHER), *(user(name, path=path) for name, path in paths.items()))

    def names(path: str, after: str = "", limit: int = 9) -> list[str]:
        with store.read() as reader:
            return [each.name for each in reader.entities(User, ACCOUNT, path, after, limit)]

    assert names("/") == ["A", "b", "C", "d", "e", "f"]
    assert names("/", "b", 2) == ["C", "d"]
    # A path prefix is case-sensitive, and has no wildcards.
    assert names("/a") == ["A", "d", "e", "f"]
    assert names("/a/") == ["A", "d"]
    assert names("/a_/") == ["e"]
    assert names("/%") == []


def test_access_keys_are_listed_by_principal_and_can_be_deactivated_and_removed(store: Store) -> None:
    older, newer, other = access_key(2), access_key(1), access_key(3, "AIDABOB")

    def change(transaction: Transaction) -> None:
        for record in (newer, older, other, access_key(4, account=OTHER)):
            transaction.add_access_key(record)
        transaction.set_access_key_active(newer, active=False)

    store.write(change)
    with store.read() as reader:
        assert reader.access_keys(ACCOUNT, "AIDAALICE") == [older, replace(newer, active=False)]
        assert reader.access_key("AKIA1") == replace(newer, active=False)

    def switch_and_remove(transaction: Transaction) -> None:
        transaction.set_access_key_active(newer, active=True)
        transaction.remove_access_key(older)

    store.write(switch_and_remove)
    with store.read() as reader:
        assert reader.access_keys(ACCOUNT, "AIDAALICE") == [newer]
        assert reader.access_key("AKIA2") is None
        assert reader.access_key("AKIA3") == other
    with pytest.raises(IntegrityError):
        store.write(lambda transaction: transaction.add_access_key(newer))


def test_services_are_principals_without_an_account(store: Store) -> None:
    def change(transaction: Transaction) -> None:
        for number, name in enumerate(("s3.amazonaws.com", "backup.amazonaws.com")):
            transaction.add_access_key(access_key(number, name, account=""))
        transaction.add_access_key(access_key(9))

    store.write(change)
    with store.read() as reader:
        assert reader.services() == ["backup.amazonaws.com", "s3.amazonaws.com"]


def test_the_last_use_of_an_access_key_is_not_in_the_change_log(store: Store) -> None:
    store.write(lambda transaction: transaction.add_access_key(access_key(1)))
    start = store.changes(0).last

    def change(transaction: Transaction) -> None:
        transaction.note_access_key_use(AccessKeyUse("AKIA1", NOW, "eu-west-1", "kms"), NOW)
        transaction.note_access_key_use(AccessKeyUse("AKIA9", NOW, "eu-west-1", "kms"), NOW)

    store.write(change)
    assert store.changes(start).entries == []
    with store.read() as reader:
        assert reader.access_key("AKIA1") == replace(
            access_key(1), last_used_at=NOW, last_used_region="eu-west-1", last_used_service="kms"
        )


def test_every_other_write_is_in_the_change_log(store: Store) -> None:
    def noted(since: int) -> list[tuple[ChangeKind, str, str, str]]:
        changes = store.changes(since)
        assert all(isinstance(each, Change) for each in changes.entries)
        return [(each.kind, each.account, each.region, each.name) for each in changes.entries]

    start = store.changes(0).last
    record, after = access_key(1), replace(alice, name="Alicia")

    def change(transaction: Transaction) -> None:
        transaction.put_entity(alice)
        transaction.put_entity(after, alice)
        transaction.remove_entity(after)
        transaction.add_access_key(record)
        transaction.set_access_key_active(record, active=False)
        transaction.remove_access_key(record)

    store.write(change)
    assert noted(start) == [
        *[(ChangeKind.IDENTITY, ACCOUNT, "", "AIDAALICE")] * 3,
        *[(ChangeKind.ACCESS_KEY, ACCOUNT, "", "AKIA1")] * 3,
    ]


def test_a_failed_change_of_an_identity_changes_nothing(store: Store) -> None:
    put(store, alice, user("bob"))
    start = store.changes(0).last
    with pytest.raises(IntegrityError):
        store.write(lambda transaction: transaction.put_entity(replace(alice, name="BOB", groups=()), alice))
    with store.read() as reader:
        assert reader.entity(User, ACCOUNT, "Alice") == alice
        assert reader.linked(ACCOUNT, "Crew") == [(Relation.MEMBER, EntityKind.USER, "alice")]
    assert store.changes(start).entries == []


def test_an_access_key_is_inserted_only_below_the_limit_of_its_principal(store: Store) -> None:
    def added(record: AccessKeyRecord) -> bool:
        return store.write(lambda transaction: transaction.add_access_key(record, 2))

    assert [added(access_key(number)) for number in range(3)] == [True, True, False]
    assert added(access_key(4, "AIDABOB"))
    with store.read() as reader:
        assert len(reader.access_keys(ACCOUNT, "AIDAALICE")) == 2


def test_a_service_has_one_access_key(store: Store) -> None:
    store.write(lambda transaction: transaction.add_access_key(access_key(1, "s3.amazonaws.com", account="")))
    with pytest.raises(IntegrityError):
        store.write(lambda transaction: transaction.add_access_key(access_key(2, "s3.amazonaws.com", account="")))


def test_a_use_of_an_access_key_in_the_future_is_replaced_by_the_next_one(store: Store) -> None:
    """The clock was ahead when it was noted."""
    store.write(lambda transaction: transaction.add_access_key(access_key(1)))
    wrong, right = (AccessKeyUse("AKIA1", NOW + at, "us-east-1", "kms") for at in (31 * DAY, 0))
    store.write(lambda transaction: transaction.note_access_key_use(wrong, NOW))
    store.write(lambda transaction: transaction.note_access_key_use(right, NOW))
    with store.read() as reader:
        record = reader.access_key("AKIA1")
    assert record is not None
    assert record.last_used_at == NOW


def test_a_later_use_of_an_access_key_is_not_replaced_by_an_earlier_one(store: Store) -> None:
    store.write(lambda transaction: transaction.add_access_key(access_key(1)))
    late, early = (AccessKeyUse("AKIA1", NOW + at, f"region-{at}", "kms") for at in (1, 0))
    store.write(lambda transaction: transaction.note_access_key_use(late, NOW))
    store.write(lambda transaction: transaction.note_access_key_use(early, NOW))
    with store.read() as reader:
        record = reader.access_key("AKIA1")
    assert record is not None
    assert (record.last_used_at, record.last_used_region) == (NOW + 1, "region-1")


def test_an_identity_or_access_key_that_is_not_there_any_more_is_neither_changed_nor_removed(store: Store) -> None:
    writes: list[Callable[[Transaction], object]] = [
        lambda transaction: transaction.put_entity(replace(alice, path="/"), alice),
        lambda transaction: transaction.remove_entity(alice),
        lambda transaction: transaction.set_access_key_active(access_key(1), active=False),
        lambda transaction: transaction.remove_access_key(access_key(1)),
    ]
    for write in writes:
        with pytest.raises(DependencyTimeoutException):
            store.write(write)
    put(store, replace(alice, unique_id="AIDANEWALICE"))
    with pytest.raises(DependencyTimeoutException):
        store.write(writes[0])
    assert [each.name for each in store.changes(0).entries] == ["AIDANEWALICE"]
