"""A damaged or missing entry of the change log makes a process forget all that it has cached, and is reported."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from empty_database import put_empty_database
from faulty_stores import change
from keys_builder import make_key
from strongroom.problems import Problems
from strongroom.store.protocol import Transaction
from strongroom.store.records import Changes
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.store import SqlStore

DAMAGE = {
    "another kind": "UPDATE change SET kind = 'kex' WHERE sequence = 2",
    "a kind of another type": "UPDATE change SET kind = 7 WHERE sequence = 2",
    "bytes": "UPDATE change SET name = x'00' WHERE sequence = 2",
    "text that is no UTF-8": "UPDATE change SET account = CAST(x'ff' AS TEXT) WHERE sequence = 2",
}


@pytest.fixture
def problems() -> Problems:
    return Problems()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "strongroom.db"


@pytest.fixture
def store(database: Path, problems: Problems) -> Iterator[SqlStore]:
    put_empty_database(database)
    with closing(SqlStore(open_sqlite(database), problems=problems)) as store:
        for number in range(3):
            store.write(partial(_add_key, number=number))
        yield store


def _add_key(transaction: Transaction, number: int) -> None:
    transaction.add_key(make_key(number))


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_one_that_is_missing(
    store: SqlStore, database: Path, problems: Problems, statement: str
) -> None:
    assert len(store.changes(0).entries) == 3
    change(database, statement)
    assert store.changes(0) == store.changes(1) == Changes(entries=(), last=3, complete=False)
    (problem,) = problems.current()
    assert problem.text.startswith("`strongroom.db` has a damaged row (")
    assert store.changes(2).complete
    store.write(partial(_add_key, number=9))
    assert store.changes(3).complete


def test_an_entry_that_was_removed_is_missed(store: SqlStore, database: Path) -> None:
    change(database, "DELETE FROM change WHERE sequence = 2")
    assert not store.changes(0).complete
    assert not store.changes(1).complete
    assert store.changes(2).complete
