"""The tables of a PostgreSQL database, and what each role may do with them."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.sql import SQL, Identifier
from sqlalchemy import inspect

from postgresql import OWNER, READER, SERVER, Cluster
from strongroom.clock import SystemClock
from strongroom.store.leases.requests import About, Join, Member, Renew
from strongroom.store.postgresql.engine import Database, open_postgresql, transaction
from strongroom.store.postgresql.member_connection import MemberConnection, NotAdmitted
from strongroom.store.postgresql.migrate import contract_patiently, migrate, migrate_patiently
from strongroom.store.postgresql.schema import metadata
from strongroom.store.postgresql.schema_version import (
    SCHEMA,
    SchemaWindow,
    WrongSchemaError,
    read_window,
    require_this_schema,
)
from strongroom.store.sql.schema import metadata as shared
from strongroom.store.sqlite.schema_version import SCHEMA as SQLITE_SCHEMA

CLOCK = SystemClock()
DENIED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def name(postgresql: Cluster) -> Iterator[str]:
    with postgresql.database() as name:
        yield name


@pytest.fixture
def owned(postgresql: Cluster, name: str) -> Iterator[Database]:
    """Return a database as its owner sees it."""
    with closing(open_postgresql(postgresql.address(name, OWNER))) as database:
        yield database


@pytest.fixture
def empty(postgresql: Cluster) -> Iterator[Database]:
    """Return a database without tables."""
    postgresql.run("CREATE DATABASE empty")
    try:
        with closing(open_postgresql(postgresql.address("empty"))) as database:
            yield database
    finally:
        postgresql.run("DROP DATABASE empty")


def test_the_migrations_make_the_schema(owned: Database) -> None:
    with owned.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize(
    "query",
    [
        # Alembic compares no primary keys and no check constraints.
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT table_name, column_name, is_nullable, collation_name, column_default FROM information_schema.columns",
    ],
    ids=["constraints", "indexes", "columns"],
)
def test_the_migrations_make_what_the_metadata_makes(owned: Database, empty: Database, query: str) -> None:
    """All of it, as the catalogues of two databases have it."""
    metadata.create_all(empty.engine)

    def found(database: Database) -> set[tuple[object, ...]]:
        with database.engine.connect() as connection:
            rows = {tuple(row) for row in connection.exec_driver_sql(query)}
        assert {row[0] for row in rows} >= metadata.tables.keys()
        return {row for row in rows if row[0] in metadata.tables}

    assert found(owned) == found(empty)


def test_it_has_the_tables_and_columns_of_the_sqlite_schema_with_its_number() -> None:
    assert SCHEMA == SQLITE_SCHEMA
    for table in shared.tables.values():
        columns = set(metadata.tables[table.name].columns.keys())
        assert columns - {"tag"} == set(table.columns.keys()), table.name
    own = {"generation", "granted_lease", "keeper_turn", "member", "receipt", "schema_window"}
    assert metadata.tables.keys() - shared.tables.keys() == own


def test_text_is_compared_byte_by_byte(owned: Database) -> None:
    """Whatever the locale of the database is."""
    query = (
        "SELECT collation_name, count(*) FROM information_schema.columns WHERE table_schema = 'public' "
        "AND data_type IN ('text', 'character varying') AND table_name <> 'alembic_version' GROUP BY 1"
    )
    with owned.engine.connect() as connection:
        assert [row[0] for row in connection.exec_driver_sql(query)] == ["C"]


def test_migrating_again_changes_nothing(owned: Database) -> None:
    migrate(owned.engine)
    with owned.engine.connect() as connection:
        require_this_schema(connection)
        assert connection.exec_driver_sql("SELECT number FROM generation").scalars().all() == [0]


def test_other_databases_are_refused(empty: Database) -> None:
    with empty.engine.connect() as connection:
        with pytest.raises(WrongSchemaError, match="no tables"):
            require_this_schema(connection)
        connection.exec_driver_sql("CREATE TABLE key_grant ()")
    with pytest.raises(WrongSchemaError, match="cannot be made"):
        migrate(empty.engine)
    with empty.engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["key_grant"], "all or none"


@pytest.mark.parametrize(
    ("window", "serving", "migrating"),
    [
        (("0013", "0014"), "`strongroom database migrate` of this release", "--contract"),
        (("9998", "9999"), "is for releases from schema 9998 on", "of a newer release"),
    ],
)
def test_a_database_of_other_releases_is_refused(
    owned: Database, window: tuple[str, str], serving: str, migrating: str
) -> None:
    with owned.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE schema_window SET oldest = %s, newest = %s", window)
        with pytest.raises(WrongSchemaError, match=serving):
            require_this_schema(connection)
        with pytest.raises(WrongSchemaError, match=migrating):
            migrate(owned.engine)


def test_a_release_serves_a_database_that_the_next_one_has_expanded(owned: Database) -> None:
    with owned.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE schema_window SET newest = '9999'")
        require_this_schema(connection)


def test_a_database_that_was_left_is_refused(owned: Database) -> None:
    with owned.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE schema_window SET moved_to = '/srv/data'")
        with pytest.raises(WrongSchemaError, match="has moved to /srv/data"):
            require_this_schema(connection)


def test_a_migration_lets_readers_through_while_it_waits_for_a_lock(owned: Database) -> None:
    """It gives up its place in the queue for the lock, and tries again."""
    with owned.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE schema_window SET oldest = '0014', newest = '0014'")
    with owned.engine.connect() as reader:
        reader.exec_driver_sql("BEGIN")
        reader.exec_driver_sql("SELECT * FROM schema_window FOR SHARE")
        looks = iter(range(100))

        def timer() -> float:
            look = next(looks)
            if look == 2:
                reader.rollback()
            return look

        before, _, _ = migrate_patiently(owned.engine, (), (), timer, 60)
    assert (before, next(looks)) == ("0014", 3)
    with owned.engine.connect() as connection:
        assert read_window(connection) == SchemaWindow("0014", SCHEMA, None)


OLD = About("0.0.1")


def joined(postgresql: Cluster, owned: Database, name: str, node: str, schema: str) -> MemberConnection:
    """Have a node join, and say that it is of the release with a schema."""
    connection = MemberConnection(postgresql.address(name, SERVER), 5)
    assert connection.perform(Join(node, b"i" * 16, 2.0, OLD, None)) is True
    with owned.engine.connect() as owner:
        owner.exec_driver_sql("UPDATE member SET schema = %s WHERE node = %s", (schema, node))
    return connection


def test_a_contraction_waits_for_the_end_of_older_nodes(owned: Database, name: str, postgresql: Cluster) -> None:
    with owned.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE schema_window SET oldest = '0014'")
    with (
        closing(joined(postgresql, owned, name, "a" * 12, "0014")) as old,
        closing(joined(postgresql, owned, name, "b" * 12, SCHEMA)) as new,
    ):
        with pytest.raises(WrongSchemaError, match=f"{'a' * 12} \\(release 0.0.1\\); upgrade them first"):
            contract_patiently(owned.engine, CLOCK.timer, 5, lambda _: old.perform(Renew("a" * 12, b"i" * 16)))
        with owned.engine.connect() as connection:
            assert read_window(connection).oldest == "0014"
        # It renews no more: it was killed.
        contract_patiently(owned.engine, CLOCK.timer, 5, lambda _: new.perform(Renew("b" * 12, b"i" * 16)))
        assert [each.node for each in new.members().members] == ["b" * 12]
        assert old.perform(Renew("a" * 12, b"i" * 16)) is None
    with owned.engine.connect() as connection:
        assert read_window(connection) == SchemaWindow(SCHEMA, SCHEMA, None)


@pytest.mark.parametrize(
    ("change", "says"), [("oldest = '9999', newest = '9999'", "use a later release"), ("moved_to = 'x'", "has moved")]
)
def test_a_node_that_may_not_serve_does_not_join(
    owned: Database, name: str, postgresql: Cluster, change: str, says: str
) -> None:
    with owned.engine.connect() as connection:
        connection.exec_driver_sql(f"UPDATE schema_window SET {change}")  # noqa: S608 - ours
    with closing(MemberConnection(postgresql.address(name, SERVER), 5)) as connection:
        for replaced in (None, Member("a" * 12, b"j" * 16, 0, 0, 2.0)):
            with pytest.raises(NotAdmitted, match=says):
                connection.perform(Join("a" * 12, b"i" * 16, 2.0, OLD, replaced))


def test_no_node_joins_while_the_window_is_narrowed(owned: Database, name: str, postgresql: Cluster) -> None:
    """Else a contraction could miss it."""
    with (
        closing(MemberConnection(postgresql.address(name, SERVER), 5)) as connection,
        transaction(owned.engine) as narrowing,
    ):
        narrowing.exec_driver_sql("UPDATE schema_window SET oldest = oldest")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            connection.perform(Join("a" * 12, b"i" * 16, 2.0, OLD, None))


def test_a_database_with_another_encoding_is_refused(postgresql: Cluster) -> None:
    postgresql.run("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    try:
        with closing(open_postgresql(postgresql.address("ascii"))) as database:
            migrate(database.engine)
            with database.engine.connect() as connection, pytest.raises(WrongSchemaError, match="UTF8"):
                require_this_schema(connection)
    finally:
        postgresql.run("DROP DATABASE ascii")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "ALTER TABLE account ADD COLUMN more text",
        "TRUNCATE account",
        "DROP TABLE receipt",
        "UPDATE alembic_version SET version_num = 'x'",
    ],
)
@pytest.mark.parametrize("role", [SERVER, READER])
def test_the_roles_of_servers_may_not_change_tables(postgresql: Cluster, name: str, role: str, statement: str) -> None:
    with closing(psycopg.connect(postgresql.address(name, role))) as connection, pytest.raises(DENIED):
        connection.execute(statement.encode())


def test_the_role_that_reads_writes_nothing(postgresql: Cluster, name: str) -> None:
    for table in metadata.tables:
        with closing(psycopg.connect(postgresql.address(name, READER), autocommit=True)) as connection:
            connection.execute(SQL("SELECT * FROM {}").format(Identifier(table)))
            with pytest.raises(DENIED):
                connection.execute(SQL("DELETE FROM {}").format(Identifier(table)))
