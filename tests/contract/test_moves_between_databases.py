"""A deployment moves from SQLite to PostgreSQL and back: all of it arrives, and no server uses the old database."""

import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace

from audits import command_records
from backup_scene import back_up, restore
from local_deployment import LocalDeployment, Refused, entropy
from move_scene import NOW, Scene
from postgresql import SERVER, Cluster
from strongroom.assembly.audit_folders import AuditFolders
from strongroom.assembly.audit_log import verify_log
from strongroom.assembly.backups.maker import BackupMaker
from strongroom.assembly.backups.restore import Restore, RestoreRequest
from strongroom.assembly.data_folder import DataFolder, DataFolderError
from strongroom.assembly.database_history import accept_older
from strongroom.assembly.databases.postgresql import PostgresqlDatabase
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.relocation.copying import Copied
from strongroom.assembly.relocation.mark import read_mark
from strongroom.assembly.relocation.to_sqlite import MoveToSqlite
from strongroom.assembly.unsealing import Unsealing
from strongroom.crypto.seal import UnsealError
from strongroom.store.faults import StoreUnavailable
from strongroom.store.leases.requests import About, Join, Renew
from strongroom.store.postgresql.member_connection import MemberConnection
from strongroom.store.protocol import Transaction
from strongroom.store.records import AccountRecord
from strongroom.store.sqlite.engine import open_sqlite
from strongroom.store.sqlite.store import SqlStore


@pytest.fixture
def scene(tmp_path: Path, postgresql: Cluster) -> Iterator[Scene]:
    with postgresql.scratch() as name:
        yield Scene(tmp_path / "data", postgresql.address(name, SERVER))


def test_everything_moves_to_postgresql_and_back(scene: Scene) -> None:
    before = scene.tables(scene.here)
    copied = scene.to_postgresql()
    assert copied is not None
    assert (copied.keys, copied.damaged_count) == (21, 0)
    assert scene.tables(scene.there) == before
    assert scene.to_sqlite() is not None
    assert scene.tables(scene.here) == before
    deployment = LocalDeployment(scene.folder, scene.clock)
    assert deployment.call("Decrypt", CiphertextBlob=scene.blob)["Plaintext"] == "c2VjcmV0"
    with closing(deployment.deployment):
        # The change log goes on where it was, so what is cached is forgotten.
        deployment.call("DisableKey", KeyId=scene.key_id)
        with pytest.raises(Refused, match="DisabledException"):
            deployment.call("Decrypt", CiphertextBlob=scene.blob)
    assert scene.moves() == ["BeginDatabaseMove", "CompleteDatabaseMove"] * 2


def test_the_database_that_was_left_is_not_served(scene: Scene) -> None:
    scene.to_postgresql()
    for _ in range(2):
        with pytest.raises(DataFolderError, match=r"has moved to the database `127\.0\.0\.1:\d+/"):
            LocalDeployment(scene.folder, scene.clock)
    with pytest.raises(DataFolderError, match="was moved to"):
        scene.to_postgresql()
    # The audit log knows, too.
    DataFolder(scene.folder).moved.unlink()
    with pytest.raises(DataFolderError, match="copy from before its history 2"):
        LocalDeployment(scene.folder, scene.clock)


def test_the_postgresql_database_that_was_left_is_not_served(scene: Scene) -> None:
    scene.to_postgresql()
    scene.to_sqlite()
    with pytest.raises(DataFolderError, match=r"has moved to SQLite, to `/.*/data`"):
        open_existing(scene.there, scene.clock, entropy)
    with pytest.raises(DataFolderError, match="is there already"):
        scene.to_sqlite()
    with pytest.raises(DataFolderError, match="has moved to SQLite"):
        scene.to_postgresql()


def test_a_database_with_something_in_it_is_not_filled(scene: Scene, tmp_path: Path) -> None:
    scene.to_postgresql()
    second = Scene(tmp_path / "second", scene.address)
    with pytest.raises(DataFolderError, match=r"is not empty: it has rows in `\w+`"):
        second.to_postgresql()
    # It is as it was before.
    LocalDeployment(second.folder, second.clock).deployment.close()
    assert second.moves() == ["BeginDatabaseMove", "BeginDatabaseMove"]


def test_a_served_folder_is_not_moved(scene: Scene) -> None:
    served = LocalDeployment(scene.folder, scene.clock)
    with closing(served.deployment), pytest.raises(DataFolderError, match="another server is using"):
        scene.to_postgresql()
    assert read_mark(DataFolder(scene.folder)) is None


def test_a_folder_in_which_a_command_changes_something_is_not_moved(scene: Scene) -> None:
    with (
        closing(open_existing(scene.here, scene.clock, entropy)) as opened,
        opened.trail.changing(),
        pytest.raises(DataFolderError, match="another command changes something"),
    ):
        scene.to_postgresql()
    assert read_mark(DataFolder(scene.folder)) is None


