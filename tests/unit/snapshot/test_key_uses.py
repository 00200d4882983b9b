"""The last uses of keys: known at once, written now and then, and lost by no failure to write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typing_extensions import override

from keys_builder import NOW, locator, make_key
from strongroom.errors import DependencyTimeoutException
from strongroom.snapshot.key_uses import KeyUses
from strongroom.store.protocol import KeyUse, Store
from strongroom.store.sql_store import SqlStore
from strongroom.store.sql_transaction import SqlTransaction
from strongroom.store.sqlite import open_sqlite


class Faltering(SqlStore):
    """A store that refuses transactions while it ``falters``."""

    falters = False

    @contextmanager
    @override
    def transaction(self) -> Iterator[SqlTransaction]:
        if self.falters:
            raise DependencyTimeoutException("busy")
        with super().transaction() as transaction:
            yield transaction


@pytest.fixture
def two_keys(store: Store) -> Store:
    with store.transaction() as transaction:
        for number in (1, 2):
            transaction.add_key(make_key(number))
    return store


def use(number: int, operation: str = "Encrypt", at: float = NOW) -> KeyUse:
    return KeyUse(locator(number), operation, at, f"event {operation}", f"request {operation}")


def written(store: Store, number: int) -> KeyUse | None:
    """Return what somebody else who reads the store sees."""
    return KeyUses(store).last(locator(number))


def test_a_use_that_began_earlier_and_ended_later_is_not_the_last(two_keys: Store) -> None:
    uses = KeyUses(two_keys)
    uses.note(use(1, "Encrypt", NOW + 1))
    uses.note(use(1, "Sign", NOW))
    assert uses.last(locator(1)) == use(1, "Encrypt", NOW + 1)
    uses.write()
    uses.note(use(1, "Sign", NOW + 0.5))
    uses.write()
    assert written(two_keys, 1) == use(1, "Encrypt", NOW + 1)


def test_uses_of_many_keys_are_written_in_parts(store: Store) -> None:
    uses, many = KeyUses(store), 1203
    with store.transaction() as transaction:
        for number in range(many - 1):
            transaction.add_key(make_key(number))
    for number in range(many):
        uses.note(use(number))
    uses.write()
    assert [written(store, number) for number in range(many)] == [use(number) for number in range(many - 1)] + [None]


def test_a_use_is_known_at_once_and_written_later(two_keys: Store) -> None:
    uses = KeyUses(two_keys)
    assert uses.last(locator(1)) is None
    for operation in ("Encrypt", "Decrypt"):
        uses.note(use(1, operation))
    assert (uses.last(locator(1)), written(two_keys, 1)) == (use(1, "Decrypt"), None)
    uses.write()
    assert uses.last(locator(1)) == written(two_keys, 1) == use(1, "Decrypt")
    assert uses.last(locator(2)) is None
    uses.write()
    assert written(two_keys, 1) == use(1, "Decrypt")


def test_an_older_use_does_not_hide_a_later_one_of_another_worker(two_keys: Store) -> None:
    early, late = KeyUses(two_keys), KeyUses(two_keys)
    early.note(use(1, "Encrypt", NOW))
    late.note(use(1, "Decrypt", NOW + 1))
    late.write()
    early.write()
    assert written(two_keys, 1) == use(1, "Decrypt", NOW + 1)


def test_a_key_that_is_gone_takes_its_uses_along(two_keys: Store) -> None:
    uses = KeyUses(two_keys)
    for number in (1, 2):
        uses.note(use(number))
    uses.write()
    with two_keys.transaction() as transaction:
        transaction.erase_key(make_key(1))
    uses.note(use(1, "Decrypt"))
    uses.note(use(2, "Decrypt"))
    uses.write()
    assert (written(two_keys, 1), written(two_keys, 2)) == (None, use(2, "Decrypt"))


def test_what_could_not_be_written_is_written_the_next_time(two_keys: Store, tmp_path: Path) -> None:
    store = Faltering(open_sqlite(tmp_path / "strongroom.db"))
    uses = KeyUses(store)
    for number in (1, 2):
        uses.note(use(number))
    store.falters = True
    with pytest.raises(DependencyTimeoutException):
        uses.write()
    uses.note(use(2, "Decrypt"))
    assert (uses.last(locator(1)), uses.last(locator(2))) == (use(1), use(2, "Decrypt"))
    store.falters = False
    uses.write()
    assert (written(two_keys, 1), written(two_keys, 2)) == (use(1), use(2, "Decrypt"))
    store.close()
