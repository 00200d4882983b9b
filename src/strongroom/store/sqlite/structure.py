"""Compares the tables and indexes of a database with this release's schema.

SQLite runs triggers in the database at every write of the server, and reads a view like a table. This service makes
neither, so another program made each that is there. An index that is missing or has other columns no longer keeps
two rows from having the same name.
"""

import sqlite3
from collections.abc import Iterator

from sqlalchemy import Index, Table

from strongroom.store.sql.schema import metadata
from strongroom.store.sqlite.schema_version import SCHEMA


def wrong_structure(connection: sqlite3.Connection) -> list[str]:
    """Return what is not as this release's migrations make it; only what is foreign if the schema is another one.

    A database without any table is not begun, and not wrong. Raises sqlite3.DatabaseError.
    """
    kinds = dict(connection.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view', 'trigger')"))
    foreign = [f"a {kind} `{name}`, which strongroom did not make" for name, kind in kinds.items() if kind != "table"]
    if "alembic_version" not in kinds:
        return [*foreign, "no such table: alembic_version"] if kinds else []
    if connection.execute("SELECT version_num FROM alembic_version").fetchall() != [(SCHEMA,)]:
        return foreign
    tables = {name for name, kind in kinds.items() if kind == "table"}
    return foreign + [fault for table in metadata.sorted_tables for fault in _wrong_table(connection, table, tables)]


def _wrong_table(connection: sqlite3.Connection, table: Table, tables: set[str]) -> Iterator[str]:
    if table.name not in tables:
        yield f"no such table: {table.name}"
        return
    columns = {row[1]: row[5] for row in connection.execute(f'PRAGMA table_info("{table.name}")')}
    missing = [column.name for column in table.columns if column.name not in columns]
    yield from (f"no such column: {table.name}.{name}" for name in missing)
    primary_key = [name for _, name in sorted((place, name) for name, place in columns.items() if place)]
    if not missing and primary_key != [column.name for column in table.primary_key]:
        yield f"another primary key: {table.name}"
    made = {row[1]: (bool(row[2]), bool(row[4])) for row in connection.execute(f'PRAGMA index_list("{table.name}")')}
    for index in sorted(table.indexes, key=_name_of):
        name = _name_of(index)
        if name not in made:
            yield f"no such index: {name}"
        elif made[name] != (bool(index.unique), _condition(index) is not None) or not _has_its_columns(
            connection, index
        ):
            yield f"not the index that strongroom made: {name}"


def _has_its_columns(connection: sqlite3.Connection, index: Index) -> bool:
    """Tell whether an index has its columns, in their order, compared byte by byte, and its condition."""
    rows = connection.execute(f'PRAGMA index_xinfo("{_name_of(index)}")').fetchall()
    found = [tuple(row[2:5]) for row in rows if row[5]]
    (statement,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (_name_of(index),)).fetchone()
    condition = statement.partition(" WHERE ")[2] or None
    return found == [(column.name, 0, "BINARY") for column in index.columns] and condition == _condition(index)


def _condition(index: Index) -> str | None:
    where = index.dialect_options["sqlite"]["where"]
    return None if where is None else str(where)


def _name_of(index: Index) -> str:
    return str(index.name)
