"""A server whose domain keys are in a token: boto3 against SoftHSM, which goes away, hangs and comes back."""

import json
import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts import strongroom, succeed
from clients import client_of
from local_server import RunningServer, running_server
from server_processes import children_of, wait_until
from softhsm import PIN, FaultyModule, new_token
from started_servers import failed_start, started
from terminals import server_in_terminal, shown_to_others
from token_servers import error_of, readiness, use_faulty_module

SOON = 30.0


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyModule:
    """Return a module that all commands and servers of the test use."""
    return use_faulty_module(tmp_path, monkeypatch)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(module: FaultyModule, data: Path, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(data, tmp_path / "log") as server:
        yield server
        module.behave("")


def is_ready(server: RunningServer) -> bool:
    try:
        return '"degraded"' not in readiness(server)
    except OSError:
        return False


@pytest.mark.usefixtures("module")
def test_every_kind_of_key_survives_a_restart(data: Path, tmp_path: Path) -> None:
    with running_server(data, tmp_path / "log", "--workers", "2") as server:
        kms = client_of(server)
        key = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
        blobs = []
        for _ in range(3):
            blobs.append(kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"])
            kms.rotate_key_on_demand(KeyId=key)
        kms.replicate_key(KeyId=key, ReplicaRegion="eu-west-1")
        mac_key = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
        mac = kms.generate_mac(KeyId=mac_key, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
        signer = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        signature = kms.sign(KeyId=signer, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")["Signature"]
        for child in children_of(server.process.pid):
            for name in ("cmdline", "environ"):
                assert PIN.encode() not in Path(f"/proc/{child}/{name}").read_bytes()
    with running_server(data, tmp_path / "log2", "--workers", "2") as server:
        kms = client_of(server)
        for blob in blobs * 3:
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
            assert client_of(server, "eu-west-1").decrypt(CiphertextBlob=blob, KeyId=key)["Plaintext"] == b"text"
        kms.verify_mac(KeyId=mac_key, Message=b"m", MacAlgorithm="HMAC_SHA_256", Mac=mac)
        assert kms.verify(KeyId=signer, Message=b"m", SigningAlgorithm="ECDSA_SHA_256", Signature=signature)
        found = json.loads(succeed(data, "hsm", "status", "--json"))
        assert [(each["region"], each["there"]) for each in found["domain_keys"]] == [
            ("eu-west-1", True),
            ("us-east-1", True),
        ]
        assert found["capabilities"]["keeps_keys"]
        with sqlite3.connect(data / "strongroom.db") as database:
            tokens = [row[0] for row in database.execute("SELECT token FROM key_material")]
        assert len(tokens) == 10
        assert {token[:1] for token in tokens} == {b"\x11"}
    assert PIN not in (tmp_path / "log").read_text() + (tmp_path / "log2").read_text()


@pytest.mark.usefixtures("module")
def test_a_person_is_asked_for_the_pin_once_for_all_workers(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRONGROOM_PKCS11_PIN_FILE")
    assert "needs a PIN; name a file with it in `pkcs11-pin-file`" in failed_start(data).last_line
    with server_in_terminal(data, b"PIN of the token 'strongroom-test'", PIN, "--workers", "2") as server:
        kms = client_of(server)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        killed = children_of(server.process.pid)
        for child in killed:
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: len({*children_of(server.process.pid)} - {*killed}) == len(killed) and is_ready(server))
        kms.encrypt(KeyId=key, Plaintext=b"text")
        assert PIN not in shown_to_others(server.process.pid)


def test_a_token_that_is_gone_takes_only_what_needs_it(module: FaultyModule, server: RunningServer) -> None:
    kms = client_of(server)
    loaded, other = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    blob = kms.encrypt(KeyId=loaded, Plaintext=b"text")["CiphertextBlob"]
    module.behave("gone")
    for call, members in (
        (kms.create_key, {}),
        (kms.encrypt, {"KeyId": other, "Plaintext": b"text"}),
        (kms.rotate_key_on_demand, {"KeyId": loaded}),
    ):
        # One that had waited for the token would have timed out.
        assert error_of(call, **members)[0] == "KMSInternalException"
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    assert len(kms.list_keys()["Keys"]) == 2
    kms.create_alias(AliasName="alias/other", TargetKeyId=other)
    took = [error_of(kms.encrypt, KeyId=other, Plaintext=b"text")[1] for _ in range(40)]
    assert sorted(took)[len(took) // 2] < 1.0
    wait_until(lambda: "calls that need the hardware token fail" in readiness(server))
    module.behave("")
    wait_until(lambda: "hardware token" not in readiness(server))
    assert kms.encrypt(KeyId=other, Plaintext=b"text")["CiphertextBlob"]


def test_a_token_that_hangs_does_not_hold_up_other_calls(module: FaultyModule, server: RunningServer) -> None:
    kms = client_of(server)
    loaded, other = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    blob = kms.encrypt(KeyId=loaded, Plaintext=b"text")["CiphertextBlob"]
    module.behave("hang")
    code, seconds = error_of(kms.encrypt, KeyId=other, Plaintext=b"text")
    assert code == "DependencyTimeoutException"
    assert seconds > 4.0
    # One that needed the token would time out, too.
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    module.behave("")
    assert kms.encrypt(KeyId=other, Plaintext=b"text")["CiphertextBlob"]


def test_a_backup_opens_with_the_token_alone(
    module: FaultyModule, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup, secret, restored = tmp_path / "backup", tmp_path / "secret", tmp_path / "restored"
    secret.write_text("a passphrase of the backup\n")
    with running_server(data, tmp_path / "log") as server:
        kms = client_of(server)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
        more = ("--with-domain-keys", "--passphrase-file", str(secret))
        refused = strongroom(data, "backup", "--to", str(tmp_path / "refused"), *more)
        assert "the domain keys are in a hardware token, which never gives them away" in refused.stderr
        succeed(data, "seal", "rotate")
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
        succeed(data, "backup", "--to", str(backup), "--unencrypted")
        checked = strongroom(data, "doctor").stdout
        assert "has the domain keys of eu-west-1, us-east-1" in checked
        assert "the material of 1 key opens" in checked
        (key_file,) = data.glob("root-*.key")
    restore = ("restore", str(backup), "--root-key", str(key_file), "--without-audit-log")
    module.behave("gone")
    for answer in (strongroom(restored, *restore), strongroom(data, "hsm", "status")):
        assert answer.stderr == f"Error: `{module.path}` has no token 'strongroom-test' (it has: none)\n"
    module.behave("")
    with monkeypatch.context() as without:
        for name in ("MODULE", "TOKEN", "PIN_FILE"):
            without.delenv(f"STRONGROOM_PKCS11_{name}")
        without.delenv("STRONGROOM_KEY_PROTECTION")
        lost = strongroom(restored, *restore)
        assert lost.stderr == (
            "Error: a hardware token is needed; name it in the setting `pkcs11-module` (docs/hardware.md)\n"
        )
        assert "CRITICAL token:" in strongroom(data, "doctor").stdout
        succeed(data, "account", "create", "111122223333")
    assert not restored.exists()
    succeed(restored, *restore)
    succeed(restored, "account", "root-key", "000000000000", "--replace")
    with running_server(restored, tmp_path / "log2") as server:
        assert client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    # The original goes on, and needs the objects that the copy does not need any more.
    succeed(restored, "domain-keys", "rotate")
    left = strongroom(restored, "domain-keys", "destroy-old")
    assert left.returncode == 0
    assert "2 objects of destroyed domain keys stay in the token" in left.stderr
    for folder, log in ((data, "log3"), (restored, "log4")):
        with running_server(folder, tmp_path / log) as server:
            assert client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    (restored / "restored-objects").write_text("not an id\n")
    succeed(restored, "domain-keys", "rotate")
    refused = strongroom(restored, "domain-keys", "destroy-old")
    assert refused.returncode == 1
    assert refused.stderr.endswith("If that deployment is gone, make it an empty file\n")


def test_mistakes_are_told_in_one_line(
    module: FaultyModule, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(data, tmp_path / "log"):
        pass
    wrong = tmp_path / "wrong"
    wrong.write_text("another PIN\n")
    for changed, words in (
        ({"STRONGROOM_PKCS11_PIN_FILE": str(wrong)}, "refuses the PIN (C_Login answers PIN_INCORRECT)"),
        ({"STRONGROOM_PKCS11_PIN_FILE": str(tmp_path / "none")}, "in `pkcs11-pin-file` cannot be read"),
        ({"STRONGROOM_PKCS11_MODULE": str(wrong)}, "`pkcs11-module` cannot be loaded"),
        ({"STRONGROOM_PKCS11_MODULE": "softhsm.so"}, "`pkcs11-module` must be an absolute path"),
        ({"STRONGROOM_PKCS11_TOKEN": "t" * 65}, "STRONGROOM_PKCS11_TOKEN is not valid"),
    ):
        with monkeypatch.context() as mistaken:
            for name, value in changed.items():
                mistaken.setenv(name, value)
            ended = failed_start(data)
        assert ended.code == 1
        assert words in ended.last_line
        assert "another PIN" not in ended.errors
    module.behave("wrong")
    assert "it computes AES-256-GCM wrongly, so it is not used" in failed_start(data).last_line
    module.behave("")
    shutil.rmtree(tmp_path / "tokens")
    for name, value in new_token(tmp_path).items():
        monkeypatch.setenv(name, value)
    assert re.search(r"has no object [0-9a-f]{32} \(strongroom/.*/1\)", failed_start(data).last_line)
    answer = strongroom(data, "hsm", "status")
    assert answer.returncode == 1
    assert answer.stdout.count("IS MISSING") == 2


def test_a_start_waits_for_a_token_that_is_away(module: FaultyModule, data: Path, tmp_path: Path) -> None:
    module.behave("gone")
    with started(tmp_path / "log", data) as process:
        wait_until(lambda: "trying again in 1 s" in (tmp_path / "log").read_text())
        module.behave("")
        assert process.stdout is not None
        assert "serves account" in process.stdout.readline()
        process.terminate()
        process.wait(timeout=SOON)
