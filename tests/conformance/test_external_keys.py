"""The life of KMS keys in an external key store, with boto3, through a proxy over TLS."""

import base64
import threading
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import data_of, last_record
from client_errors import error_code_of, error_of
from clients import client_of
from custom_stores import CREDENTIAL, PROXY, Stores
from local_server import RunningServer, running_server
from xks_stub import OTHER_ACCESS_KEY_ID, XksStub

LONGEST = 100


@pytest.fixture
def connected(kms: KMSClient) -> str:
    """Return a connected store of the first account, which keeps it: keys take days to be deleted."""
    stores = Stores(kms)
    for store in kms.describe_custom_key_stores()["CustomKeyStores"]:
        if store["CustomKeyStoreName"] == "kept":
            return store["CustomKeyStoreId"]
    store_id = stores.new("kept", **{**PROXY, "XksProxyUriPath": "/kept/kms/xks/v1"})
    kms.connect_custom_key_store(CustomKeyStoreId=store_id)
    assert stores.state(store_id) == ("CONNECTED", None)
    return store_id


def new_key(kms: KMSClient, store_id: str, external_id: str) -> dict[str, Any]:
    made = kms.create_key(Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=store_id, XksKeyId=external_id)
    return dict(made["KeyMetadata"])


def test_a_key_encrypts_twice_and_tells_the_proxy_for_whom(
    server: RunningServer, kms: KMSClient, connected: str, xks_stub: XksStub
) -> None:
    key = new_key(kms, connected, xks_stub.new_key("life-1"))
    assert (key["Origin"], key["CustomKeyStoreId"], key["XksKeyConfiguration"]) == (
        *("EXTERNAL_KEY_STORE", connected),
        {"Id": "life-1"},
    )
    assert kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]["XksKeyConfiguration"] == {"Id": "life-1"}
    path, asked = xks_stub.requests[-1]
    assert path == "/kept/kms/xks/v1/keys/life-1/metadata"
    assert asked["requestMetadata"]["kmsOperation"] == "CreateKey"
    assert asked["requestMetadata"]["awsPrincipalArn"] == "arn:aws:iam::000000000000:root"

    plaintext = b"p" * 4096
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=plaintext, EncryptionContext={"a": "b" * 7000})["CiphertextBlob"]
    assert len(blob) <= len(plaintext) + 33 + LONGEST
    path, asked = xks_stub.requests[-1]
    assert path == "/kept/kms/xks/v1/keys/life-1/encrypt"
    record = last_record(server)
    assert asked["requestMetadata"] == {
        "awsPrincipalArn": "arn:aws:iam::000000000000:root",
        "kmsOperation": "Encrypt",
        "kmsRequestId": record["requestID"],
        "kmsKeyArn": key["Arn"],
    }
    # Neither the plaintext nor the encryption context leaves.
    sent = base64.b64decode(asked["plaintext"])
    assert plaintext[:16] not in sent
    assert len(sent) == len(plaintext) + 45
    assert len(base64.b64decode(asked["additionalAuthenticatedData"])) == 32
    assert record["additionalEventData"]["customKeyStoreId"] == connected
    assert record["additionalEventData"]["xksKeyId"] == "life-1"

    opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b" * 7000})
    assert (opened["Plaintext"], opened["KeyId"]) == (plaintext, key["Arn"])
    assert xks_stub.requests[-1][1]["requestMetadata"]["kmsOperation"] == "Decrypt"
    other_context = error_of(kms.decrypt, CiphertextBlob=blob, EncryptionContext={"a": "c"})
    assert other_context["Code"] == "KMSInvalidStateException"
    assert "encryption context is corrupted" in other_context["Message"]


