"""Faults of the disk and the folder of the database: what calls get, what is logged and counted, and how it ends."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from mypy_boto3_kms.client import KMSClient

from faulty_stores import FaultyStore, faulty_store, fill, other_user, small_disk, use_up_inodes
from key_import import wrap
from scrapes import scrape_until

FULL = "`strongroom.db` cannot be written: its disk is full (SQLITE_FULL: database or disk is full, while writing"
ANSWERED = (200, "ok\n")


def test_a_full_disk_is_said_once_and_ends_without_a_restart(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=4m") as disk:
        data = disk / "data"
        data.mkdir(mode=0o700)
        # The audit log is on another disk, which has room.
        (tmp_path / "audit").mkdir(mode=0o700)
        (data / "audit").symlink_to(tmp_path / "audit")
        with faulty_store(data, tmp_path / "log") as store:
            key_id = store.key()
            store.readiness_when(*ANSWERED)
            filling = fill(disk)
            # The files of the database have room for a few more.
            with suppress(store.kms.exceptions.DependencyTimeoutException):
                for _ in range(300):
                    store.kms.create_key()
            for _ in range(4):
                code, message = store.fails(store.kms.create_key)
                assert code == "DependencyTimeoutException"
                assert message.startswith("The key store cannot be written now: its disk is full.")
            store.faults("full", 5)
            # What needs no write is answered, so the server is ready.
            blob = store.kms.encrypt(KeyId=key_id, Plaintext=b"kept")["CiphertextBlob"]
            assert store.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"
            assert store.kms.describe_key(KeyId=key_id)["KeyMetadata"]["Enabled"]
            assert store.readiness_when(200, FULL).startswith("degraded: ")
            assert_said_once(store, FULL)

            filling.unlink()
            store.readiness_when(200, "ok")
            store.said("no longer so: `strongroom.db` cannot be written: its disk is full")
            assert store.reported(FULL) == 1
            store.kms.create_key()
            store.assert_no_traceback()
            assert store.server.stop() == 0


def test_a_disk_without_inodes_keeps_nothing_from_being_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=16m,nr_inodes=200") as disk:
        data = disk / "data"
        with faulty_store(data, tmp_path / "log") as store:
            store.key()
            use_up_inodes(disk)
            store.kms.schedule_key_deletion(KeyId=store.key())
            store.readiness_when(200, "ok")
            assert store.server.stop() == 0


def test_a_limit_of_file_sizes_is_said_as_the_fault_of_the_disk(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with faulty_store(data, tmp_path / "log") as store:
        store.key()
        # No other file is to reach the limit: the log of the database grows faster than the audit log.
        while store.log_file.stat().st_size < (1 << 16) + sum(each.stat().st_size for each in data.glob("audit/*")):
            store.key()
        store.leave_room(store.log_file.stat().st_size)
        code, message = store.fails(store.kms.create_key)
        assert code == "DependencyTimeoutException"
        assert message.startswith("The key store cannot be reached now: its disk failed.")
        assert "SQLITE_IOERR_WRITE: disk I/O error" in store.readiness_when(200, "degraded")
        store.faults("io", 1)
        store.leave_room(-1)
        store.readiness_when(200, "ok")
        store.kms.create_key()
        store.assert_no_traceback()
        assert store.server.stop() == 0


def test_a_folder_that_is_closed_to_the_server(tmp_path: Path) -> None:
    with other_user() as (folder, launcher):
        data = folder / "data"
        with faulty_store(data, tmp_path / "log", launcher=launcher) as store:
            key_id = store.key()
            data.chmod(0)
            code, message = store.fails(store.kms.create_key)
            assert (code, message) == ("DependencyTimeoutException", "The key store cannot be opened now.")
            store.kms.encrypt(KeyId=key_id, Plaintext=b"x")
            assert "EACCES: Permission denied" in store.readiness_when(200, "degraded: `strongroom.db`")
            assert "check the rights of the data folder" in store.readiness()[1]
            store.faults("unreachable", 1)
            assert_said_once(store, "EACCES")
            data.chmod(0o700)
            store.readiness_when(200, "ok")
            store.kms.create_key()
            store.assert_no_traceback()
            assert store.server.stop() == 0


def test_a_database_that_another_process_keeps_locked(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with faulty_store(data, tmp_path / "log") as store:
        key_id = store.key()
        with closing(sqlite3.connect(store.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert store.readiness() == (200, "degraded: a write to the key store takes longer than two seconds\n")
            code, message = store.fails(store.kms.create_key)
            assert (code, message) == ("DependencyTimeoutException", "The key store did not answer in time.")
            store.kms.encrypt(KeyId=key_id, Plaintext=b"x")
            store.readiness_when(200, "`strongroom.db` did not answer in time (SQLITE_BUSY: database is locked")
            store.faults("busy", 1)
        # docs/operations.md: the first check that comes five seconds later.
        time.sleep(5)
        assert "did not answer in time" not in store.readiness()[1]
        # A write may be slow on a busy machine.
        store.readiness_when(*ANSWERED)
        store.kms.create_key()
        store.assert_no_traceback()
        assert store.server.stop() == 0


def test_a_reader_that_keeps_erased_material_in_the_log_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM_KEEPER_INTERVAL", "0.2")
    waiting = "strongroom_store_erasure_waiting_seconds"
    with faulty_store(tmp_path / "data", tmp_path / "log") as store:
        store.key()
        scrape_until(store.server, lambda shown: shown.sum(waiting) == 0)
        with closing(sqlite3.connect(store.database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM kms_key").fetchone()
            erase_material(store.kms)
            scrape_until(store.server, lambda shown: shown.sum(waiting) > 0)
            size = "strongroom_store_wal_bytes"
            scrape_until(store.server, lambda shown: shown.sum(size) == store.log_file.stat().st_size > 0)
        scrape_until(store.server, lambda shown: shown.sum(waiting) == 0)
        assert store.server.stop() == 0


def erase_material(kms: KMSClient) -> None:
    key_id = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    given = kms.get_parameters_for_import(
        KeyId=key_id, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
    )
    kms.import_key_material(
        KeyId=key_id,
        ImportToken=given["ImportToken"],
        EncryptedKeyMaterial=wrap(given["PublicKey"], "RSAES_OAEP_SHA_256", bytes(32)),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    kms.delete_imported_key_material(KeyId=key_id)


def remove_log(database: Path) -> None:
    database.with_name("strongroom.db-wal").unlink()


def remove_index(database: Path) -> None:
    database.with_name("strongroom.db-shm").unlink()


@pytest.mark.parametrize("remove", [remove_log, remove_index])
def test_a_file_that_is_removed_beneath_the_server_ends_service(tmp_path: Path, remove: Callable[[Path], None]) -> None:
    data = tmp_path / "data"
    with faulty_store(data, tmp_path / "log") as store:
        key_id = store.key()
        remove(store.database)
        body = store.readiness_when(503, "not ready: the key store does not answer")
        assert "was moved, replaced or removed" in body
        code, message = store.fails(store.kms.encrypt, KeyId=key_id, Plaintext=b"x")
        assert code == "DependencyTimeoutException"
        assert message == "The files of the key store are not those that this server has opened."
        assert_said_once(store, "was moved, replaced or removed")
        assert store.server.stop() == 0


def assert_said_once(store: FaultyStore, text: str) -> None:
    store.said(text)
    assert store.reported(text) == 1
    store.assert_no_traceback()


def close_database(data: Path) -> None:
    data.joinpath("strongroom.db").chmod(0)


def close_to_writers(data: Path) -> None:
    data.joinpath("strongroom.db").chmod(0o400)


def close_folder_to_writers(data: Path) -> None:
    data.chmod(0o500)


REFUSALS: dict[Callable[[Path], None], str] = {
    close_database: "or a file beside it cannot be opened (SQLITE_CANTOPEN: unable to open database file",
    close_to_writers: "can only be read (SQLITE_READONLY: attempt to write a readonly database",
    close_folder_to_writers: "can only be read (SQLITE_READONLY_DIRECTORY: attempt to write a readonly database",
}


@pytest.mark.parametrize("close", REFUSALS)
def test_a_start_on_files_that_are_closed_to_it_says_so_in_its_last_line(
    tmp_path: Path, close: Callable[[Path], None]
) -> None:
    with other_user() as (folder, launcher):
        data = folder / "data"
        with faulty_store(data, tmp_path / "log", launcher=launcher) as store:
            assert store.server.stop() == 0
        close(data)
        with pytest.raises(SystemExit), faulty_store(data, tmp_path / "refused", launcher=launcher):
            pass
        said = tmp_path.joinpath("refused").read_text()
        assert said.splitlines()[-1].startswith(f"Error: `{data / 'strongroom.db'}` {REFUSALS[close]}")
        assert "Traceback" not in said


def test_a_start_on_a_full_disk_says_so_in_its_last_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=4m") as disk:
        with faulty_store(disk / "data", tmp_path / "log") as store:
            assert store.server.stop() == 0
        filling = fill(disk)
        with pytest.raises(SystemExit), faulty_store(disk / "data", tmp_path / "refused"):
            pass
        said = tmp_path.joinpath("refused").read_text().splitlines()[-1]
        assert said.startswith(
            f"Error: `{disk / 'data' / 'strongroom.db'}` cannot be used: its disk failed (SQLITE_IOERR"
        )
        assert "its free space" in said
        filling.unlink()
        with faulty_store(disk / "data", tmp_path / "log2") as store:
            store.kms.create_key()
            assert store.server.stop() == 0
