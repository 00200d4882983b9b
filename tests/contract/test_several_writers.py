"""Two processes write to one database at the same time, with each back end."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from keys_builder import make_key
from strongroom.errors import DependencyTimeoutException
from strongroom.iam.entities import User
from strongroom.keys.arns import AliasLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.store.protocol import Store, Transaction
from strongroom.store.records import AccessKeyRecord, AccountRecord, AliasRecord, Change
from strongroom.store.scopes import AccountScope, KeyScope, NewKeyScope, Scope

NOW = 1_790_000_000.0
ACCOUNT, REGION = "111122223333", "us-east-1"
ROUNDS = 8
Outcome = bool | str


def race(*writes: Callable[[], object]) -> list[Outcome]:
    """Begin all writes at once; return the result of each, or the name of its error."""
    start = threading.Barrier(len(writes))

    def outcome(write: Callable[[], object]) -> Outcome:
        start.wait(20)
        try:
            return bool(write())
        except (IntegrityError, DependencyTimeoutException) as error:
            return type(error).__name__

    with ThreadPoolExecutor(len(writes)) as threads:
        return [*threads.map(outcome, writes)]


def add_key(store: Store, number: int) -> KmsKey:
    key = make_key(number)
    store.write(lambda transaction: transaction.add_key(key))
    return key


def access_key(name: str, principal: str) -> AccessKeyRecord:
    return AccessKeyRecord(name, ACCOUNT, principal, b"wrapped", active=True, created_at=NOW)


def test_a_limit_lets_only_one_of_two_writers_pass(store: Store, other: Store) -> None:
    store.write(lambda transaction: transaction.add_account(AccountRecord(ACCOUNT, NOW)))
    for number in range(ROUNDS):
        first, second = make_key(2 * number), make_key(2 * number + 1)
        principal = f"AIDA{number}"
        # CreateKey names what it counts beforehand, and ReplicateKey does not.
        scopes: list[Scope] = [AccountScope(ACCOUNT), NewKeyScope(ACCOUNT, REGION)] if number % 2 else []
        keys = [access_key(f"AKIA{number}{letter}", principal) for letter in "AB"]
        assert sorted(
            race(
                lambda: store.write(lambda t: t.add_key(first, number + 1), *scopes),  # noqa: B023 - run at once
                lambda: other.write(lambda t: t.add_key(second, number + 1)),  # noqa: B023
            )
        ) == [False, True]
        assert sorted(
            race(
                lambda: store.write(lambda t: t.add_access_key(keys[0], 1), AccountScope(ACCOUNT)),  # noqa: B023
                lambda: other.write(lambda t: t.add_access_key(keys[1], 1), AccountScope(ACCOUNT)),  # noqa: B023
            )
        ) == [False, True]


def test_a_name_is_given_once(store: Store, other: Store) -> None:
    for number in range(ROUNDS):
        users = [User(account=ACCOUNT, name=f"u{number}", unique_id=f"AIDA{number}{x}", created_at=NOW) for x in "AB"]
        outcomes = race(
            lambda: store.write(lambda t: t.put_entity(users[0])) or True,  # noqa: B023 - run at once
            lambda: other.write(lambda t: t.put_entity(users[1])) or True,  # noqa: B023
        )
        assert sorted(map(str, outcomes)) == ["IntegrityError", "True"]


def test_an_alias_moves_once(store: Store, other: Store) -> None:
    one, two, three = (add_key(store, number) for number in range(3))
    for number in range(ROUNDS):
        record = AliasRecord(AliasLocator(ACCOUNT, REGION, f"alias/{number}"), one.key_id, NOW, NOW)
        store.write(lambda t: t.put_alias(record, None))  # noqa: B023 - run at once
        to_two, to_three = replace(record, key_id=two.key_id), replace(record, key_id=three.key_id)
        outcomes = race(
            lambda: store.write(lambda t: t.put_alias(to_two, one.key_id)),  # noqa: B023
            lambda: other.write(lambda t: t.put_alias(to_three, one.key_id)),  # noqa: B023
        )
        assert sorted(map(str, outcomes)) == ["True", "WriteConflict"]


def test_writers_of_the_same_scopes_do_not_lose_changes_or_wait_for_each_other(store: Store, other: Store) -> None:
    keys = [add_key(store, number) for number in range(2)]

    def tag(number: int) -> Callable[[Transaction], None]:
        def change(transaction: Transaction) -> None:
            for key in keys if number % 2 else reversed(keys):
                before = transaction.key(key.locator)
                assert before is not None
                transaction.save_key(before, replace(before, tags=tuple(sorted((*before.tags, (f"{number:02}", ""))))))

        return change

    scopes = [KeyScope(key.account, key.key_id) for key in keys]
    writers = [
        lambda number=number: [store, other][number % 2].write(tag(number), *scopes[:: 1 if number % 2 else -1]) or True
        for number in range(10)
    ]
    assert race(*writers) == [True] * 10
    with store.read() as reader:
        for key in keys:
            found = reader.key(key.locator)
            assert found is not None
            assert [name for name, _ in found.tags] == [f"{number:02}" for number in range(10)]


def test_numbers_of_changes_have_no_gaps_and_come_in_the_order_of_commits(store: Store, other: Store) -> None:
    seen: list[Change] = []
    writing = threading.Event()
    writing.set()

    def follow() -> None:
        """Read the change log as it grows: an entry must not appear behind one that was read already."""
        last, more = 0, True
        while more:
            more = writing.is_set()
            found = store.changes(last)
            assert found.complete
            seen.extend(found.entries)
            last = found.last

    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(follow)
        try:
            with ThreadPoolExecutor(8) as writers:
                futures = [writers.submit(add_key, [store, other][number % 2], number) for number in range(48)]
            keys = [future.result() for future in futures]
        finally:
            writing.clear()
        following.result(30)
    assert [entry.sequence for entry in seen] == list(range(1, 49))
    assert {entry.name for entry in seen} == {key.key_id for key in keys}


def test_a_change_log_of_another_history_is_incomplete(request: pytest.FixtureRequest) -> None:
    """As after a failover that has lost commits, and others have taken their numbers."""
    store: Store = request.getfixturevalue("postgresql_store")
    add_key(store, 1)
    last = store.changes(0).last
    assert store.changes(last).complete
    cluster, name = request.getfixturevalue("postgresql"), request.getfixturevalue("database")
    cluster.run("UPDATE change SET tag = '\\x0102030405060708'", database=name)
    assert not store.changes(last).complete
    cluster.run("DELETE FROM change", "UPDATE generation SET number = 0", database=name)
    back = store.changes(last)
    assert (back.complete, back.last) == (False, 0)
