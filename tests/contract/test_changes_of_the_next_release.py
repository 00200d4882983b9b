"""A kind of change that only the next release knows makes this one forget everything, and is no fault."""

from postgresql import Cluster
from strongroom.store.postgresql.store import PostgresqlStore
from strongroom.store.records import AccountRecord


def test_an_entry_of_an_unknown_kind_makes_the_changes_incomplete(
    postgresql_store: PostgresqlStore, postgresql: Cluster, database: str
) -> None:
    postgresql_store.write(lambda transaction: transaction.add_account(AccountRecord("111122223333", 1.0)))
    assert postgresql_store.changes(0).complete
    postgresql.run("UPDATE change SET kind = 'later'", database=database)
    found = postgresql_store.changes(0)
    assert (found.complete, found.entries, found.last) == (False, [], 1)
    assert not any(postgresql_store.counters.faults.values())
