"""Every release opens the ciphertext blobs and keys that earlier releases wrote."""

import base64
import hmac
import json
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from Crypto.Cipher import AES

from strongroom.assembly.backups.restore import Restore, RestoreRequest
from strongroom.assembly.deployment import Deployment
from strongroom.assembly.unsealing import Unsealing
from strongroom.clock import ManualClock
from strongroom.crypto.backing_keys import SymmetricKey
from strongroom.crypto.domain_keys import DomainKeys
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.row_authentication import RowKeys
from strongroom.crypto.seal import SealedDomainKey
from strongroom.crypto.seals.file import load_file_seal
from strongroom.crypto.software.aes import NONCES_LENGTH, AesBackingKey
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.crypto.xks.key_backend import sealed_in
from strongroom.entropy import Batch, system_entropy
from strongroom.errors import InvalidCiphertextException
from strongroom.keys import ciphertext, split_ciphertext
from strongroom.keys.arns import KeyLocator
from strongroom.keys.encryption_context import canonical
from strongroom.keys.external_keys import external_material_id, parse_external_token
from strongroom.keys.specs import KeySpec
from strongroom.keys.split_ciphertext import SplitCiphertext
from strongroom.settings import Settings
from strongroom.snapshot.active_key import binding_of
from strongroom.store.sql.row_macs import FORMATS

GOLDEN = Path(__file__).parent / "golden"
BINARY = {"wrapped_secret"}


def load(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((GOLDEN / name).read_text())
    assert vectors, "the golden file is empty"
    return vectors


@pytest.mark.parametrize("vector", load("ciphertext_blob_v1.json"), ids=lambda vector: vector["name"])
def test_ciphertext_blobs_of_version_1_open(vector: dict[str, Any]) -> None:
    blob = ciphertext.parse(base64.b64decode(vector["ciphertext_blob"]))
    key = AesBackingKey(bytes.fromhex(vector["backing_key"]), Batch(system_entropy, NONCES_LENGTH))
    context = canonical(vector["encryption_context"])
    opened = key.decrypt(blob.body, ciphertext.associated_data(blob.header, vector["key_id"], context))
    assert opened == base64.b64decode(vector["plaintext"])
    with pytest.raises(InvalidCiphertextException):
        key.decrypt(blob.body, ciphertext.associated_data(blob.header, vector["key_id"] + "x", context))


@pytest.mark.parametrize("vector", load("external_blob_v1.json"), ids=lambda vector: vector["name"])
def test_ciphertext_blobs_of_external_keys_open(vector: dict[str, Any]) -> None:
    blob = ciphertext.parse(base64.b64decode(vector["ciphertext_blob"]))
    token = parse_external_token(bytes.fromhex(vector["token"]))
    assert blob.material_id == external_material_id(token.store_id, token.external_id)
    bound_to = ciphertext.associated_data(blob.header, vector["key_id"], canonical(vector["encryption_context"]))
    sealed, data = sealed_in(blob.body), sha256(bound_to).digest()
    external = AES.new(bytes.fromhex(vector["external_key"]), AES.MODE_GCM, nonce=sealed.iv)
    metadata = sealed.metadata
    external.update(len(data).to_bytes(2) + data + bytes((len(metadata),)) + metadata if metadata else data)
    once = external.decrypt_and_verify(sealed.ciphertext, sealed.tag)
    key = AesBackingKey(bytes.fromhex(vector["backing_key"]), Batch(system_entropy, NONCES_LENGTH))
    assert key.decrypt(once, bound_to) == base64.b64decode(vector["plaintext"])


@pytest.mark.parametrize("vector", load("ciphertext_blob_v1.json"), ids=lambda vector: vector["name"])
def test_ciphertext_blobs_of_version_1_open_without_our_code(vector: dict[str, Any]) -> None:
    """Follow the documented format only: SP 800-108 with HMAC-SHA-256, then AES-256-GCM with its associated data."""
    blob = base64.b64decode(vector["ciphertext_blob"])
    header, suite, kdf_nonce, nonce, ciphertext_and_tag = blob[:33], blob[33], blob[34:50], blob[50:62], blob[62:]
    assert (header[0], suite) == (1, 1)
    fixed = b"strongroom:encrypt:aes-256-gcm" + b"\x00" + kdf_nonce + (256).to_bytes(4)
    key = hmac.digest(bytes.fromhex(vector["backing_key"]), (1).to_bytes(4) + fixed, "sha256")
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce)
    cipher.update(header + bytes((len(vector["key_id"]),)) + vector["key_id"].encode())
    for pair in sorted((name.encode(), value.encode()) for name, value in vector["encryption_context"].items()):
        for text in pair:
            cipher.update(len(text).to_bytes(4) + text)
    opened = cipher.decrypt_and_verify(ciphertext_and_tag[:-16], ciphertext_and_tag[-16:])
    assert opened == base64.b64decode(vector["plaintext"])


def parts_of(vector: dict[str, Any]) -> SplitCiphertext:
    names = ("ciphertext_metadata", "initialization_vector", "ciphertext", "authentication_tag")
    return SplitCiphertext(*(base64.b64decode(vector[name]) for name in names))


@pytest.mark.parametrize("vector", load("xks_ciphertext_v1.json"), ids=lambda vector: vector["name"])
def test_ciphertexts_of_external_key_stores_open(vector: dict[str, Any]) -> None:
    parts = parts_of(vector)
    assert split_ciphertext.may_be_of(parts, vector["material_id"])
    key = AesBackingKey(bytes.fromhex(vector["backing_key"]), Batch(system_entropy, NONCES_LENGTH))
    sent = base64.b64decode(vector["additional_authenticated_data"])
    bound_to = split_ciphertext.associated_data(vector["material_id"], vector["key_id"], sent)
    assert key.decrypt(split_ciphertext.join(parts), bound_to) == base64.b64decode(vector["plaintext"])


