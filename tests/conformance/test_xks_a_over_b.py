"""One Strongroom holds the keys of another: A's external key store calls the XKS proxy of B."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mypy_boto3_kms.client import KMSClient

from accounts import succeed
from audits import all_audit_files, audit_records
from client_errors import error_of
from clients import client_of
from local_server import RunningServer, running_server
from tls_files import EC, Pair, run_openssl
from xks_calls import PREFIX
from xks_processes import make_proxy, running_proxy

HOST = "b.example.com"


class Both(msgspec.Struct):
    """A, whose clients encrypt, and B, which holds the key. ``key_id`` is that of A's KMS key."""

    a: RunningServer
    b: RunningServer
    b_data: Path
    b_key_id: str
    key_id: str
    a_data: Path

    @property
    def kms(self) -> KMSClient:
        """A client of A."""
        return client_of(self.a)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("both")


@pytest.fixture(scope="module")
def pair(folder: Path) -> Pair:
    """Return a certificate of B's host."""
    pair = Pair(folder / "b.pem", folder / "b.key")
    run_openssl(
        *("req", "-x509", "-newkey", *EC, "-nodes", "-days", "365", "-subj", f"/CN={HOST}"),
        *("-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(pair.key), "-out", str(pair.certificate)),
    )
    return pair


@pytest.fixture(scope="module")
def both(folder: Path, pair: Pair) -> Iterator[Both]:
    a_data, b_data, config = folder / "a", folder / "b", folder / "strongroom.toml"
    with ExitStack() as undo:
        b = undo.enter_context(running_server(b_data, folder / "b.log"))
        b_key_id = make_proxy(b, b_data)
        proxy = undo.enter_context(running_proxy(b_data, folder / "proxy.log", *pair.options))
        # On a busy machine, 250 milliseconds can be over before a process has the processor.
        config.write_text(
            f'xks-timeout = 10\n[[xks-proxies]]\nhost = "{HOST}"\naddress = "{proxy.address}"\n'
            f'ca = "{pair.certificate}"\n'
        )
        a = undo.enter_context(running_server(a_data, folder / "a.log", "--config", str(config), "--workers", "2"))
        kms = client_of(a)
        document = json.loads(succeed(b_data, "xks-proxy", "export", PREFIX))
        store_id = kms.create_custom_key_store(
            CustomKeyStoreName="b",
            CustomKeyStoreType="EXTERNAL_KEY_STORE",
            XksProxyUriEndpoint=f"https://{HOST}",
            XksProxyUriPath=document["XksProxyUriPath"],
            XksProxyAuthenticationCredential=document["XksProxyAuthenticationCredential"],
            XksProxyConnectivity="PUBLIC_ENDPOINT",
        )["CustomKeyStoreId"]
        kms.connect_custom_key_store(CustomKeyStoreId=store_id)
        made = kms.create_key(Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=store_id, XksKeyId="foo")
        yield Both(a, b, b_data, b_key_id, made["KeyMetadata"]["KeyId"], a_data)
        assert a.stop() == 0
        assert proxy.stop() == 0
        assert b.stop() == 0
    for name in ("a.log", "b.log", "proxy.log"):
        assert "Traceback" not in (folder / name).read_text()


def proxy_records(both: Both) -> list[dict[str, Any]]:
    """Return the records of the calls that B's proxy has answered."""
    lines = [
        json.loads(line)
        for path in all_audit_files(both.b_data)
        if "x0-" in path.name
        for line in path.read_bytes().splitlines()
    ]
    return [line for line in lines if "eventName" in line]


def test_a_encrypts_with_a_key_of_b_and_both_record_the_same_request(both: Both) -> None:
    kms = both.kms
    context = {"app": "shop"}
    blob = kms.encrypt(KeyId=both.key_id, Plaintext=b"text", EncryptionContext=context)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"text"
    made = kms.generate_data_key(KeyId=both.key_id, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    own = kms.create_key()["KeyMetadata"]["KeyId"]
    moved = kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=own)
    back = kms.re_encrypt(CiphertextBlob=moved["CiphertextBlob"], DestinationKeyId=both.key_id)
    assert kms.decrypt(CiphertextBlob=back["CiphertextBlob"])["Plaintext"] == b"text"
    used = {"Encrypt", "Decrypt", "GenerateDataKey", "ReEncrypt"}
    of_a = {each["requestID"]: each["eventName"] for each in audit_records(both.a_data) if each["eventName"] in used}
    assert {*of_a.values()} == used
    text = "\n".join(map(json.dumps, proxy_records(both)))
    for request_id in of_a:
        assert request_id in text


def test_what_b_refuses_reaches_the_client_in_the_words_of_kms(both: Both) -> None:
    b = client_of(both.b)
    blob = both.kms.encrypt(KeyId=both.key_id, Plaintext=b"text")["CiphertextBlob"]
    b.disable_key(KeyId=both.b_key_id)
    refused = error_of(both.kms.decrypt, CiphertextBlob=blob)
    assert refused["Code"] == "KMSInvalidStateException"
    assert "is not enabled in the external key manager" in refused["Message"]
    b.enable_key(KeyId=both.b_key_id)
    assert both.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"


def test_b_rotates_its_key_and_its_domain_keys_unnoticed(both: Both) -> None:
    before = both.kms.encrypt(KeyId=both.key_id, Plaintext=b"text")["CiphertextBlob"]
    client_of(both.b).rotate_key_on_demand(KeyId=both.b_key_id)
    after = both.kms.encrypt(KeyId=both.key_id, Plaintext=b"text")["CiphertextBlob"]
    for data in (both.b_data, both.a_data):
        succeed(data, "domain-keys", "rotate")
        succeed(data, "domain-keys", "destroy-old")
        for blob in (before, after):
            assert both.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"text"
    both.kms.encrypt(KeyId=both.key_id, Plaintext=b"text")
