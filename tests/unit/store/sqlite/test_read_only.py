"""The database for a process that may only read its files."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keys_builder import make_key
from strongroom.audit.sink import AuditMark
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.migrate import migrate
from strongroom.store.sqlite.read_only import UnreadableStoreError, open_read_only
from strongroom.store.sqlite.schema_version import UnknownSchemaError
from strongroom.store.sqlite.store import SqlStore

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "50% # of it.db"


def write(path: Path) -> SqlStore:
    engine = open_sqlite(path)
    migrate(engine)
    store = SqlStore(engine)
    store.write(lambda transaction: transaction.put_audit_mark(AuditMark("w0", "segment", 7)))
    return store


def seen(path: Path) -> list[AuditMark]:
    store = open_read_only(path)
    with store.read() as reader:
        found = reader.audit_marks()
    store.close()
    return list(found)


def contents(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.iterdir() if not each.name.endswith(("-shm", "-wal"))}


def test_what_a_server_has_written_is_seen_while_it_runs_and_after(path: Path) -> None:
    store = write(path)
    before = contents(path)
    assert seen(path) == [AuditMark("w0", "segment", 7)]
    store.write(lambda transaction: transaction.put_audit_mark(AuditMark("w0", "segment", 8)))
    assert seen(path) == [AuditMark("w0", "segment", 8)]
    store.close()
    assert seen(path) == [AuditMark("w0", "segment", 8)]
    assert before.keys() == contents(path).keys()


def test_nothing_is_written(path: Path) -> None:
    write(path).close()
    before = contents(path)
    store = open_read_only(path)
    with pytest.raises(UnreadableStoreError, match="readonly"), store.connect() as connection:
        connection.exec_driver_sql("DELETE FROM audit_mark")
    store.close()
    assert contents(path) == before


@pytest.mark.parametrize("revision", ["0004", "0003"])
def test_a_database_of_another_release_is_left_as_it_is(path: Path, revision: str) -> None:
    engine = open_sqlite(path)
    migrate(engine, revision)
    engine.dispose()
    before = contents(path)
    with pytest.raises(UnknownSchemaError, match=f"has schema {revision}, and this release of Strongroom reads schema"):
        open_read_only(path)
    assert contents(path) == before


@pytest.mark.parametrize("content", [b"", b"nothing like a database" * 100])
def test_what_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises((UnreadableStoreError, UnknownSchemaError)):
        open_read_only(path)


def test_what_is_not_there(path: Path) -> None:
    with pytest.raises(UnreadableStoreError, match="unable to open"):
        open_read_only(path)
    assert not path.exists()


@contextmanager
def as_an_auditor(folder: Path) -> Iterator[None]:
    """Switch to a user that may read a folder and write nothing in it."""
    folder.chmod(0o555)
    for each in folder.iterdir():
        each.chmod(0o444)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def test_an_auditor_without_the_right_to_write_reads_a_stopped_and_a_running_server() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "strongroom.db"
        store = write(path)
        store.write(lambda transaction: transaction.add_key(make_key()))
        with as_an_auditor(folder):
            assert seen(path) == [AuditMark("w0", "segment", 7)]
        for each in folder.iterdir():
            each.chmod(0o600)
        store.close()
        with as_an_auditor(folder):
            assert seen(path) == [AuditMark("w0", "segment", 7)]
            # Of a server that runs, the log must be readable too.
        shutil.copy(path, folder / "strongroom.db-wal")
        with as_an_auditor(folder), pytest.raises(UnreadableStoreError):
            seen(path)
