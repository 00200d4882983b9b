"""Key stores in AWS CloudHSM over tokens of SoftHSM: boto3 against a server with two workers."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mypy_boto3_kms.client import KMSClient

from accounts import strongroom, succeed
from audits import audit_records
from client_errors import error_code_of, error_with_status
from clients import client_of
from custom_stores import Stores
from local_server import RunningServer, running_server
from server_processes import wait_until
from softhsm import FaultyModule, new_token

PASSWORD = "kmsuser's password"
FIRST, SECOND, THIRD = "cluster-aaaaaaaaaaa", "cluster-bbbbbbbbbbb", "cluster-ccccccccccc"
WAIT = 4.0
"""Seconds: less than a call waits for a token that hangs."""
ANCHOR = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyModule:
    module = FaultyModule(tmp_path)
    new_token(tmp_path, "second", PASSWORD)
    environment = new_token(tmp_path, "first", PASSWORD)
    for name, value in {**environment, **module.environment}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "anchor.pem").write_text(ANCHOR)
    tables = [
        {"id": FIRST, "token": "first", "trust-anchor": str(tmp_path / "anchor.pem")},
        {"id": SECOND, "token": "second"},
        {"id": THIRD, "token": "absent"},
        {"id": "cluster-ddddddddddd", "token": "other", "account": "999999999999"},
    ]
    text = "".join(
        f'[[cloudhsm-clusters]]\nmodule = "{module.path}"\n' + "".join(f'{k} = "{v}"\n' for k, v in each.items())
        for each in tables
    )
    (tmp_path / "strongroom.toml").write_text("workers = 2\nkeeper-interval = 0.3\n" + text)
    return module


@pytest.fixture
def server(module: FaultyModule, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "data", tmp_path / "log", "--config", str(tmp_path / "strongroom.toml")) as server:
        yield server
        module.behave("")
        assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert PASSWORD not in (tmp_path / "log").read_text()


def asked(cluster: str = FIRST, **more: Any) -> dict[str, Any]:
    return {"CloudHsmClusterId": cluster, "TrustAnchorCertificate": ANCHOR, "KeyStorePassword": PASSWORD, **more}


def connected(kms: KMSClient, cluster: str = FIRST) -> str:
    stores = Stores(kms)
    store_id = stores.new(cluster, **asked(cluster))
    kms.connect_custom_key_store(CustomKeyStoreId=store_id)
    assert stores.state(store_id) == ("CONNECTED", None)
    return store_id


def new_key(kms: KMSClient, store_id: str) -> str:
    return kms.create_key(Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id)["KeyMetadata"]["KeyId"]


def each_worker(call: Any) -> None:
    """Make a call often enough over new connections that each worker gets some."""
    for _ in range(8):
        call()


def test_keys_live_in_a_cluster(server: RunningServer, tmp_path: Path) -> None:
    kms = client_of(server)
    store_id = connected(kms)
    made = kms.create_key(Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id)["KeyMetadata"]
    key, arn = made["KeyId"], made["Arn"]
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert described == made
    assert (described["CustomKeyStoreId"], described["CloudHsmClusterId"]) == (store_id, FIRST)
    assert (described["Origin"], described["KeyState"]) == ("AWS_CLOUDHSM", "Enabled")
    context = {"purpose": "test"}
    blob = kms.encrypt(KeyId=key, Plaintext=b"text", EncryptionContext=context)["CiphertextBlob"]
    assert blob[33] == 2
    assert len(blob) == 33 + 1 + 1 + 12 + 4 + 16
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"text"
    assert error_code_of(kms.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
    for damaged in (blob[:-1], blob[:40], blob[:34], blob[:35] + b"\0" + blob[36:], blob[:33] + b"\1" + blob[34:]):
        refused = error_code_of(kms.decrypt, CiphertextBlob=damaged, KeyId=key, EncryptionContext=context)
        assert refused == "InvalidCiphertextException"
    data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"] == data_key["Plaintext"]
    other = new_key(kms, store_id)
    moved = kms.re_encrypt(
        CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=other, DestinationEncryptionContext={}
    )
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], KeyId=other)["Plaintext"] == b"text"
    assert error_code_of(kms.decrypt, CiphertextBlob=blob, KeyId=other) == "IncorrectKeyException"
    assert len(kms.generate_random(NumberOfBytes=32, CustomKeyStoreId=store_id)["Plaintext"]) == 32
    for refused in (
        error_code_of(kms.rotate_key_on_demand, KeyId=key),
        error_code_of(kms.enable_key_rotation, KeyId=key),
        error_code_of(kms.generate_data_key_pair, KeyId=key, KeyPairSpec="ECC_NIST_P256"),
        error_code_of(
            kms.get_parameters_for_import, KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
        ),
        error_code_of(kms.create_key, Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id, MultiRegion=True),
        error_code_of(
            kms.create_key,
            Origin="AWS_CLOUDHSM",
            CustomKeyStoreId=store_id,
            KeySpec="HMAC_256",
            KeyUsage="GENERATE_VERIFY_MAC",
        ),
    ):
        assert refused == "UnsupportedOperationException"
    (record,) = [each for each in audit_records(tmp_path / "data") if each["eventName"] == "Encrypt"]
    assert record["additionalEventData"]["customKeyStoreId"] == store_id
    assert record["resources"][0]["ARN"] == arn


def test_a_store_needs_a_listed_cluster_of_its_own_and_the_right_trust_anchor(server: RunningServer) -> None:
    kms = client_of(server)

    def refusal(**more: Any) -> str:
        return error_code_of(kms.create_custom_key_store, CustomKeyStoreName="store", **more)

    for unknown in ("cluster-eeeeeeeeeee", "cluster-ddddddddddd"):
        assert refusal(**asked(unknown)) == "CloudHsmClusterNotFoundException"
    wrong = ANCHOR.replace("MIIB", "MIIC")
    assert refusal(**asked(TrustAnchorCertificate=wrong)) == "IncorrectTrustAnchorException"
    store_id = connected(kms)
    assert refusal(**asked()) == "CloudHsmClusterInUseException"
    kms.disconnect_custom_key_store(CustomKeyStoreId=store_id)
    stores = Stores(kms)
    assert stores.refusal(store_id, CloudHsmClusterId="cluster-eeeeeeeeeee") == "CloudHsmClusterNotFoundException"
    stores.update(store_id, CloudHsmClusterId=SECOND)
    assert stores.entry(store_id)["CloudHsmClusterId"] == SECOND
    kms.delete_custom_key_store(CustomKeyStoreId=store_id)


def test_a_wrong_password_and_an_absent_token_show_when_connecting(server: RunningServer) -> None:
    kms = client_of(server)
    stores = Stores(kms)
    store_id = stores.new("store", **asked(KeyStorePassword="wrong password"))
    for _ in range(2):
        kms.connect_custom_key_store(CustomKeyStoreId=store_id)
        assert stores.state(store_id) == ("FAILED", "INVALID_CREDENTIALS")
        assert error_code_of(kms.create_key, Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id) == (
            "CustomKeyStoreInvalidStateException"
        )
        kms.disconnect_custom_key_store(CustomKeyStoreId=store_id)
    stores.update(store_id, KeyStorePassword=PASSWORD)
    kms.connect_custom_key_store(CustomKeyStoreId=store_id)
    assert stores.state(store_id) == ("CONNECTED", None)
    key = new_key(kms, store_id)
    each_worker(lambda: client_of(server).encrypt(KeyId=key, Plaintext=b"text"))
    # A password is checked again by each connection, although this process has just been logged in.
    kms.disconnect_custom_key_store(CustomKeyStoreId=store_id)
    stores.update(store_id, KeyStorePassword="wrong password")
    for _ in range(4):
        client_of(server).connect_custom_key_store(CustomKeyStoreId=store_id)
        assert stores.state(store_id) == ("FAILED", "INVALID_CREDENTIALS")
        kms.disconnect_custom_key_store(CustomKeyStoreId=store_id)
    absent = stores.new("absent", **asked(THIRD))
    kms.connect_custom_key_store(CustomKeyStoreId=absent)
    assert stores.state(absent) == ("FAILED", "CLUSTER_NOT_FOUND")


def test_disconnecting_ends_use_at_once_and_connecting_or_a_restart_bring_it_back(
    server: RunningServer, tmp_path: Path
) -> None:
    kms = client_of(server)
    first, second = connected(kms), connected(kms, SECOND)
    key, neighbour = new_key(kms, first), new_key(kms, second)
    blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    each_worker(lambda: client_of(server).decrypt(CiphertextBlob=blob))
    each_worker(lambda: client_of(server).encrypt(KeyId=neighbour, Plaintext=b"text"))
    kms.disconnect_custom_key_store(CustomKeyStoreId=first)
    for _ in range(8):
        assert error_code_of(client_of(server).decrypt, CiphertextBlob=blob) == "KMSInvalidStateException"
        client_of(server).encrypt(KeyId=neighbour, Plaintext=b"text")
    kms.disable_key(KeyId=key)
    kms.enable_key(KeyId=key)
    time.sleep(1)
    each_worker(lambda: client_of(server).encrypt(KeyId=neighbour, Plaintext=b"text"))
    kms.connect_custom_key_store(CustomKeyStoreId=first)
    each_worker(lambda: client_of(server).decrypt(CiphertextBlob=blob))
    assert error_code_of(kms.delete_custom_key_store, CustomKeyStoreId=first) == "CustomKeyStoreInvalidStateException"
    server.stop()
    options = ("--config", str(tmp_path / "strongroom.toml"))
    with running_server(tmp_path / "data", tmp_path / "log2", *options) as again:
        kms = client_of(again)
        each_worker(lambda: client_of(again).decrypt(CiphertextBlob=blob))
        assert Stores(kms).state(first) == ("CONNECTED", None)
        kms.disconnect_custom_key_store(CustomKeyStoreId=first)
        assert error_code_of(kms.delete_custom_key_store, CustomKeyStoreId=first) == "CustomKeyStoreHasCMKsException"


def test_a_token_that_is_away_takes_only_its_own_keys_and_comes_back(
    module: FaultyModule, server: RunningServer
) -> None:
    kms = client_of(server)
    store_id = connected(kms)
    key, software = new_key(kms, store_id), kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    each_worker(lambda: client_of(server).decrypt(CiphertextBlob=blob))
    module.behave("gone")
    for _ in range(6):
        assert error_code_of(client_of(server).decrypt, CiphertextBlob=blob) == "KMSInvalidStateException"
        wait_until(lambda: is_quick(client_of(server).encrypt, KeyId=software, Plaintext=b"text"))
    assert Stores(kms).state(store_id) == ("CONNECTED", None)
    refused = error_with_status(500, kms.create_key, Origin="AWS_CLOUDHSM", CustomKeyStoreId=store_id)
    assert refused["Code"] == "KMSInternalException"
    module.behave("")
    wait_until(lambda: works(server, blob))
    wait_until(lambda: all(works(server, blob) for _ in range(8)))
    module.behave("hang")
    assert error_with_status(500, kms.decrypt, CiphertextBlob=blob)["Code"] == "DependencyTimeoutException"
    wait_until(lambda: is_quick(kms.encrypt, KeyId=software, Plaintext=b"text"))
    module.behave("")
    wait_until(lambda: works(server, blob))


def is_quick(call: Callable[..., object], **members: object) -> bool:
    """Make a call; tell whether it took less time than one that waits for a token.

    On a busy machine this may take as long, but not each time.
    """
    begun = time.monotonic()
    call(**members)
    return time.monotonic() - begun < WAIT


def test_a_token_that_hangs_while_it_is_connected_holds_up_no_other_call(
    module: FaultyModule, server: RunningServer
) -> None:
    kms = client_of(server)
    store_id = connected(kms)
    key, software = new_key(kms, store_id), kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
    each_worker(lambda: client_of(server).decrypt(CiphertextBlob=blob))
    module.behave("hang")
    assert error_with_status(500, kms.decrypt, CiphertextBlob=blob)["Code"] == "DependencyTimeoutException"
    kms.disconnect_custom_key_store(CustomKeyStoreId=store_id)
    # By then each worker is about to end its connection, and waits for the calls that hang in it.
    time.sleep(0.5)

    def connect() -> None:
        with suppress(ClientError):
            client_of(server).connect_custom_key_store(CustomKeyStoreId=store_id)

    attempts = [threading.Thread(target=connect) for _ in range(6)]
    for attempt in attempts:
        attempt.start()
    quick: list[bool] = []
    while any(attempt.is_alive() for attempt in attempts):
        quick.append(is_quick(kms.encrypt, KeyId=software, Plaintext=b"text"))
        quick.append(is_quick(kms.update_key_description, KeyId=software, Description="written"))
        time.sleep(0.1)
    assert quick.count(False) <= len(quick) / 4
    assert Stores(kms).state(store_id) == ("FAILED", "NETWORK_ERRORS")
    module.behave("")

    def is_connected_again() -> bool:
        kms.disconnect_custom_key_store(CustomKeyStoreId=store_id)
        kms.connect_custom_key_store(CustomKeyStoreId=store_id)
        return Stores(kms).state(store_id) == ("CONNECTED", None)

    # Once the calls that hung have come back, which leave no login.
    wait_until(is_connected_again)
    wait_until(lambda: all(works(server, blob) for _ in range(8)))


def works(server: RunningServer, blob: bytes) -> bool:
    try:
        return client_of(server).decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"KMSInvalidStateException", "DependencyTimeoutException"}:
            raise
        return False


def test_new_domain_keys_and_a_restore_leave_the_keys_of_a_cluster_as_they_are(
    module: FaultyModule, tmp_path: Path
) -> None:
    """A backup has the names of the objects alone, so the token must be there again, and the store be connected."""
    data, backup, restored = tmp_path / "data", tmp_path / "backup", tmp_path / "restored"
    options = ("--config", str(tmp_path / "strongroom.toml"))
    with running_server(data, tmp_path / "log", *options) as server:
        kms = client_of(server)
        store_id = connected(kms)
        key = new_key(kms, store_id)
        blob = kms.encrypt(KeyId=key, Plaintext=b"text")["CiphertextBlob"]
        # The token is not needed by any of these.
        module.behave("gone")
        succeed(data, "domain-keys", "rotate")
        succeed(data, "domain-keys", "destroy-old")
        assert "the material of 1 key opens" in strongroom(data, "doctor").stdout
        succeed(data, "backup", "--to", str(backup), "--unencrypted")
        module.behave("")
        wait_until(lambda: works(server, blob))
    said = succeed(restored, "restore", str(backup), "--root-key", str(data / "root.key"), "--without-audit-log")
    assert f"connect it: aws kms connect-custom-key-store --custom-key-store-id {store_id}\n" in said
    succeed(restored, "account", "root-key", "000000000000", "--replace")
    with running_server(restored, tmp_path / "log2", *options) as server:
        kms = client_of(server)
        assert Stores(kms).state(store_id) == ("DISCONNECTED", None)
        kms.connect_custom_key_store(CustomKeyStoreId=store_id)
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
