"""Rows that wait until a statement needs them, and are sent together."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from msgspec.structs import replace
from psycopg.abc import PQGen
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from keys_builder import locator, make_key, material
from postgresql import SERVER, Cluster
from strongroom.entropy import system_entropy
from strongroom.errors import ValidationException, WriteOutcomeUnknown
from strongroom.keys.arns import AliasLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.store.faults import StoreUnavailable
from strongroom.store.postgresql.connection import StoreConnection, T
from strongroom.store.postgresql.engine import open_postgresql
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.protocol import Transaction
from strongroom.store.records import AccountRecord, AliasRecord
from strongroom.store.scopes import AccountScope, NewKeyScope, Scope

NOW = 1_790_000_000.0
ACCOUNT, REGION = "111122223333", "us-east-1"
SCOPES: tuple[Scope, ...] = (AccountScope(ACCOUNT), NewKeyScope(ACCOUNT, REGION))
Act = Callable[[Transaction], object]


@pytest.fixture
def database(postgresql: Cluster) -> Iterator[str]:
    with postgresql.database() as name:
        yield name


@pytest.fixture
def store(postgresql: Cluster, database: str) -> Iterator[PostgresqlStore]:
    with closing(PostgresqlStore(open_postgresql(postgresql.address(database, SERVER)), system_entropy)) as store:
        store.write(lambda transaction: transaction.add_account(AccountRecord(ACCOUNT, NOW)))
        yield store


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each wait for the database."""
    sent: list[int] = []
    wait = StoreConnection.wait

    def counted(self: StoreConnection, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        sent.append(1)
        return wait(self, gen, interval, timeout)

    monkeypatch.setattr(StoreConnection, "wait", counted)
    return sent


@contextmanager
def held(store: PostgresqlStore) -> Iterator[Callable[[Act], Future[object]]]:
    """Have all writes that are given in the block become one group, which begins when the block ends."""
    begun, waited = threading.Event(), threading.Event()

    def be_slow(_: Transaction) -> None:
        begun.set()
        waited.wait(20)

    with ThreadPoolExecutor(32) as threads:
        slow = threads.submit(store.write, be_slow)
        assert begun.wait(20)
        given: list[Future[object]] = []

        def submit(act: Act) -> Future[object]:
            given.append(threads.submit(store.write, act, *SCOPES))
            while len(store._groups._waiting) < len(given):
                threading.Event().wait(0.001)
            return given[-1]

        try:
            yield submit
        finally:
            waited.set()
        slow.result(20)


def adding(number: int, limit: int | None = None) -> Act:
    """Return a write that makes a key as CreateKey does."""

    def act(transaction: Transaction) -> bool:
        transaction.customer_keys(ACCOUNT, REGION)
        return transaction.add_key(make_key(number, tags=(("team", f"{number}"),)), limit)

    return act


def load(store: PostgresqlStore, number: int) -> KmsKey | None:
    return store.load_key(locator(number))


def count(store: PostgresqlStore) -> int:
    with store.read() as reader:
        return reader.customer_keys(ACCOUNT, REGION)


def test_a_group_of_new_keys_takes_as_many_messages_as_one(store: PostgresqlStore, messages: list[int]) -> None:
    def sent_for(numbers: range) -> int:
        with held(store) as submit:
            done = [submit(adding(number, 99)) for number in numbers]
            before = len(messages)
        assert [each.result() for each in done] == [True] * len(numbers)
        return len(messages) - before

    # The first key of an account in a Region makes the row of their count.
    assert sent_for(range(1)) > sent_for(range(1, 2)) == sent_for(range(2, 18))
    made = range(18)
    assert [load(store, number) for number in made] == [make_key(each, tags=(("team", f"{each}"),)) for each in made]
    assert count(store) == 18
    assert [entry.name for entry in store.changes(1).entries] == [locator(number).key_id for number in made]


def test_what_waits_is_seen_by_each_read_of_its_transaction(store: PostgresqlStore) -> None:
    key = make_key(1, tags=(("a", "b"),))
    record = AliasRecord(AliasLocator(ACCOUNT, REGION, "alias/a"), key.key_id, NOW, NOW)

    def act(transaction: Transaction) -> None:
        transaction.add_key(key)
        transaction.put_alias(record, None)
        assert transaction.customer_keys(ACCOUNT, REGION) == 1
        assert transaction.key(key.locator) == replace(key, aliases=("alias/a",))
        assert transaction.alias(record.locator) == record
        transaction.save_key(key, replace(key, tags=(("c", "d"),), materials=(*key.materials, material(2))))
        transaction.add_key(make_key(3))
        transaction.erase_key(make_key(3))
        assert transaction.customer_keys(ACCOUNT, REGION) == 1
        assert transaction.key(locator(3)) is None

    store.write(act, *SCOPES)
    assert load(store, 1) == replace(
        key, tags=(("c", "d"),), materials=(*key.materials, material(2)), aliases=("alias/a",)
    )
    assert count(store) == 1


def test_rows_come_after_those_that_they_belong_to(store: PostgresqlStore) -> None:
    """The material of a key that is there waits before a new key and its material."""
    first = make_key(1)
    store.write(adding(1), *SCOPES)

    def act(transaction: Transaction) -> None:
        before = transaction.key(first.locator)
        assert before is not None
        transaction.save_key(before, replace(before, materials=(*before.materials, material(9))))
        transaction.add_key(make_key(2))

    store.write(act, *SCOPES)
    found, other = load(store, 1), load(store, 2)
    assert found is not None
    assert [each.material_id for each in found.materials] == [material(1).material_id, material(9).material_id]
    assert other == make_key(2)


def test_values_that_are_missing_or_of_another_kind_share_a_statement(store: PostgresqlStore) -> None:
    plain = make_key(1)
    changed = {
        "description": "100 % of 'it'; \\ \u00e9",
        "deletion_at": NOW + 0.1,
        "deletion_window_days": 7,
        "multi_region": True,
        "replica_regions": ("eu-west-1",),
    }
    other, third = (replace(make_key(number), **changed) for number in (2, 3))
    for keys in ([plain, other], [replace(third, materials=()), make_key(4)]):
        store.write(lambda t: [t.add_key(key) for key in keys], *SCOPES)  # noqa: B023 - run at once
        assert [store.load_key(key.locator) for key in keys] == keys


def test_the_limit_of_an_account_is_that_of_all_writes_of_a_group(store: PostgresqlStore) -> None:
    with held(store) as submit:
        done = [submit(adding(number, 3)) for number in range(1, 6)]
    assert [each.result() for each in done] == [True, True, True, False, False]
    assert count(store) == 3

    def replace_one(transaction: Transaction) -> bool:
        assert not transaction.add_key(make_key(6), 3)
        transaction.erase_key(make_key(1, tags=(("team", "1"),)))
        return transaction.add_key(make_key(7), 3)

    with held(store) as submit:
        replaced, refused = submit(replace_one), submit(adding(8, 3))
    assert (replaced.result(), refused.result()) == (True, False)
    assert count(store) == 3


def test_a_row_that_the_database_refuses_with_the_commit_fails_alone(store: PostgresqlStore) -> None:
    store.write(adding(1), *SCOPES)
    with held(store) as submit:
        before, same, after = submit(adding(2)), submit(adding(1)), submit(adding(3))
    assert (before.result(), after.result()) == (True, True)
    error = same.exception()
    assert isinstance(error, IntegrityError)
    assert "kms_key" in str(error.statement)
    assert "{}" not in str(error), "the policy of the row"
    assert count(store) == 3


def unfit(transaction: Transaction) -> None:
    transaction.add_key(make_key(7))
    transaction.add_key(replace(make_key(8), description="\0"))


def change_mind(transaction: Transaction) -> None:
    transaction.add_key(make_key(7))
    raise LookupError


def refuse_after_reading(transaction: Transaction) -> None:
    """Fail after what others have inserted was sent, with nothing of its own."""
    assert transaction.key(locator(1)) is not None
    raise LookupError


def change_mind_too_late(transaction: Transaction) -> None:
    """Fail after a row of its own was sent."""
    transaction.add_key(make_key(7))
    assert transaction.key(locator(7)) is not None
    raise LookupError


@pytest.mark.parametrize(
    ("act", "error", "transactions"),
    [
        (unfit, ValidationException, 1),
        (change_mind, LookupError, 1),
        (refuse_after_reading, LookupError, 1),
        (change_mind_too_late, LookupError, 4),
    ],
)
def test_a_write_that_fails_is_left_out_of_its_group(
    store: PostgresqlStore, act: Act, error: type, transactions: int
) -> None:
    store.write(adding(9), *SCOPES)
    taken: list[int] = []

    def count_transaction(*_: object) -> None:
        taken.append(1)

    with held(store) as submit:
        before, failed, after = submit(adding(1, 3)), submit(act), submit(adding(2, 3))
        event.listen(store._database.engine, "checkout", count_transaction)
    event.remove(store._database.engine, "checkout", count_transaction)
    assert (before.result(), after.result()) == (True, True)
    assert isinstance(failed.exception(), error)
    assert len(taken) == transactions
    assert count(store) == 3
    assert load(store, 7) is None
    # Alone, they are run in any order.
    assert sorted(entry.name for entry in store.changes(1).entries) == [locator(each).key_id for each in (1, 2, 9)]


def test_a_connection_that_has_ended_is_noticed_before_the_commit(postgresql: Cluster, database: str) -> None:
    """So its write can be run again, and its outcome is known."""
    address = postgresql.address(database, SERVER)
    attempts: list[int] = []

    def act(transaction: Transaction) -> bool:
        attempts.append(1)
        added = transaction.add_key(make_key(1))
        if len(attempts) == 1:
            postgresql.stop()
            postgresql.start()
        return added

    with closing(PostgresqlStore(open_postgresql(address), system_entropy, time_limit=30)) as store:
        assert store.write(act)
        assert len(attempts) == 2
        assert count(store) == 1
        postgresql.stop()
        try:
            with closing(PostgresqlStore(open_postgresql(address), system_entropy, time_limit=0.2)) as hasty:
                with pytest.raises(StoreUnavailable) as raised:
                    hasty.write(adding(2))
                assert not isinstance(raised.value, WriteOutcomeUnknown)
        finally:
            postgresql.start()
