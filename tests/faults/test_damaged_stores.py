"""Damage to the database beneath a running server: only what needs the damaged part fails, and the log says why."""

from pathlib import Path

import pytest

from accounts import strongroom
from faulty_stores import change, empty_log, faulty_store, pages_of, zero_all, zero_page

DAMAGED = ("KMSInternalException", "The key store is damaged where this request needs it.")


def test_a_table_that_is_gone(tmp_path: Path) -> None:
    with faulty_store(tmp_path / "data", tmp_path / "log") as store:
        key_id = store.key()
        change(store.database, "ALTER TABLE custom_key_store RENAME TO elsewhere")
        for _ in range(3):
            assert store.fails(store.kms.describe_custom_key_stores) == DAMAGED
        store.kms.encrypt(KeyId=key_id, Plaintext=b"x")
        store.kms.create_key()
        store.faults("schema", 3)
        body = store.readiness_when(
            200, "SQLITE_ERROR: no such table: custom_key_store, while reading custom_key_store"
        )
        assert body.startswith("degraded: ")
        # Which part it is, the check of the whole database says too.
        store.readiness_when(200, "`strongroom.db` is damaged (no such table: custom_key_store)")
        store.said("lacks a table or a column (")
        assert store.reported("lacks a table or a column (") == 1
        store.assert_no_traceback()
        assert store.server.stop() == 0
    refused = strongroom(tmp_path / "data", "serve", "--listen", "127.0.0.1:0", "--workers", "1")
    assert refused.returncode == 1
    assert "strongroom.db` is damaged (no such table: custom_key_store); restore a backup" in refused.stderr


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE kms_key SET spec = 'NONE' WHERE key_id = ?",
        "UPDATE kms_key SET description = CAST(x'ff' AS TEXT) WHERE key_id = ?",
        "UPDATE kms_key SET pinned = x'00' WHERE key_id = ?",
        "UPDATE key_material SET state = 'yesterday' WHERE key_id = ?",
    ],
)
def test_one_damaged_row(tmp_path: Path, damage: str) -> None:
    """It is quarantined: a client that tried again would get the same answer."""
    data = tmp_path / "data"
    with faulty_store(data, tmp_path / "log") as store:
        good, bad = store.key(), store.key()
        assert store.server.stop() == 0
    change(data / "strongroom.db", damage, bad)
    with faulty_store(data, tmp_path / "log") as store:
        for _ in range(3):
            with pytest.raises(store.kms.exceptions.KMSInvalidStateException, match="cannot be used until it is"):
                store.kms.encrypt(KeyId=bad, Plaintext=b"x")
        store.kms.encrypt(KeyId=good, Plaintext=b"x")
        assert len(store.kms.list_keys()["Keys"]) == 2
        assert store.readiness_when(200, "failed authentication").startswith("degraded: ")
        store.said(f"{bad} is not used")
        assert store.reported(f"{bad} is not used: its stored record failed authentication") == 1
        # What the row has may be a secret.
        assert "yesterday" not in store.log
        store.assert_no_traceback()
        assert store.server.stop() == 0


def test_one_page_of_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    with faulty_store(data, tmp_path / "log") as store:
        store.key()
        assert store.server.stop() == 0
    with faulty_store(data, tmp_path / "log") as store:
        empty_log(store.database)
        for page in pages_of(store.database, "custom_key_store"):
            zero_page(store.database, page)
        assert store.fails(store.kms.describe_custom_key_stores) == DAMAGED
        store.kms.create_key()
        store.faults("damaged", 1)
        store.readiness_when(200, "SQLITE_CORRUPT")
        store.readiness_when(200, "`strongroom.db` is damaged (")
        store.assert_no_traceback()
        assert store.server.stop() == 0
    refused = strongroom(data, "serve", "--listen", "127.0.0.1:0", "--workers", "1")
    assert refused.returncode == 1
    assert "or set `serve-damaged = true` to serve what can still be read" in refused.stderr.splitlines()[-1]
    monkeypatch.setenv("STRONGROOM_SERVE_DAMAGED", "true")
    with faulty_store(data, tmp_path / "log2") as served:
        served.kms.create_key()
        assert served.fails(served.kms.describe_custom_key_stores) == DAMAGED
        served.readiness_when(200, "is damaged (")
        served.said("and is served because of `serve-damaged`")
        assert served.server.stop() == 0


def test_a_file_of_zeros(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with faulty_store(data, tmp_path / "log") as store:
        empty_log(store.database)
        zero_all(store.database)
        codes = {store.fails(store.kms.create_key)[0] for _ in range(3)}
        assert codes == {"KMSInternalException"}
        store.faults("damaged", 1)
        store.readiness_when(503, "not ready: the key store does not answer")
        store.readiness_when(503, "restore a backup")
        store.assert_no_traceback()
        assert store.server.stop() == 0
    refused = strongroom(data, "serve", "--listen", "127.0.0.1:0", "--workers", "1")
    assert refused.returncode == 1
    assert f"`{data / 'strongroom.db'}` is damaged (SQLITE_NOTADB: file is not a database); restore" in refused.stderr