def test_data_keys_and_moves_between_key_stores(kms: KMSClient, key_id: str, connected: str, xks_stub: XksStub) -> None:
    external = new_key(kms, connected, xks_stub.new_key("life-2"))["KeyId"]
    made = kms.generate_data_key(KeyId=external, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    hidden = kms.generate_data_key_without_plaintext(KeyId=external, NumberOfBytes=24)["CiphertextBlob"]
    assert len(kms.decrypt(CiphertextBlob=hidden)["Plaintext"]) == 24
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"moved")["CiphertextBlob"]
    for destination in (external, key_id, external, external):
        blob = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=destination)["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob, KeyId=destination)["Plaintext"] == b"moved"
    assert error_code_of(kms.decrypt, CiphertextBlob=blob, KeyId=key_id) == "IncorrectKeyException"


def test_ciphertexts_that_were_altered(kms: KMSClient, connected: str, xks_stub: XksStub) -> None:
    external = new_key(kms, connected, xks_stub.new_key("life-3"))["KeyId"]
    blob = kms.encrypt(KeyId=external, Plaintext=b"data")["CiphertextBlob"]
    start = 33
    for place in range(start + 2, len(blob)):
        altered = blob[:place] + bytes((blob[place] ^ 1,)) + blob[place + 1 :]
        assert error_code_of(kms.decrypt, CiphertextBlob=altered) in {
            "InvalidCiphertextException",
            "KMSInvalidStateException",
        }
    before = len(xks_stub.requests)
    # What is no body of an external key is not sent at all.
    for wrong in (blob[:start] + b"\x01" + blob[start + 1 :], blob[: start + 1], blob[: start + 30]):
        assert error_code_of(kms.decrypt, CiphertextBlob=wrong) == "InvalidCiphertextException"
    assert len(xks_stub.requests) == before


def test_an_external_key_has_one_kms_key(kms: KMSClient, connected: str, xks_stub: XksStub) -> None:
    where: dict[str, Any] = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": connected}
    external_id = xks_stub.new_key("life-4")
    new_key(kms, connected, external_id)
    refused = error_of(kms.create_key, **where, XksKeyId=external_id)
    assert refused["Code"] == "XksKeyAlreadyInUseException"
    outcomes: list[str] = []
    other_id = xks_stub.new_key("life-5")

    def race() -> None:
        try:
            new_key(kms, connected, other_id)
            outcomes.append("made")
        except kms.exceptions.XksKeyAlreadyInUseException:
            outcomes.append("refused")

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]