def test_a_served_database_is_not_left(scene: Scene) -> None:
    scene.to_postgresql()
    with closing(MemberConnection(scene.address, 5)) as member:
        member.perform(Join("a" * 12, b"i" * 16, 2.0, About("0.0.1"), None))

        def renew(_seconds: float) -> None:
            member.perform(Renew("a" * 12, b"i" * 16))

        unsealing = Unsealing(scene.there, entropy)
        move = MoveToSqlite(scene.there, scene.database(), unsealing, scene.clock, entropy, renew)
        with pytest.raises(DataFolderError, match=f"is served by node {'a' * 12}"):
            move.run(lambda *_: None)
        assert not scene.folder.joinpath("moving.db").exists()
        # One that was killed renews no more, and is out when it comes back.
        assert scene.to_sqlite() is not None
        assert member.perform(Renew("a" * 12, b"i" * 16)) is None
        with pytest.raises(psycopg.OperationalError, match="has moved"):
            member.perform(Join("a" * 12, b"i" * 16, 2.0, About("0.0.1"), None))


def test_a_write_on_another_host_that_began_before_a_move_moves_too(scene: Scene, postgresql: Cluster) -> None:
    """Such as that of a command, which has no lease that the move would wait for."""
    scene.to_postgresql()
    record = AccountRecord("999988887777", NOW)
    with closing(open_existing(scene.there, scene.clock, entropy)) as opened, ThreadPoolExecutor() as threads:
        moves: list[Future[Copied | None]] = []

        def act(transaction: Transaction) -> None:
            if not moves:
                moves.append(threads.submit(scene.to_sqlite))
                deadline = time.monotonic() + 60
                while not (moves[0].done() or waits_for_a_lock(postgresql)) and time.monotonic() < deadline:
                    time.sleep(0.02)
            transaction.add_account(record)

        opened.store.write(act)
        assert moves[0].result(60) is not None
    with closing(open_existing(scene.here, scene.clock, entropy)) as opened, opened.store.read() as reader:
        assert record in reader.accounts()


