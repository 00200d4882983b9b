"""Whole tables for backups: every table is decided about, and rows pass as they are stored."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Connection, Float, Integer, LargeBinary, create_engine, insert, select

from strongroom.backup.blocks import BackupError, SectionHead
from strongroom.crypto.seal import SealedDomainKey
from strongroom.store.sql.schema import metadata
from strongroom.store.sql.sections import KEPT, LEFT_OUT, TableReader, TableWriter
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.restored import new_database
from strongroom.store.sqlite.schema_version import SCHEMA, UnknownSchemaError
from strongroom.store.sqlite.store import SqlStore


def test_it_is_decided_for_every_table_whether_it_is_part_of_a_backup() -> None:
    assert KEPT | LEFT_OUT.keys() == metadata.tables.keys()
    assert not KEPT & LEFT_OUT.keys()


def value_of(kind: object, number: int) -> object:
    if isinstance(kind, Boolean):
        return bool(number % 2)
    if isinstance(kind, Integer):
        return number
    if isinstance(kind, Float):
        return number + 0.1
    return b"\x00\xff%d" % number if isinstance(kind, LargeBinary) else f"\N{SNOWMAN} {number}"


def fill(connection: Connection, rows: int) -> None:
    """Insert rows into every table of a backup; in key columns the same values, so that references are valid."""
    for table in metadata.sorted_tables:
        if table.name in KEPT:
            for number in range(rows):
                row = {column.name: value_of(column.type, number) for column in table.columns}
                connection.execute(insert(table), row)


def content(connection: Connection) -> dict[str, list[Any]]:
    return {name: [tuple(row) for row in connection.execute(select(metadata.tables[name]))] for name in sorted(KEPT)}


def test_rows_are_read_in_one_state_and_written_as_they_were(tmp_path: Path) -> None:
    with new_database(tmp_path / "old.db", SCHEMA) as writer:
        fill(writer._connection, 3)
    with closing(SqlStore(open_sqlite(tmp_path / "old.db"))) as store:
        with store.read_tables() as tables, new_database(tmp_path / "new.db", SCHEMA) as writer:
            sizes = tables.tables()
            # Committed by another connection after the first read: not part of this state.
            store.write(lambda transaction: transaction.add_domain_key(SealedDomainKey("later", 1, b"sealed")))
            for size in sizes:
                rows = list(tables.rows(size.head.name))
                assert len(rows) == size.rows == 3
                writer.insert(size.head, rows)
        expected = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
        with expected.connect() as connection:
            old = content(connection)
        expected.dispose()
    old["domain_key"] = [row for row in old["domain_key"] if row[0] != "later"]
    engine = open_sqlite(tmp_path / "new.db")
    with engine.connect() as connection:
        assert content(connection) == old
    engine.dispose()


def test_what_a_reader_needs_first_comes_first(tmp_path: Path) -> None:
    with new_database(tmp_path / "new.db", SCHEMA) as writer:
        names = [each.head.name for each in TableReader(writer._connection).tables()]
    assert names[:3] == ["domain_key", "audit_key", "audit_checkpoint"]
    assert set(names) == KEPT
    assert names.index("kms_key") < names.index("key_material")


@pytest.mark.parametrize(
    "head",
    [
        SectionHead("nothing", ("name",)),
        SectionHead("account", ("account", "created_at", "colour")),
        SectionHead("change", ("sequence",)),
        SectionHead("sqlite_master", ("name",)),
    ],
    ids=lambda head: head.name,
)
def test_a_table_or_column_that_the_schema_does_not_have_is_refused(head: SectionHead, tmp_path: Path) -> None:
    with new_database(tmp_path / "new.db", SCHEMA) as writer, pytest.raises(BackupError, match=head.name):
        writer.insert(head, [])


def test_a_failed_load_leaves_no_row(tmp_path: Path) -> None:
    def load(writer: TableWriter) -> None:
        writer.insert(SectionHead("account", ("account", "created_at")), [("111122223333", 1.0)])
        raise BackupError("damaged")

    with pytest.raises(BackupError), new_database(tmp_path / "new.db", SCHEMA) as writer:
        load(writer)
    engine = open_sqlite(tmp_path / "new.db")
    with engine.connect() as connection:
        assert content(connection)["account"] == []
    engine.dispose()


def test_the_schema_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownSchemaError), new_database(tmp_path / "new.db", "9999"):
        pass