@pytest.mark.parametrize("vector", load("xks_ciphertext_v1.json"), ids=lambda vector: vector["name"])
def test_ciphertexts_of_external_key_stores_open_without_our_code(vector: dict[str, Any]) -> None:
    """Follow the documented format only, as above."""
    parts = parts_of(vector)
    suite, kdf_nonce, beginning = parts.metadata[:1], parts.metadata[1:17], parts.metadata[17:]
    material_id, sent = bytes.fromhex(vector["material_id"]), base64.b64decode(vector["additional_authenticated_data"])
    assert (suite, beginning) == (b"\x01", material_id[:3])
    fixed = b"strongroom:encrypt:aes-256-gcm" + b"\x00" + kdf_nonce + (256).to_bytes(4)
    key = hmac.digest(bytes.fromhex(vector["backing_key"]), (1).to_bytes(4) + fixed, "sha256")
    cipher = AES.new(key, AES.MODE_GCM, nonce=parts.iv)
    cipher.update(b"\x00xks" + material_id + bytes((len(vector["key_id"]),)) + vector["key_id"].encode())
    cipher.update(len(sent).to_bytes(2) + sent)
    assert cipher.decrypt_and_verify(parts.ciphertext, parts.tag) == base64.b64decode(vector["plaintext"])


def test_keys_at_rest_of_version_1_open(tmp_path: Path) -> None:
    (vector,) = load("keys_at_rest_v1.json")
    root_key = tmp_path / "root.key"
    root_key.write_text(vector["root_key_file"])
    root_key.chmod(0o600)
    seal = load_file_seal(root_key, system_entropy)
    sealed = SealedDomainKey("us-east-1", 1, bytes.fromhex(vector["sealed_domain_key"]))
    backend = SoftwareKeyBackend(DomainKeys([sealed], seal, system_entropy), system_entropy)
    owner = MaterialBinding("111122223333", "us-east-1", vector["key_id"], "ab" * 32, KeySpec.SYMMETRIC_DEFAULT)
    key = cast("SymmetricKey", backend.load(bytes.fromhex(vector["token"]), owner))
    assert key.decrypt(bytes.fromhex(vector["body"]), b"bound") == b"golden"


def test_codes_of_rows_of_version_1_are_accepted_and_made_again() -> None:
    for vector in load("row_macs_v1.json"):
        table, message = vector["table"], bytes.fromhex(vector["message"])
        domain_key, mac = bytes.fromhex(vector["domain_key"]), bytes.fromhex(vector["row_mac"])
        keys = RowKeys()
        keys.update({1: domain_key})
        assert keys.verifies(message, mac)
        # Independently: SP 800-108 in counter mode, then HMAC, of a MessagePack message.
        derived = hmac.digest(domain_key, b"\0\0\0\1strongroom:rows:hmac-sha-256\0\0\0\1\0", "sha256")
        assert mac == b"\x01\0\0\0\1" + hmac.digest(derived, message, "sha256")
        label, name, members, parts = msgspec.msgpack.decode(message)
        assert (label, name, parts) == ("strongroom-row-1", table, [["tag", "value"]] if table == "kms_key" else [])
        shown = [each.hex() if isinstance(each, bytes) else each for each in members[1::2]]
        assert dict(zip(members[::2], shown, strict=True)) == {
            column: value for column, value in vector["values"].items() if column in members and value is not None
        }
        values = {name: bytes.fromhex(value) if name in BINARY else value for name, value in vector["values"].items()}
        assert FORMATS[table].of_values(values, parts) == message


@pytest.mark.parametrize("vector", load("backup_v1.json"), ids=lambda vector: vector["name"])
def test_backups_of_version_1_are_restored(vector: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "backup").write_bytes(base64.b64decode(vector["backup"]))
    (tmp_path / "root.key").write_text(vector["root_key"])
    (tmp_path / "root.key").chmod(0o600)
    clock = ManualClock(1_800_000_000.0)
    request = RestoreRequest(
        file=tmp_path / "backup",
        decryption=None,
        data=tmp_path / "data",
        root_key=tmp_path / "root.key",
        unsealing=Unsealing(Settings(), system_entropy),
        audit=None,
    )
    restored = Restore(request, clock, system_entropy, lambda *_: lambda *_: None).run()
    assert restored.verified.signed.digest == vector["manifest"]
    deployment = Deployment(Settings(data=str(tmp_path / "data")), clock, system_entropy)
    try:
        with deployment.backends.store.read() as reader:
            key = reader.key(KeyLocator("000000000000", "us-east-1", vector["key_id"]))
        assert key is not None
        assert key.aliases == ("alias/golden",)
        backend = deployment.backends.key_backends.of(key)
        for plaintext, blob in vector["ciphertext_blobs"].items():
            parsed = ciphertext.parse(base64.b64decode(blob))
            (material,) = [each for each in key.materials if each.material_id == parsed.material_id]
            assert material.token is not None
            loaded = cast("SymmetricKey", backend.load(material.token, binding_of(key, material.material_id)))
            bound_to = ciphertext.associated_data(parsed.header, key.key_id, canonical({}))
            assert loaded.decrypt(parsed.body, bound_to) == plaintext.encode()
    finally:
        deployment.close()
