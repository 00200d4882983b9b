"""The tables of a PostgreSQL database, and what each role may do with them."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.sql import SQL, Identifier

from postgresql import OWNER, READER, SERVER, Cluster
from strongroom.store.postgresql.engine import Database, open_postgresql
from strongroom.store.postgresql.migrate import migrate
from strongroom.store.postgresql.schema import metadata
from strongroom.store.postgresql.schema_version import SCHEMA, WrongSchemaError, require_this_schema
from strongroom.store.sql.schema import metadata as shared
from strongroom.store.sqlite.schema_version import SCHEMA as SQLITE_SCHEMA

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


def test_it_has_the_tables_and_columns_of_the_sqlite_schema_with_its_number() -> None:
    assert SCHEMA == SQLITE_SCHEMA
    for table in shared.tables.values():
        columns = set(metadata.tables[table.name].columns.keys())
        assert columns - {"tag"} == set(table.columns.keys()), table.name
    assert metadata.tables.keys() - shared.tables.keys() == {"generation", "keeper_turn", "member", "receipt"}


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


def test_other_databases_are_refused(owned: Database, empty: Database) -> None:
    with empty.engine.connect() as connection:
        with pytest.raises(WrongSchemaError, match="no tables"):
            require_this_schema(connection)
        connection.exec_driver_sql("CREATE TABLE alias ()")
    with pytest.raises(WrongSchemaError, match="cannot be made"):
        migrate(empty.engine)
    with owned.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        try:
            with pytest.raises(WrongSchemaError, match="has schema 9999"):
                require_this_schema(connection)
            with pytest.raises(WrongSchemaError, match="newer release"):
                migrate(owned.engine)
        finally:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{SCHEMA}'")  # noqa: S608 - ours


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
