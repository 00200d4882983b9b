"""Objects in a hardware token that belong to no domain key: what shows them, and what destroys which of them."""

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from audits import command_records
from clients import client_of
from local_server import running_server
from postgresql import SERVER, Cluster
from softhsm import LABEL, MODULE, new_token, pin_file, token_settings
from strongroom.assembly.open_folder import open_existing
from strongroom.assembly.tokens import ConfiguredToken
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import SystemClock
from strongroom.crypto.pkcs11.wrapping import create_wrapping_key, made_at
from strongroom.entropy import system_entropy
from strongroom.settings import Settings
from strongroom.store.protocol import Transaction
from strongroom.store.subjects.destructions import ErasedDomainKey
from warm_commands import strongroom

HOUR = 3600.0
ABSENT = "ab" * 16


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with its domain keys in a token, and a seal there."""
    for name, value in {**new_token(tmp_path), **token_settings(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "data"
    done = strongroom(folder, "init")
    assert done.returncode == 0, done.stderr
    done = strongroom(folder, "seal", "add", "second", "pkcs11")
    assert done.returncode == 0, done.stderr
    return folder


def left_over(tmp_path: Path, object_id: bytes, now: float | None) -> str:
    """Make an object as a start does that is killed before it stores a domain key; return its id in hex."""
    settings = Settings(pkcs11_module=str(MODULE), pkcs11_token=LABEL, pkcs11_pin_file=str(pin_file(tmp_path)))
    with closing(ConfiguredToken(Unsealing(settings, system_entropy))) as token:
        token.require()
        create_wrapping_key(token, object_id, "us-east-1", 1, now)
    return object_id.hex()


def status(data: Path) -> dict[str, Any]:
    done = strongroom(data, "hsm", "status", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_no_domain_key_has_is_shown_and_destroyed_once_it_is_old(data: Path, tmp_path: Path) -> None:
    now = time.time()  # noqa: TID251 - commands have the real time
    young, old = left_over(tmp_path, b"y" * 16, now - HOUR), left_over(tmp_path, b"o" * 16, now - 49 * HOUR)
    unknown = left_over(tmp_path, b"u" * 16, None)
    shown = {each["object_id"]: each for each in status(data)["other_objects"]}
    assert shown.keys() == {young, old, unknown}
    assert (shown[old]["made_at"], shown[unknown]["made_at"]) == (int(now - 49 * HOUR), None)
    said = strongroom(data, "hsm", "status").stdout
    assert f"Not ours:          strongroom/us-east-1/1, object {unknown}\n" in said

    for chosen, why in ((young, "may be about to use it"), (unknown, "give --older-than 0s"), (ABSENT, "no object")):
        refused = strongroom(data, "hsm", "destroy", old, chosen, "--yes")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert why in refused.stderr
    rehearsed = strongroom(data, "hsm", "destroy", old)
    assert "would be destroyed with --yes" in rehearsed.stdout
    assert len(status(data)["other_objects"]) == 3
    assert not [each for each in command_records(data) if each["eventName"] == "DestroyTokenObject"]

    done = strongroom(data, "hsm", "destroy", old.upper(), "--yes", "--json")
    assert json.loads(done.stdout) == {"objects": [old], "destroyed": True}
    assert strongroom(data, "hsm", "destroy", young, unknown, "--yes", "--older-than", "0s").returncode == 0
    assert status(data)["other_objects"] == []
    records = [each for each in command_records(data) if each["eventName"] == "DestroyTokenObject"]
    named = [each["serviceEventDetails"]["objects"] for each in records]
    assert [[*each] for each in named] == [[old], sorted([young, unknown], reverse=True)]


def test_what_is_in_use_is_never_destroyed(data: Path, tmp_path: Path) -> None:
    with running_server(data, tmp_path / "log") as server:
        kms = client_of(server)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    found = status(data)
    seals = json.loads(strongroom(data, "seal", "status", "--json").stdout)["seals"]
    (seal,) = [each for each in seals if each["kind"] == "pkcs11"]
    used = [each["object_id"] for each in found["domain_keys"]]
    for each in (*used, seal["parameters"]["object"]):
        refused = strongroom(data, "hsm", "destroy", each, "--yes", "--older-than", "0s")
        assert refused.returncode == 1
        assert "belongs to a domain key that is in use" in refused.stderr or "is the key of the seal" in refused.stderr
    assert status(data)["other_objects"] == []
    (data / "restored-objects").write_text(f"{left_over(tmp_path, b'r' * 16, None)}\n")
    refused = strongroom(data, "hsm", "destroy", (b"r" * 16).hex(), "--yes", "--older-than", "0s")
    assert "the deployment whose backup was restored here may need it" in refused.stderr
    assert "'x' is no id of an object" in strongroom(data, "hsm", "destroy", "x", "--yes").stderr
    with running_server(data, tmp_path / "log2") as server:
        assert client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"


def test_the_domain_keys_of_regions_that_other_nodes_serve_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgresql: Cluster
) -> None:
    for name, value in {**new_token(tmp_path), **token_settings(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "data"
    with postgresql.database() as name:
        monkeypatch.setenv("STRONGROOM_STORE", postgresql.address(name, SERVER))
        monkeypatch.setenv("STRONGROOM_REGIONS", "us-east-1,eu-west-1")
        done = strongroom(folder, "init")
        assert done.returncode == 0, done.stderr
        monkeypatch.setenv("STRONGROOM_REGIONS", "us-east-1")
        found = status(folder)
        assert sorted(each["region"] for each in found["domain_keys"]) == ["eu-west-1", "us-east-1"]
        assert found["other_objects"] == []
        for each in found["domain_keys"]:
            refused = strongroom(folder, "hsm", "destroy", each["object_id"], "--yes", "--older-than", "0s")
            assert "belongs to a domain key that is in use" in refused.stderr


def test_an_announced_object_of_a_region_that_no_node_serves_is_destroyed_once_it_is_due(
    data: Path, tmp_path: Path
) -> None:
    now = time.time()  # noqa: TID251 - commands have the real time
    early, overdue = left_over(tmp_path, b"e" * 16, now - 3600), left_over(tmp_path, b"o" * 16, now - 7200)
    settings = Settings(data=str(data), pkcs11_module=str(MODULE), pkcs11_token=LABEL)
    settings = replace(settings, pkcs11_pin_file=str(pin_file(tmp_path)))

    def announce(transaction: Transaction) -> None:
        for each, due_at in ((early, now + 900), (overdue, now - 900)):
            transaction.add_destruction(ErasedDomainKey("eu-west-9", 2, each, uncommitted=True), due_at)

    with closing(open_existing(settings, SystemClock(), system_entropy)) as opened:
        opened.store.write(announce)
        refused = strongroom(data, "hsm", "destroy", overdue, early, "--yes", "--older-than", "0s")
        assert f"the object {early} (strongroom/us-east-1/1/" in refused.stderr
        assert "is not for this command: a server destroys it after" in refused.stderr
        done = strongroom(data, "hsm", "destroy", overdue, "--yes", "--older-than", "0s")
        assert done.returncode == 0, done.stderr
        with opened.store.read() as reader:
            assert [each.erased.object_id for each in reader.object_destructions()] == [early]
    assert [each["object_id"] for each in status(data)["other_objects"]] == [early]


def test_no_node_of_a_restored_copy_destroys_what_the_original_needs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgresql: Cluster
) -> None:
    """Its second node has a data folder of its own, into which nothing was restored."""

    def succeed(folder: Path, *words: str) -> str:
        done = strongroom(folder, *words)
        assert done.returncode == 0, done.stderr
        return f"{done.stdout}{done.stderr}"

    with running_server(data, tmp_path / "log") as server:
        kms = client_of(server)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    before = status(data)
    assert not before["shared_seals"]
    assert not any(each["shared"] for each in before["domain_keys"])
    shared = {each["object_id"] for each in before["domain_keys"]}
    succeed(data, "backup", "--to", str(tmp_path / "backup"), "--unencrypted")
    first, second = tmp_path / "first", tmp_path / "second"
    with postgresql.database() as name, monkeypatch.context() as nodes:
        nodes.setenv("STRONGROOM_STORE", postgresql.address(name, SERVER))
        root = ("--root-key", str(data / "seal.json"), "--without-audit-log")
        for path in data.glob("root*.key"):
            second.mkdir(mode=0o700, exist_ok=True)
            (second / path.name).write_bytes(path.read_bytes())
            (second / path.name).chmod(0o600)
        succeed(first, "restore", str(tmp_path / "backup"), *root)
        with running_server(second, tmp_path / "log1"):
            pass
        copied = status(second)
        assert copied["shared_seals"] == copied["seals"] == ["second"]
        assert all(each["shared"] for each in copied["domain_keys"])
        succeed(second, "domain-keys", "rotate")
        assert not any(each["shared"] for each in status(second)["domain_keys"] if each["version"] == 2)
        assert "objects of destroyed domain keys stay in the token" in succeed(second, "domain-keys", "destroy-old")
        assert "the key of the seal 'second' stays in the token" in succeed(second, "seal", "remove", "second")
        others = status(second)["other_objects"]
        assert all(each["shared"] for each in others)
        left = {each["object_id"] for each in others}
        assert left > shared
        shown = strongroom(second, "hsm", "status").stdout.splitlines()
        assert sum(
            "shared: the deployment whose backup was restored here may need it" in each for each in shown
        ) == len(left)
        for each in left:
            refused = strongroom(second, "hsm", "destroy", each, "--yes", "--older-than", "0s")
            assert "the deployment whose backup was restored here may need it" in refused.stderr
        nodes.delenv("STRONGROOM_STORE")
        with running_server(data, tmp_path / "log2") as server:
            assert client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
        # Once the original is gone, an operator says so.
        nodes.setenv("STRONGROOM_STORE", postgresql.address(name, SERVER))
        (second / "restored-objects").touch()
        succeed(second, "hsm", "destroy", *shared, "--yes", "--older-than", "0s")
        others = status(second)["other_objects"]
        assert {each["object_id"] for each in others} == left - shared
        assert not any(each["shared"] for each in others)


@pytest.mark.parametrize(
    ("label", "at"),
    [
        ("strongroom/us-east-1/1/2026-11-30T00:00:00Z", 1795996800.0),
        ("strongroom/us-east-1/1", None),
        ("strongroom/us-east-1/1/2026-13-30T00:00:00Z", None),
        ("strongroom/us-east-1/1/9999-12-31T23:59:60Z", 253402300800.0),
    ],
)
def test_the_age_is_that_of_the_label(label: str, at: float | None) -> None:
    assert made_at(label) == at