def waits_for_a_lock(cluster: Cluster) -> bool:
    with closing(psycopg.connect(cluster.address())) as connection:
        found = connection.execute("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
    return found is not None


def test_a_write_on_another_host_after_a_move_is_refused(scene: Scene) -> None:
    scene.to_postgresql()
    record = AccountRecord("999988887777", NOW)
    moved = rf"cannot be written any more: .*\(to SQLite, to `{scene.folder}`"
    with closing(open_existing(scene.there, scene.clock, entropy)) as opened:
        scene.to_sqlite()
        with pytest.raises(StoreUnavailable) as refused:
            opened.store.write(lambda transaction: transaction.add_account(record))
        assert re.search(moved, refused.value.explanation)
        # One that the change log has no entry of.
        with pytest.raises(StoreUnavailable):
            opened.store.write(lambda _: None)
        with opened.store.read() as reader:
            assert record not in reader.accounts()


def test_a_command_that_was_open_before_a_move_changes_nothing(scene: Scene) -> None:
    """What it writes would be lost: it has the database open that was left, and from the first move back, none else."""
    credentials = (scene.folder / "credentials").read_bytes()
    moved = rf"nothing was changed.*was moved.*to SQLite, to `{scene.folder}`"
    with closing(open_existing(scene.here, scene.clock, entropy)) as early:
        scene.to_postgresql()
        with pytest.raises(DataFolderError, match="has moved to the database"):
            early.registrar.create_service("a.amazonaws.com")
        with pytest.raises(DataFolderError, match="has moved to the database"):
            # The audit log knows of a newer history, so there seems to be something to accept.
            accept_older(early.folder, early.store, early.trail, entropy, scene.clock.now())
        with closing(open_existing(scene.there, scene.clock, entropy)) as late:
            scene.to_sqlite()
            with pytest.raises(DataFolderError, match=moved):
                late.registrar.create_service("b.amazonaws.com")
            with pytest.raises(DataFolderError, match="another database was put in the place of"):
                early.registrar.create_service("c.amazonaws.com")
            with pytest.raises(DataFolderError, match=moved):
                late.domain_keys.begin(())
    assert (scene.folder / "credentials").read_bytes() == credentials
    with closing(open_existing(scene.here, scene.clock, entropy)) as opened:
        assert opened.registrar.services() == []
        opened.registrar.create_service("d.amazonaws.com")
        folders, key = AuditFolders((scene.folder / "audit",), ()), opened.audit_key().public()
        report = verify_log(folders, None, key, opened.store, lambda _: None, boot=scene.clock.boot())
    assert [each["eventName"] for each in command_records(scene.folder)] == [
        *["BeginDatabaseMove", "CompleteDatabaseMove"] * 2,
        "CreateService",
    ]
    assert report.findings == []


def test_a_record_that_was_changed_moves_as_it_is_and_is_named(scene: Scene) -> None:
    with closing(sqlite3.connect(scene.folder / "strongroom.db")) as connection:
        connection.execute("UPDATE kms_key SET description = 'forged' WHERE key_id = ?", (scene.key_id,))
        connection.commit()
    copied = scene.to_postgresql()
    assert copied is not None
    assert copied.damaged_count == 1
    assert scene.key_id in copied.damaged[0]


def test_a_record_that_postgresql_cannot_hold_is_named(scene: Scene) -> None:
    with closing(sqlite3.connect(scene.folder / "strongroom.db")) as connection:
        connection.execute("UPDATE kms_key SET description = CAST(x'ff00' AS TEXT) WHERE key_id = ?", (scene.key_id,))
        connection.commit()
    with pytest.raises(DataFolderError, match="records in `kms_key` are damaged"):
        scene.to_postgresql()
    assert read_mark(DataFolder(scene.folder)) is None
    LocalDeployment(scene.folder, scene.clock).deployment.close()


def test_another_folder_without_the_root_key_does_not_get_the_deployment(scene: Scene, tmp_path: Path) -> None:
    scene.to_postgresql()
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    with pytest.raises(DataFolderError, match=r"root\.key` is missing"):
        scene.to_sqlite(other)


def test_a_lost_audit_record_prevents_the_move(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "strongroom.assembly.command_trail.open_audit_log", lambda *_, **__: Path("/nowhere").read_bytes()
    )
    with pytest.raises(DataFolderError, match="nothing was changed"):
        scene.to_postgresql()
    store = SqlStore(open_sqlite(scene.folder / "strongroom.db"))
    with closing(store), store.read() as reader:
        assert reader.database_position().history == 1


def test_seals_move_too(scene: Scene) -> None:
    """Other nodes do not have the file of the first one, and what they change is in the database."""
    with closing(open_existing(scene.here, scene.clock, entropy)) as opened:
        opened.seals.add("spare", "passphrase", {}, "correct horse battery")
    scene.to_postgresql()
    document = DataFolder(scene.folder).seal
    with closing(open_existing(scene.there, scene.clock, entropy)) as opened:
        assert [each.name for each in opened.seals.status().seals] == ["file", "spare"]
        opened.seals.add("other", "passphrase", {}, "battery staple correct")
    document.unlink(missing_ok=True)
    with closing(psycopg.connect(scene.address, autocommit=True)) as connection:
        (kept,) = connection.execute("SELECT document FROM seal_document").fetchone() or ()
        connection.execute("UPDATE seal_document SET document = 'forged'::bytea")
        with pytest.raises(UnsealError, match=r"the seal document of the database `.*`, in its table `seal_document`"):
            open_existing(scene.there, scene.clock, entropy)
        connection.execute("UPDATE seal_document SET document = %s", (kept,))
    scene.to_sqlite()
    assert document.exists()
    with closing(open_existing(scene.here, scene.clock, entropy)) as opened:
        assert [each.name for each in opened.seals.status().seals] == ["file", "spare", "other"]


def test_a_backup_of_sqlite_is_restored_into_postgresql(scene: Scene, tmp_path: Path) -> None:
    deployment = LocalDeployment(scene.folder, scene.clock)
    with closing(deployment.deployment):
        made = back_up(deployment, tmp_path / "backup")
        new = replace(scene.there, data=str(tmp_path / "new"))
        database = PostgresqlDatabase(new, scene.clock, entropy)
        restored = restore(deployment, made, tmp_path / "new", database=database)
        assert restored.content.damaged_count == 0
        assert not (tmp_path / "new" / "strongroom.db").exists()
        with closing(open_existing(new, scene.clock, entropy)) as opened, opened.store.read() as reader:
            assert sum(reader.keys_by_region().values()) == 21
            assert list(reader.findings(lambda *_: True)) == []
        with pytest.raises(DataFolderError, match="is not empty"):
            restore(deployment, made, tmp_path / "again", database=database)
        assert not (tmp_path / "again").exists()


def test_a_backup_of_postgresql_is_restored_into_sqlite(scene: Scene, tmp_path: Path) -> None:
    scene.to_postgresql()
    with closing(open_existing(scene.there, scene.clock, entropy)) as opened:
        made = BackupMaker(opened, scene.clock, entropy).make(tmp_path / "backup", None, lambda *_: None)
    request = RestoreRequest(
        file=made.path,
        decryption=None,
        data=tmp_path / "new",
        root_key=scene.folder / "root.key",
        unsealing=Unsealing(scene.here, entropy),
        audit=[scene.folder],
    )
    restored = Restore(request, scene.clock, entropy, lambda *_: lambda *_: None).run()
    assert restored.content.damaged_count == 0
    (tmp_path / "new" / "credentials").write_bytes((scene.folder / "credentials").read_bytes())
    deployment = LocalDeployment(tmp_path / "new", scene.clock)
    with closing(deployment.deployment):
        assert deployment.call("Decrypt", CiphertextBlob=scene.blob)["Plaintext"] == "c2VjcmV0"
