"""Migrations of ciphertexts in rows, between two simulated KMSs."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table

from ciphertext_moves import Services, run
from small_kms import SmallKms
from strongroom.reencryption.items import ItemError, PlaceError
from strongroom.reencryption.migration import Tally
from strongroom.reencryption.rows import Rows


@pytest.fixture
def services() -> Services:
    return Services(SmallKms(), SmallKms())


class Database:
    """A table of an application."""

    def __init__(self, path: Path, services: Services) -> None:
        self.url = f"sqlite:///{path}"
        self.engine = sqlalchemy.create_engine(self.url)
        self.table = Table(
            "secrets",
            MetaData(),
            Column("id", Integer, primary_key=True),
            Column("name", String(20), unique=True),
            Column("binary", LargeBinary),
            Column("text", String(1000)),
            Column("loose", String(20)),
        )
        self.table.metadata.create_all(self.engine)
        blobs = [services.old.encrypt(Plaintext=b"%d" % number)["CiphertextBlob"] for number in range(5)]
        rows = [
            {
                "id": 7 * n,
                "name": f"n{n}",
                "binary": blob,
                "text": base64.b64encode(blob).decode(),
                "loose": "x",
                "fixed": blob,
            }
            for n, blob in enumerate(blobs)
        ]
        rows.append({"id": 99, "name": "n99", "binary": None, "text": None, "loose": "x"})
        with self.engine.begin() as connection:
            connection.execute(self.table.insert(), rows)

    def column(self, name: str) -> list[Any]:
        with self.engine.connect() as connection:
            query = sqlalchemy.select(self.table.columns[name]).order_by(self.table.columns["id"])
            return list(connection.scalars(query))


@pytest.fixture
def database(tmp_path: Path, services: Services) -> Iterator[Database]:
    made = Database(tmp_path / "application.db", services)
    yield made
    made.engine.dispose()


@pytest.mark.parametrize("key_column", ["id", "name"])
@pytest.mark.parametrize("column", ["binary", "text"])
def test_rows(
    database: Database,
    services: Services,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    column: str,
    key_column: str,
) -> None:
    # Five rows on three pages.
    monkeypatch.setattr("strongroom.reencryption.rows._PAGE", 2)
    in_base64 = column == "text"
    other = "binary" if column == "text" else "text"
    untouched = database.column(other)
    with Rows(database.url, "secrets", column, key_column) as rows:
        assert run(services, rows, tmp_path / "journal", in_base64=in_base64)[0] == Tally(migrated=5)
        assert run(services, rows, tmp_path / "journal", in_base64=in_base64)[0] == Tally(before=5)
    after = database.column(column)
    assert after[5] is None
    blobs = [base64.b64decode(each) if in_base64 else bytes(each) for each in after[:5]]
    assert [services.new.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs] == [b"0", b"1", b"2", b"3", b"4"]
    assert database.column(other) == untouched


def test_rows_without_a_key(
    database: Database, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A unique column can have many NULLs.
    monkeypatch.setattr("strongroom.reencryption.rows._PAGE", 1)
    with database.engine.begin() as connection:
        connection.execute(database.table.update().where(database.table.c.id == 99).values(name=None))
    with Rows(database.url, "secrets", "binary", "name") as rows:
        assert run(services, rows, tmp_path / "journal")[0] == Tally(migrated=5)
    with database.engine.begin() as connection:
        connection.execute(database.table.update().where(database.table.c.id > 10).values(name=None))
    with (
        Rows(database.url, "secrets", "text", "name") as rows,
        pytest.raises(PlaceError, match="`secrets` has rows whose `name` is NULL"),
    ):
        run(services, rows, tmp_path / "second", in_base64=True)


def test_a_row_that_is_changed_meanwhile_stays(database: Database) -> None:
    before = database.column("binary")
    with Rows(database.url, "secrets", "binary", "id") as rows:
        item = next(rows.items())
        with pytest.raises(ItemError, match="it was changed meanwhile"):
            item.replace(b"other", b"new")
    assert database.column("binary") == before


@pytest.mark.parametrize("kept", ["substr(new.binary, 1, 10)", "NULL", "x'00'"])
def test_a_database_that_changes_what_it_is_given(
    database: Database, services: Services, tmp_path: Path, kept: str
) -> None:
    before = database.column("binary")
    with database.engine.begin() as connection:
        change = f"UPDATE secrets SET binary = {kept} WHERE id = new.id"  # noqa: S608 - of this test
        connection.execute(sqlalchemy.text(f"CREATE TRIGGER t AFTER UPDATE ON secrets BEGIN {change}; END"))
    with Rows(database.url, "secrets", "binary", "id") as rows:
        tally, failures = run(services, rows, tmp_path / "journal")
    assert (tally, database.column("binary")) == (Tally(failed=5), before)
    assert {reason for _, reason in failures} == {
        "the database does not keep the new ciphertext as it is: is the column too short?"
    }


def test_a_number_is_no_ciphertext(database: Database) -> None:
    # As bytes, it would be that many zeros.
    with database.engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE secrets SET binary = 32"))
    with (
        Rows(database.url, "secrets", "binary", "id") as rows,
        pytest.raises(ItemError, match="it is neither bytes nor text"),
    ):
        next(rows.items()).read()


def test_bytes_do_not_fit_into_text(database: Database, services: Services) -> None:
    with Rows(database.url, "secrets", "text", "id") as rows:
        item = next(rows.items())
        blob = services.old.encrypt(Plaintext=b"x" * 300)["CiphertextBlob"]
        with pytest.raises(ItemError, match="give --base64"):
            item.replace(item.read(), blob)


@pytest.mark.parametrize(
    ("table", "column", "key_column", "message"),
    [
        ("missing", "binary", "id", "has no table `missing`"),
        ("secrets", "missing", "id", "the table `secrets` has no column `missing`"),
        ("secrets", "id", "name", "`id` of `secrets` is INTEGER(): ciphertexts are in bytes or in text"),
        ("secrets", "binary", "loose", "`loose` of `secrets` is neither a primary key nor unique"),
    ],
)
def test_tables_that_cannot_be_migrated(
    database: Database, table: str, column: str, key_column: str, message: str
) -> None:
    with pytest.raises(PlaceError) as refused:
        Rows(database.url, table, column, key_column)
    assert message in str(refused.value)


def test_a_password_in_an_address_is_not_shown(database: Database) -> None:
    url = database.url.replace("sqlite:///", "sqlite:///file:")
    with Rows(f"{url}?host=h&password=secret&key=secret&uri=true", "secrets", "binary", "id") as rows:
        assert rows.name.endswith("application.db?host=h secrets.binary by id")


@pytest.mark.parametrize("url", ["", "nothing", "postgresql+missing://user:secret@host/db"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(PlaceError) as refused:
        Rows(url, "secrets", "binary", "id")
    assert "the address of the database cannot be used" in str(refused.value)
    assert "secret@" not in str(refused.value)