def test_what_no_key_in_an_external_key_store_does(kms: KMSClient, connected: str, xks_stub: XksStub) -> None:
    where: dict[str, Any] = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": connected}
    external = new_key(kms, connected, xks_stub.new_key("life-6"))["KeyId"]
    on: dict[str, Any] = {"KeyId": external}
    calls: list[tuple[Any, dict[str, Any]]] = [
        (kms.create_key, {**where, "XksKeyId": "life-6", "KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}),
        (kms.create_key, {**where, "XksKeyId": "life-6", "KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}),
        (kms.create_key, {**where, "XksKeyId": "life-6", "MultiRegion": True}),
        (kms.enable_key_rotation, on),
        (kms.rotate_key_on_demand, on),
        (kms.get_key_rotation_status, on),
        (kms.replicate_key, {**on, "ReplicaRegion": "eu-west-1"}),
        (
            kms.get_parameters_for_import,
            {**on, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
        ),
        (kms.delete_imported_key_material, on),
        (kms.generate_data_key_pair, {**on, "KeyPairSpec": "ECC_NIST_P256"}),
        (kms.generate_data_key_pair_without_plaintext, {**on, "KeyPairSpec": "RSA_2048"}),
    ]
    for call, asked in calls:
        assert error_code_of(call, **asked) == "UnsupportedOperationException", asked


def test_a_store_that_is_not_connected_keeps_its_keys_and_what_needs_no_proxy(
    kms: KMSClient, connected: str, xks_stub: XksStub
) -> None:
    external = new_key(kms, connected, xks_stub.new_key("life-7"))["KeyId"]
    blob = kms.encrypt(KeyId=external, Plaintext=b"data")["CiphertextBlob"]
    kms.disconnect_custom_key_store(CustomKeyStoreId=connected)
    try:
        before = len(xks_stub.requests)
        assert error_code_of(kms.decrypt, CiphertextBlob=blob) == "KMSInvalidStateException"
        assert (
            error_code_of(kms.delete_custom_key_store, CustomKeyStoreId=connected) == "CustomKeyStoreHasCMKsException"
        )
        kms.disable_key(KeyId=external)
        assert error_code_of(kms.decrypt, CiphertextBlob=blob) == "DisabledException"
        assert shown(kms, external) == ("Unavailable", False)
        kms.enable_key(KeyId=external)
        assert shown(kms, external) == ("Unavailable", False)
        kms.put_key_policy(KeyId=external, Policy=kms.get_key_policy(KeyId=external)["Policy"])
        kms.schedule_key_deletion(KeyId=external, PendingWindowInDays=7)
        assert shown(kms, external) == ("PendingDeletion", False)
        kms.cancel_key_deletion(KeyId=external)
        kms.enable_key(KeyId=external)
        assert len(xks_stub.requests) == before
    finally:
        kms.connect_custom_key_store(CustomKeyStoreId=connected)
    assert shown(kms, external) == ("Enabled", True)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"


def shown(kms: KMSClient, key_id: str) -> tuple[str, bool]:
    found = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    return found["KeyState"], found["Enabled"]


def test_a_credential_is_changed_under_load_without_one_failure(
    kms: KMSClient, connected: str, xks_stub: XksStub
) -> None:
    external = new_key(kms, connected, xks_stub.new_key("life-8"))["KeyId"]
    stop, failures, calls = threading.Event(), [], []

    def load() -> None:
        while not stop.is_set():
            try:
                kms.encrypt(KeyId=external, Plaintext=b"data")
                calls.append(1)
            except Exception as error:  # noqa: BLE001 - whatever it is, there must be none
                failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    used = []
    for access_key_id in (OTHER_ACCESS_KEY_ID, CREDENTIAL["AccessKeyId"]) * 3:
        credential = {**CREDENTIAL, "AccessKeyId": access_key_id}
        kms.update_custom_key_store(CustomKeyStoreId=connected, XksProxyAuthenticationCredential=credential)  # type: ignore[arg-type]
        kms.encrypt(KeyId=external, Plaintext=b"data")
        used.append(f"Credential={access_key_id}/" in xks_stub.signed[-1]["authorization"])
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(used)
    assert calls


@pytest.mark.usefixtures("connected")
def test_the_secret_of_a_proxy_is_not_in_the_data_folder(server: RunningServer) -> None:
    secret = CREDENTIAL["RawSecretAccessKey"].encode()
    assert not any(secret in path.read_bytes() for path in data_of(server).rglob("*") if path.is_file())


def test_every_worker_knows_at_once_that_a_store_was_disconnected(tmp_path: Path, xks_stub: XksStub) -> None:
    config = str(xks_stub.written(tmp_path))
    with running_server(tmp_path / "data", tmp_path / "log", "--config", config, "--workers", "3") as server:
        first = client_of(server)
        store_id = Stores(first).new("store", **PROXY)
        first.connect_custom_key_store(CustomKeyStoreId=store_id)
        key_id = new_key(first, store_id, xks_stub.new_key("workers"))["KeyId"]
        for _ in range(3):
            # The kernel spreads their connections over the workers.
            others = [client_of(server) for _ in range(8)]
            for kms in others:
                kms.encrypt(KeyId=key_id, Plaintext=b"data")
            first.disconnect_custom_key_store(CustomKeyStoreId=store_id)
            for kms in others:
                assert error_code_of(kms.encrypt, KeyId=key_id, Plaintext=b"data") == "KMSInvalidStateException"
            first.connect_custom_key_store(CustomKeyStoreId=store_id)
        assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
