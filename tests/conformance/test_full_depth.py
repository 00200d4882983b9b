"""A server whose keys are used in a token alone: boto3 against SoftHSM, which goes away, hangs and comes back."""

import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import nss
from accounts import strongroom, succeed
from clients import client_of
from local_server import RunningServer, running_server
from server_processes import wait_until
from softhsm import LABEL, PIN, FaultyModule, new_token, pin_file
from started_servers import failed_start
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.crypto.pkcs11.wrapping import destroy_wrapping_key
from token_servers import error_of, readiness, use_faulty_module

REFUSED = {
    *(("RSA_2048", "ENCRYPT_DECRYPT"), ("RSA_3072", "ENCRYPT_DECRYPT"), ("RSA_4096", "ENCRYPT_DECRYPT")),
    ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
    *(("ML_DSA_44", "SIGN_VERIFY"), ("ML_DSA_65", "SIGN_VERIFY"), ("ML_DSA_87", "SIGN_VERIFY")),
    *((f"ML_KEM_{each}", "ENCAPSULATE_DECAPSULATE") for each in (512, 768, 1024)),
}
"""SoftHSM 2.6.1 has no OAEP with SHA-256, and this release keeps no Ed25519 and post-quantum keys in a token."""
SIGNED: dict[str, Any] = {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
OAEP: dict[str, Any] = {"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
MAC: dict[str, Any] = {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyModule:
    """Return a module that all commands and servers of the test use."""
    return use_faulty_module(tmp_path, monkeypatch, "pkcs11-full")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(module: FaultyModule, data: Path, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(data, tmp_path / "log") as server:
        yield server
        module.behave("")


def new_key(kms: Any, spec: str = "SYMMETRIC_DEFAULT", usage: str = "ENCRYPT_DECRYPT", **more: Any) -> str:
    return str(kms.create_key(KeySpec=spec, KeyUsage=usage, **more)["KeyMetadata"]["KeyId"])


def verified(backup: Path, key_file: Path, *more: str) -> str:
    command = [sys.executable, "-m", "strongroom", "backup", "verify", str(backup), "--root-key", str(key_file), *more]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def stored(data: Path) -> set[bytes]:
    with sqlite3.connect(data / "strongroom.db") as database:
        return {row[0][:5] for row in database.execute("SELECT token FROM key_material")}


def status(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(succeed(data, "hsm", "status", "--json"))
    return found


@pytest.mark.usefixtures("module")
def test_every_kind_of_key_survives_a_restart(data: Path, tmp_path: Path) -> None:
    with running_server(data, tmp_path / "log", "--workers", "2") as server:
        kms, west = client_of(server), client_of(server, "eu-west-1")
        key, blobs = new_key(kms, MultiRegion=True), []
        for _ in range(3):
            blobs.append(kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"])
            kms.rotate_key_on_demand(KeyId=key)
        kms.replicate_key(KeyId=key, ReplicaRegion="eu-west-1")
        mac_key = new_key(kms, "HMAC_256", "GENERATE_VERIFY_MAC")
        mac = kms.generate_mac(KeyId=mac_key, **MAC)["Mac"]
        signer = new_key(kms, "ECC_NIST_P256", "SIGN_VERIFY")
        signature = kms.sign(KeyId=signer, **SIGNED)["Signature"]
        for spec, usage in REFUSED:
            with pytest.raises(ClientError, match=spec) as caught:
                new_key(kms, spec, usage)
            assert caught.value.response["Error"]["Code"] == "UnsupportedOperationException"
    with running_server(data, tmp_path / "log2", "--workers", "2") as server:
        kms, west = client_of(server), client_of(server, "eu-west-1")
        for blob in blobs * 3:
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
            assert west.decrypt(CiphertextBlob=blob, KeyId=key)["Plaintext"] == b"text"
        kms.verify_mac(KeyId=mac_key, **MAC, Mac=mac)
        assert kms.verify(KeyId=signer, **SIGNED, Signature=signature)["SignatureValid"]
        pair = kms.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256")
        assert kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"])["Plaintext"] == pair["PrivateKeyPlaintext"]
        found = status(data)
        assert [(each["region"], each["key_protection"], each["there"]) for each in found["domain_keys"]] == [
            ("eu-west-1", "pkcs11-full", True),
            ("us-east-1", "pkcs11-full", True),
        ]
        assert found["other_objects"] == []
        assert found["capabilities"]["unwraps_sensitive"]
        assert {(each["key_spec"], each["key_usage"]) for each in found["refused_key_specs"]} == REFUSED
        assert all(each["reason"] for each in found["refused_key_specs"])
        shown = succeed(data, "hsm", "status")
        assert re.search(r"us-east-1: +key encryption key 1, object [0-9a-f]{32}\n", shown)
        assert shown.count("CreateKey refuses:") == len(REFUSED)
        assert stored(data) == {b"\x13\0\0\0\x01"}
    logs = (tmp_path / "log").read_text() + (tmp_path / "log2").read_text()
    assert logs.count("CreateKey refuses what the hardware token cannot keep: RSA_2048 for ENCRYPT_DECRYPT, ") == 2
    assert PIN not in logs


def test_keys_are_in_a_token_of_another_kind(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "STRONGROOM_KEY_PROTECTION": "pkcs11-full",
        "STRONGROOM_PKCS11_MODULE": str(nss.MODULE),
        "STRONGROOM_PKCS11_TOKEN": nss.LABEL,
        "STRONGROOM_PKCS11_PIN_FILE": str(pin_file(tmp_path, nss.PIN)),
        "STRONGROOM_PKCS11_INIT_ARGS": nss.new_database(tmp_path / "nss"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    made: list[tuple[str, bytes, str, bytes]] = []
    for start in ("first", "second"):
        with running_server(data, tmp_path / start, "--workers", "2") as server:
            kms = client_of(server)
            for key, blob, decrypter, encrypted in made:
                assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
                assert kms.decrypt(KeyId=decrypter, CiphertextBlob=encrypted, **OAEP)["Plaintext"] == b"text"
                assert kms.encrypt(KeyId=key, Plaintext=b"text")
            key, decrypter = new_key(kms), new_key(kms, "RSA_2048")
            blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
            made.append(
                (key, blob, decrypter, kms.encrypt(KeyId=decrypter, Plaintext=b"text", **OAEP)["CiphertextBlob"])
            )
            with pytest.raises(ClientError, match="ECC_SECG_P256K1"):
                new_key(kms, "ECC_SECG_P256K1", "SIGN_VERIFY")
    assert stored(data) == {b"\x13\0\0\0\x01"}
    said = (tmp_path / "second").read_text()
    assert "wraps keys that it was told never to give away" in said
    assert (
        "does not obey unwrap templates: with its PIN, it can be told to unwrap keys so that they can be read" in said
    )
    shown = succeed(data, "hsm", "status")
    assert re.search(r"Keeps its keys: +NO", shown)
    assert re.search(r"Unwrapped keys: +CAN BE READ", shown)


def test_a_token_that_is_gone_takes_only_what_needs_it(module: FaultyModule, server: RunningServer) -> None:
    kms = client_of(server)
    key, signer = new_key(kms), new_key(kms, "ECC_NIST_P256", "SIGN_VERIFY")
    blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    signature = kms.sign(KeyId=signer, **SIGNED)["Signature"]
    module.behave("gone")
    for call, members in (
        (kms.create_key, {}),
        (kms.encrypt, {"KeyId": key, "Plaintext": b"text"}),
        (kms.decrypt, {"CiphertextBlob": blob}),
        (kms.sign, {"KeyId": signer, **SIGNED}),
        (kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
        (kms.rotate_key_on_demand, {"KeyId": key}),
    ):
        code, seconds = error_of(call, **members)
        assert code == "KMSInternalException"
        assert seconds < 4.0
    assert kms.get_public_key(KeyId=signer)["KeySpec"] == "ECC_NIST_P256"
    assert kms.verify(KeyId=signer, **SIGNED, Signature=signature)["SignatureValid"]
    assert len(kms.list_keys()["Keys"]) == 2
    kms.create_alias(AliasName="alias/other", TargetKeyId=key)
    kms.put_key_policy(KeyId=key, Policy=kms.get_key_policy(KeyId=key)["Policy"])
    module.behave("")
    wait_until(lambda: _decrypts(kms, blob))
    assert kms.sign(KeyId=signer, **SIGNED)["Signature"]


def _decrypts(kms: Any, blob: bytes) -> bool:
    try:
        return bool(kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text")
    except ClientError:
        return False


def test_a_token_that_hangs_does_not_hold_up_other_calls(module: FaultyModule, server: RunningServer) -> None:
    kms = client_of(server)
    key, signer = new_key(kms), new_key(kms, "ECC_NIST_P256", "SIGN_VERIFY")
    blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    signature = kms.sign(KeyId=signer, **SIGNED)["Signature"]
    module.behave("hang")
    code, seconds = error_of(kms.decrypt, CiphertextBlob=blob)
    assert code == "DependencyTimeoutException"
    assert seconds > 4.0

    def are_answered_meanwhile() -> bool:
        """Make calls while others wait for the token; tell whether these wait still when those are answered."""
        module.behave("hang")
        waiting = [threading.Thread(target=_decrypts, args=(kms, blob)) for _ in range(2)]
        for each in waiting:
            each.start()
        assert kms.verify(KeyId=signer, **SIGNED, Signature=signature)["SignatureValid"]
        assert kms.describe_key(KeyId=key)["KeyMetadata"]["Enabled"]
        wait = all(each.is_alive() for each in waiting)
        module.behave("")
        for each in waiting:
            each.join()
        wait_until(lambda: _decrypts(kms, blob))
        return wait

    # A busy machine may take longer than they wait, but not each time.
    wait_until(are_answered_meanwhile)


def test_a_token_that_is_slow_answers_all_the_same(module: FaultyModule, server: RunningServer) -> None:
    kms = client_of(server)
    key = new_key(kms)
    module.behave("slow 20")
    blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    assert new_key(kms, "HMAC_512", "GENERATE_VERIFY_MAC")


def test_domain_keys_are_rotated_while_calls_run(module: FaultyModule, data: Path, tmp_path: Path) -> None:
    with running_server(data, tmp_path / "log", "--workers", "2") as server:
        kms = client_of(server)
        keys = [new_key(kms) for _ in range(8)]
        blobs = [kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"] for key in keys]
        ended, failed = threading.Event(), []

        def use() -> None:
            mine = client_of(server)
            while not ended.is_set():
                try:
                    for key, blob in zip(keys, blobs, strict=True):
                        assert mine.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
                        mine.encrypt(KeyId=key, Plaintext=b"text")
                    new_key(mine, "HMAC_256", "GENERATE_VERIFY_MAC")
                except (ClientError, AssertionError) as error:
                    failed.append(error)

        users = [threading.Thread(target=use) for _ in range(2)]
        for each in users:
            each.start()
        for version in (2, 3):
            succeed(data, "domain-keys", "rotate")
            succeed(data, "domain-keys", "destroy-old")
            assert {(each["version"], each["there"]) for each in status(data)["domain_keys"]} == {(version, True)}
        ended.set()
        for each in users:
            each.join()
        assert failed == []
        assert stored(data) == {b"\x13\0\0\0\x03"}
        # A rotation needs the token: without it, it changes nothing.
        module.behave("gone")
        refused = strongroom(data, "domain-keys", "rotate")
        assert refused.stderr == f"Error: `{module.path}` has no token 'strongroom-test' (it has: none)\n"
        module.behave("")
        assert {each["version"] for each in status(data)["domain_keys"]} == {3}


def test_keys_that_are_deleted_are_gone_from_every_worker(server: RunningServer, data: Path) -> None:
    kms = client_of(server)
    key, other = new_key(kms), new_key(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert error_of(kms.decrypt, CiphertextBlob=blob)[0] == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=key)
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    assert kms.encrypt(KeyId=other, Plaintext=b"text")
    assert "the material of 2 keys opens" in strongroom(data, "doctor").stdout


def test_a_server_says_that_a_key_encryption_key_is_gone(
    server: RunningServer, module: FaultyModule, data: Path, tmp_path: Path
) -> None:
    kms = client_of(server)
    key = new_key(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    lost = next(each for each in status(data)["domain_keys"] if each["region"] == "us-east-1")["object_id"]
    with closing(ModuleToken(TokenAddress(module.path, LABEL, PIN), time.monotonic)) as token:
        destroy_wrapping_key(token, bytes.fromhex(lost))
    text = f"the token has lost object {lost} (strongroom/us-east-1/1)"
    wait_until(lambda: text in readiness(server))
    west = client_of(server, "eu-west-1")
    west.encrypt(KeyId=new_key(west), Plaintext=b"text")
    # What is unwrapped already goes on.
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    # Each of these may have the server connect again, which finds nothing else wrong.
    for _ in range(3):
        assert error_of(kms.create_key)[0] == "KMSInternalException"
        assert text in readiness(server)
        time.sleep(2)
    assert (tmp_path / "log").read_text().count(text) == 1


def test_a_backup_opens_with_the_token_alone(
    module: FaultyModule, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup, secret, restored = tmp_path / "backup", tmp_path / "secret", tmp_path / "restored"
    secret.write_text("a passphrase of the backup\n")
    with running_server(data, tmp_path / "log") as server:
        kms = client_of(server)
        key = new_key(kms)
        blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
        more = ("--with-domain-keys", "--passphrase-file", str(secret))
        refused = strongroom(data, "backup", "--to", str(tmp_path / "refused"), *more)
        assert "in a hardware token, which never gives them away" in refused.stderr
        succeed(data, "seal", "rotate")
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
        succeed(data, "backup", "--to", str(backup), "--unencrypted")
        checked = strongroom(data, "doctor").stdout
        assert "has the key encryption keys of eu-west-1, us-east-1" in checked
        assert "the material of 1 key opens" in checked
        (key_file,) = data.glob("root-*.key")
    assert "note:" not in verified(backup, key_file)
    restore = ("restore", str(backup), "--root-key", str(key_file), "--without-audit-log")
    module.behave("gone")
    answer = strongroom(restored, *restore)
    assert answer.stderr == f"Error: `{module.path}` has no token 'strongroom-test' (it has: none)\n"
    module.behave("")
    with monkeypatch.context() as without:
        for name in ("MODULE", "TOKEN", "PIN_FILE"):
            without.delenv(f"STRONGROOM_PKCS11_{name}")
        without.delenv("STRONGROOM_KEY_PROTECTION")
        assert "note: 1 keys have material in custom key stores" in verified(backup, key_file)
        lost = strongroom(restored, *restore)
        assert lost.stderr == (
            "Error: a hardware token is needed; name it in the setting `pkcs11-module` (docs/hardware.md)\n"
        )
        assert "CRITICAL token:" in strongroom(data, "doctor").stdout
        assert "a hardware token is needed" in failed_start(data).last_line
        assert not restored.exists()
        settings = tmp_path / "settings.toml"
        settings.write_text(
            f'pkcs11-module = "{module.path}"\npkcs11-token = "{LABEL}"\npkcs11-pin-file = "{pin_file(tmp_path)}"\n'
        )
        assert "note:" not in verified(backup, key_file, "--config", str(settings))
        restoring = succeed(restored, *restore, "--config", str(settings))
        assert "note: its keys need the same objects in the token" in restoring
    succeed(restored, "account", "root-key", "000000000000", "--replace")
    with running_server(restored, tmp_path / "log2") as server:
        assert client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"


def test_mistakes_are_told_in_one_line(
    module: FaultyModule, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that the token does not have, and key wrap without padding.
    wrong_numbers = (0x8000_216F, 0x2109)
    for served in (False, True):
        for number in wrong_numbers:
            with monkeypatch.context() as mistaken:
                mistaken.setenv("STRONGROOM_PKCS11_WRAP_MECHANISM", str(number))
                told = failed_start(data).last_line
            assert f"under the number {number:#x}, and `key-protection` pkcs11-full needs it; correct or remove" in told
        if not served:
            with running_server(data, tmp_path / "log"):
                pass
    for name, value in new_token(tmp_path / "other").items():
        monkeypatch.setenv(name, value)
    ended = failed_start(data)
    assert re.search(r"has no object [0-9a-f]{32} \(strongroom/.*/1\), the key encryption key of", ended.last_line)
    assert strongroom(data, "hsm", "status").stdout.count("IS MISSING") == 2
    assert module.path.exists()
