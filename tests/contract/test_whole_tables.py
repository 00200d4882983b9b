"""Whole tables, as backups read them, with each back end."""

from msgspec.structs import replace

from grants_builder import make_grant
from keys_builder import make_key
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.protocol import Transaction
from strongroom.store.sqlite.store import SqlStore

NAMES = ("\u00e9", "Z", "a", "_", "A")


def fill(transaction: Transaction) -> None:
    for number in range(30):
        transaction.add_key(make_key(number, tags=tuple(sorted((name, "x") for name in NAMES))))
    transaction.add_grant(replace(make_grant(), key_id=make_key(1).key_id))


def tables(store: SqlStore | PostgresqlStore) -> dict[str, tuple[int, set[str], list[dict[str, object]]]]:
    store.write(fill)
    with store.read_tables() as reader:
        return {
            size.head.name: (
                size.rows,
                set(size.head.columns),
                [dict(zip(size.head.columns, row, strict=True)) for row in reader.rows(size.head.name)],
            )
            for size in reader.tables()
        }


def test_every_back_end_reads_the_same_rows_in_the_same_order(
    sqlite_store: SqlStore, postgresql_store: PostgresqlStore
) -> None:
    """Values too: a row authenticates only what was written."""
    assert tables(sqlite_store) == tables(postgresql_store)
