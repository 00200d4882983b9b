"""A write that no node has to acknowledge leaves nothing wrong in any cache, whatever was looked up before it.

One snapshot is told only of writes that have to settle. It must answer every question as one does that has just been
made. Were more said to be new than is, this would be found; the last test shows that.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from grants_builder import HOLDER, make_grant
from keys_builder import NOW, locator, make_key
from strongroom.crypto.binding import access_key_binding
from strongroom.crypto.domain_keys import IAM_SCOPE
from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.seal import SealedDomainKey
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.iam.entities import User
from strongroom.keys.arns import AliasLocator, KeyLocator
from strongroom.keys.grants import ANY_CONTEXT, GrantOperation, UseSearch
from strongroom.keys.states import KeyState
from strongroom.snapshot.snapshot import Snapshot
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import AccessKeyRecord, AccountRecord, AliasRecord, ChangeKind
from strongroom.store.sql.change_log import InsertedChanges

POLICY = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}'
ACCOUNT = locator(0).account
NAMES = 3
"""How many keys, aliases, access keys, users and accounts there may be in one example."""
_firsts = count(0, NAMES)

Marks = list[bool]


class World:
    """A store with a few names, and what can be done with them."""

    def __init__(self, store: Store, secrets: ServiceSecrets) -> None:
        # Each example has names of its own, of which nothing is there.
        self.first = next(_firsts)
        self._store = store
        self._secrets = secrets

    def locator(self, number: int) -> KeyLocator:
        return locator(self.first + number)

    def alias(self, number: int) -> AliasLocator:
        return AliasLocator(ACCOUNT, "us-east-1", f"alias/{self.first + number}")

    def access_key(self, number: int) -> AccessKeyRecord:
        name = f"AKIA{self.first + number:016}"
        secret = self._secrets.wrap(b"secret", access_key_binding(name))
        owner = self.user(number).unique_id
        return AccessKeyRecord(name, ACCOUNT, owner, secret, active=True, created_at=NOW)

    def user(self, number: int) -> User:
        name = f"user{self.first + number}"
        return User(account=ACCOUNT, name=name, unique_id=f"AIDA{self.first + number:016}", created_at=NOW)

    def account(self, number: int) -> str:
        return f"{self.first + number + 1:012}"

    # --- what is written: each returns False if it does not apply

    def make_key(self, transaction: Transaction, number: int, _other: int) -> bool:
        if transaction.key(self.locator(number)) is not None:
            return False
        return transaction.add_key(replace(make_key(self.first + number, tags=(("a", "b"),)), policy=POLICY))

    def change_key(self, transaction: Transaction, number: int, other: int) -> bool:
        key = transaction.key(self.locator(number))
        state = (KeyState.ENABLED, KeyState.DISABLED, KeyState.DISABLED)[other]
        if key is None or key.state is state:
            return False
        transaction.save_key(key, replace(key, state=state))
        return True

    def make_alias(self, transaction: Transaction, number: int, other: int) -> bool:
        key, alias = transaction.key(self.locator(other)), self.alias(number)
        if key is None or transaction.alias(alias) is not None:
            return False
        return transaction.put_alias(AliasRecord(alias, key.key_id, NOW, NOW), None)

    def remove_alias(self, transaction: Transaction, number: int, _other: int) -> bool:
        record = transaction.alias(self.alias(number))
        if record is None:
            return False
        transaction.remove_alias(record)
        return True

    def make_user(self, transaction: Transaction, number: int, _other: int) -> bool:
        if transaction.entity(User, ACCOUNT, self.user(number).name) is not None:
            return False
        transaction.put_entity(self.user(number))
        return True

    def make_access_key(self, transaction: Transaction, number: int, _other: int) -> bool:
        if transaction.access_key(self.access_key(number).access_key_id) is not None:
            return False
        return transaction.add_access_key(self.access_key(number))

    def switch_access_key(self, transaction: Transaction, number: int, other: int) -> bool:
        record = transaction.access_key(self.access_key(number).access_key_id)
        if record is None:
            return False
        transaction.set_access_key_active(record, active=bool(other))
        return True

    def make_account(self, transaction: Transaction, number: int, _other: int) -> bool:
        if transaction.account(self.account(number)) is not None:
            return False
        transaction.add_account(AccountRecord(self.account(number), NOW))
        return True

    def make_grant(self, transaction: Transaction, number: int, other: int) -> bool:
        if transaction.key(self.locator(other)) is None:
            return False
        grant = make_grant(self.first + number, key=self.first + other)
        return transaction.grant(self.locator(other), grant.grant_id) is None and transaction.add_grant(grant)

    # --- what is asked

    def answers(self, snapshot: Snapshot) -> list[object]:
        """Return what a snapshot answers to every question there is about these names."""
        return [answer for number in range(NAMES) for answer in self._about(snapshot, number)]

    def _about(self, snapshot: Snapshot, number: int) -> Iterator[object]:
        principals = snapshot.principals
        key = snapshot.key(self.locator(number), may_wait=True)
        yield None if key is None else key.key
        yield snapshot.alias(self.alias(number), may_wait=True)
        found = snapshot.key_of_material("us-east-1", f"{self.first + number:064x}", may_wait=True)
        yield None if found is None else found.key
        credential = principals.credential(self.access_key(number).access_key_id, may_wait=True)
        yield None if credential is None else (credential.principal, credential.secret)
        for arn in (self.user(number).arn, f"arn:aws:iam::{self.account(number)}:root"):
            named = principals.named(arn, may_wait=True)
            yield None if named is None else named.principal
        yield principals.role(ACCOUNT, self.user(number).name, may_wait=True)
        yield principals.oidc_provider(self.account(number), "https://issuer", may_wait=True)
        if key is not None:
            search = UseSearch(GrantOperation.ENCRYPT, frozenset(), None)
            grant = snapshot.grants.find(key.key.locator, [HOLDER], [ANY_CONTEXT], search, may_wait=True)
            yield None if grant is None else grant.grant_id


ACTIONS: Sequence[Callable[[World, Transaction, int, int], bool]] = (
    World.make_key,
    World.change_key,
    World.make_alias,
    World.remove_alias,
    World.make_user,
    World.make_access_key,
    World.switch_access_key,
    World.make_account,
    World.make_grant,
)
names = st.integers(0, NAMES - 1)
steps = st.lists(st.tuples(st.sampled_from(ACTIONS), names, names), min_size=1, max_size=14)


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> Marks:
    """Whether each entry of the change log of the last write was for something new."""
    seen: Marks = []
    whole = InsertedChanges.add

    def add(
        changes: InsertedChanges, kind: ChangeKind, account: str, region: str, name: str, *, is_new: bool = False
    ) -> None:
        seen.append(is_new)
        whole(changes, kind, account, region, name, is_new=is_new)

    monkeypatch.setattr(InsertedChanges, "add", add)
    return seen


class Scene:
    """Runs steps, and compares a snapshot that is told only of what has to settle with one that was just made."""

    def __init__(self, store: Store, key_backends: KeyBackends, secrets: ServiceSecrets, marks: Marks) -> None:
        self._parts = store, key_backends, secrets
        self._marks = marks
        self.needless = 0
        """How many writes were not told of."""

    def run(self, taken: Sequence[tuple[Callable[[World, Transaction, int, int], bool], int, int]]) -> None:
        store, _, secrets = self._parts
        world, late = World(store, secrets), Snapshot(*self._parts)
        late.refresh()
        assert world.answers(late) == world.answers(Snapshot(*self._parts))
        for action, number, other in taken:
            self._marks.clear()
            if not store.write(partial(_taken, action, world, number, other)):
                continue
            if all(self._marks):
                self.needless += 1
            else:
                late.refresh()
            assert world.answers(late) == world.answers(Snapshot(*self._parts))


def _taken(
    action: Callable[[World, Transaction, int, int], bool], world: World, number: int, other: int, at: Transaction
) -> bool:
    return action(world, at, number, other)


@pytest.fixture
def scene(store: Store, key_backends: KeyBackends, service_secrets: ServiceSecrets, marks: Marks) -> Scene:
    # What has wrapped the secrets of access keys.
    store.write(lambda transaction: transaction.add_domain_key(SealedDomainKey(IAM_SCOPE, 1, b"sealed")))
    return Scene(store, key_backends, service_secrets, marks)


several = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@several
@given(steps)
def test_what_has_no_need_to_settle_contradicts_no_cache(
    scene: Scene, taken: Sequence[tuple[Callable[[World, Transaction, int, int], bool], int, int]]
) -> None:
    scene.run(taken)


def test_new_keys_access_keys_and_accounts_have_no_need_to_settle(scene: Scene) -> None:
    scene.run([(each, 1, 1) for each in ACTIONS])
    assert scene.needless == 3


@pytest.mark.parametrize("kind", [ChangeKind.ALIAS, ChangeKind.GRANT, ChangeKind.KEY, ChangeKind.ACCESS_KEY])
def test_if_more_was_said_to_be_new_it_would_be_found(
    scene: Scene, marks: Marks, monkeypatch: pytest.MonkeyPatch, kind: ChangeKind
) -> None:
    whole = InsertedChanges.add

    def add(changes: InsertedChanges, entry: ChangeKind, *where: str, is_new: bool = False) -> None:
        whole(changes, entry, *where, is_new=is_new or entry in {kind, ChangeKind.KEY})

    monkeypatch.setattr(InsertedChanges, "add", add)
    series = [(World.make_key, 1, 0), (World.make_alias, 1, 1), (World.change_key, 1, 1), (World.make_grant, 1, 1)]
    series += [(World.make_user, 1, 0), (World.make_access_key, 1, 0), (World.switch_access_key, 1, 0)]
    with pytest.raises(AssertionError):
        scene.run(series)
    assert marks
