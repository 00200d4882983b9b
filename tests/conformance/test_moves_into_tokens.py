"""Domain keys that move into a token and out of it again, by rotations, while the server runs."""

import json
import sqlite3
from pathlib import Path

import pytest

from accounts import strongroom, succeed
from clients import client_of
from local_server import RunningServer, running_server
from softhsm import new_token, token_settings

REGION = "us-east-1"
MATERIALS = 12


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**new_token(tmp_path), **token_settings(tmp_path)}.items():
        monkeypatch.setenv(name, value)


def formats(data: Path) -> set[bytes]:
    with sqlite3.connect(data / "strongroom.db") as database:
        return {row[0][:5] for row in database.execute("SELECT token FROM key_material")}


def made(server: RunningServer) -> list[bytes]:
    kms, blobs = client_of(server), []
    for _ in range(MATERIALS // 2):
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        blobs.append(kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"])
        kms.rotate_key_on_demand(KeyId=key)
    return blobs


def opens(server: RunningServer, blobs: list[bytes]) -> bool:
    kms = client_of(server)
    return {kms.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs} == {b"text"}


def objects(data: Path) -> tuple[int, int]:
    """Return how many domain keys are in the token, and how many objects there that are not ours."""
    found = json.loads(succeed(data, "hsm", "status", "--json"))
    assert all(each["there"] for each in found["domain_keys"])
    return len(found["domain_keys"]), len(found["other_objects"])


@pytest.mark.usefixtures("token")
def test_keys_move_into_a_token_and_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    software = {"STRONGROOM_KEY_PROTECTION": "software"}
    with running_server(data, tmp_path / "log", environment=software) as server:
        blobs = made(server)
        assert formats(data) == {b"\x01\0\0\0\x01"}
    with running_server(data, tmp_path / "log2", "--workers", "2") as server:
        said = "`key-protection` is pkcs11-root, and that of the keys in us-east-1 is software; to move them, run: "
        assert said in (tmp_path / "log2").read_text()
        blobs += made(server)
        assert formats(data) == {b"\x01\0\0\0\x01"}
        succeed(data, "domain-keys", "rotate", "--region", REGION)
        assert formats(data) == {b"\x11\0\0\0\x02"}
        assert opens(server, blobs)
        blobs += made(server)
        assert opens(server, blobs)
        succeed(data, "domain-keys", "destroy-old", "--region", REGION)
        assert objects(data) == (1, 0)
        # From one object of the token to another.
        succeed(data, "domain-keys", "rotate", "--region", REGION)
        assert objects(data) == (2, 0)
        succeed(data, "domain-keys", "destroy-old", "--region", REGION)
        assert objects(data) == (1, 0)
        assert formats(data) == {b"\x11\0\0\0\x03"}
        assert opens(server, blobs)
    with running_server(data, tmp_path / "log3") as server:
        assert opens(server, blobs)
        monkeypatch.setenv("STRONGROOM_KEY_PROTECTION", "software")
        succeed(data, "domain-keys", "rotate", "--region", REGION)
        succeed(data, "domain-keys", "destroy-old", "--region", REGION)
        assert objects(data) == (0, 0)
        assert opens(server, blobs)
    for name in ("MODULE", "TOKEN", "PIN_FILE"):
        monkeypatch.delenv(f"STRONGROOM_PKCS11_{name}")
    with running_server(data, tmp_path / "log4") as server:
        assert opens(server, blobs)
    assert strongroom(data, "audit", "verify").returncode == 0
