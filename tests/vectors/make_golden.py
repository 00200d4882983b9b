"""Makes the golden files of version 1: ciphertext blobs, keys at rest, a backup. Run it once for each released format.

    PYTHONPATH=tests/support:tools python tests/vectors/make_golden.py

The files have everything that a later release needs to open them: plaintext backing keys, key ids, contexts.
"""

import base64
import hashlib
import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from local_deployment import LocalDeployment
from strongroom.assembly.backups.maker import BackupMaker
from strongroom.assembly.open_folder import open_existing
from strongroom.clock import ManualClock
from strongroom.crypto.backing_keys import SymmetricKey
from strongroom.crypto.domain_keys import DomainKeys, create_domain_key
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.row_authentication import RowKeys
from strongroom.crypto.seals.file import create_root_key, load_file_seal
from strongroom.crypto.software.aes import NONCES_LENGTH, AesBackingKey
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.crypto.xks.key_backend import body_of
from strongroom.crypto.xks.messages import Sealed
from strongroom.entropy import Batch
from strongroom.keys import ciphertext, split_ciphertext
from strongroom.keys.encryption_context import canonical
from strongroom.keys.external_keys import external_material_id, external_token
from strongroom.keys.specs import KeySpec
from strongroom.settings import Settings
from strongroom.store.sql.row_macs import FORMATS

CASES: list[tuple[str, str, bytes, dict[str, str]]] = [
    ("empty context", "1234abcd-12ab-34cd-56ef-1234567890ab", b"hello", {}),
    ("one byte", "1234abcd-12ab-34cd-56ef-1234567890ab", b"\x00", {}),
    ("4,096 bytes", "1234abcd-12ab-34cd-56ef-1234567890ab", bytes(range(256)) * 16, {"purpose": "golden"}),
    (
        "several pairs",
        "mrk-1234abcd12ab34cd56ef1234567890ab",
        b"secret",
        {"b": "2", "a": "1", "": "", "\u00e9": "\U0001f511"},
    ),
]

ROWS: list[tuple[str, dict[str, object]]] = [
    ("alias", {"account": "111122223333", "region": "us-east-1", "name": "alias/x", "key_id": "k", "created_at": 1}),
    ("access_key", {"access_key_id": "AKIA", "wrapped_secret": b"\x00\xff", "active": True, "last_used_at": 5.0}),
    ("kms_key", {"key_id": "k", "policy": "{}", "deletion_window_days": 7, "multi_region": False, "state": None}),
]


class DeterministicEntropy:
    """Pseudorandom bytes that are the same in each run, so that the files can be made again and compared."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.drawn = 0

    def __call__(self, length: int, /) -> bytes:
        self.drawn += 1
        return hashlib.shake_256(f"{self.seed} {self.drawn}".encode()).digest(length)


def main() -> None:
    write("ciphertext_blob_v1.json", ciphertext_blobs())
    write("xks_ciphertext_v1.json", xks_ciphertexts())
    write("external_blob_v1.json", external_blobs())
    write("keys_at_rest_v1.json", [keys_at_rest()])
    write("row_macs_v1.json", row_macs())
    write("backup_v1.json", [backup()])


def write(name: str, vectors: list[dict[str, object]]) -> None:
    path = Path(__file__).parent / "golden" / name
    path.write_text(json.dumps(vectors, indent=2, ensure_ascii=True) + "\n")


def ciphertext_blobs() -> list[dict[str, object]]:
    vectors: list[dict[str, object]] = []
    for name, key_id, plaintext, context in CASES:
        entropy = DeterministicEntropy(name)
        key, material_id = entropy(32), entropy(32).hex()
        header = ciphertext.header(material_id)
        bound_to = ciphertext.associated_data(header, key_id, canonical(context))
        blob = header + AesBackingKey(key, Batch(entropy, NONCES_LENGTH)).encrypt(plaintext, bound_to)
        vectors.append(
            {
                "name": name,
                "backing_key": key.hex(),
                "key_id": key_id,
                "encryption_context": context,
                "plaintext": base64.b64encode(plaintext).decode(),
                "ciphertext_blob": base64.b64encode(blob).decode(),
            }
        )
    return vectors


def xks_ciphertexts() -> list[dict[str, object]]:
    vectors: list[dict[str, object]] = []
    for name, key_id, plaintext, context in CASES:
        entropy = DeterministicEntropy(f"xks {name}")
        key, material_id, sent = entropy(32), entropy(32).hex(), canonical(context)
        bound_to = split_ciphertext.associated_data(material_id, key_id, sent)
        body = AesBackingKey(key, Batch(entropy, NONCES_LENGTH)).encrypt(plaintext, bound_to)
        parts = split_ciphertext.split(body, material_id)
        vectors.append(
            {
                "name": name,
                "backing_key": key.hex(),
                "material_id": material_id,
                "key_id": key_id,
                "additional_authenticated_data": base64.b64encode(sent).decode(),
                "plaintext": base64.b64encode(plaintext).decode(),
                "ciphertext_metadata": base64.b64encode(parts.metadata).decode(),
                "initialization_vector": base64.b64encode(parts.iv).decode(),
                "ciphertext": base64.b64encode(parts.ciphertext).decode(),
                "authentication_tag": base64.b64encode(parts.tag).decode(),
            }
        )
    return vectors


def external_blobs() -> list[dict[str, object]]:
    """Return blobs of keys in external key stores: first as above, then by what a proxy does with its own key."""
    vectors: list[dict[str, object]] = []
    for name, key_id, plaintext, context in CASES:
        entropy = DeterministicEntropy(f"external, {name}")
        key, external_key = entropy(32), entropy(32)
        token = external_token("cks-1234567890abcdef0", name.replace(" ", "-"), b"inner token")
        header = ciphertext.header(external_material_id("cks-1234567890abcdef0", name.replace(" ", "-")))
        bound_to = ciphertext.associated_data(header, key_id, canonical(context))
        once = AesBackingKey(key, Batch(entropy, NONCES_LENGTH)).encrypt(plaintext, bound_to)
        iv, metadata = entropy(16 if context else 12), entropy(20) if context else b""
        digest = hashlib.sha256(bound_to).digest()
        framed = b"\x00\x20" + digest + bytes((len(metadata),)) + metadata if metadata else digest
        sealed = AESGCM(external_key).encrypt(iv, once, framed)
        body = body_of(Sealed(ciphertext=sealed[:-16], iv=iv, tag=sealed[-16:], metadata=metadata))
        vectors.append(
            {
                "name": name,
                "token": token.hex(),
                "backing_key": key.hex(),
                "external_key": external_key.hex(),
                "key_id": key_id,
                "encryption_context": context,
                "plaintext": base64.b64encode(plaintext).decode(),
                "ciphertext_blob": base64.b64encode(header + body).decode(),
            }
        )
    return vectors


def backup() -> dict[str, object]:
    """Return a backup that is not encrypted, of a deployment with a user, an alias, a grant and a rotated key."""
    clock, entropy = ManualClock(1_790_000_000.0), DeterministicEntropy("backup")
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(data=f"{scratch}/data", regions=("us-east-1", "eu-west-1"))
        deployment = LocalDeployment(Path(scratch, "data"), clock, source=entropy)
        key_id = deployment.call("CreateKey")["KeyMetadata"]["KeyId"]
        first = deployment.call("Encrypt", KeyId=key_id, Plaintext=base64.b64encode(b"before").decode())
        deployment.call("RotateKeyOnDemand", KeyId=key_id)
        second = deployment.call("Encrypt", KeyId=key_id, Plaintext=base64.b64encode(b"after").decode())
        deployment.call("CreateAlias", AliasName="alias/golden", TargetKeyId=key_id)
        deployment.call(
            "CreateGrant", KeyId=key_id, GranteePrincipal="arn:aws:iam::000000000000:root", Operations=["Decrypt"]
        )
        deployment.call("CreateKey", KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC", region="eu-west-1")
        deployment.deployment.log.checkpoint()
        with closing(open_existing(settings, clock, entropy)) as opened:
            made = BackupMaker(opened, clock, entropy).make(Path(scratch), None, lambda *_: None)
        content, root_key = made.path.read_bytes(), Path(scratch, "data", "root.key").read_text()
        deployment.deployment.close()
    return {
        "name": "backup",
        "root_key": root_key,
        "key_id": key_id,
        "ciphertext_blobs": {"before": first["CiphertextBlob"], "after": second["CiphertextBlob"]},
        "manifest": made.signed.digest,
        "backup": base64.b64encode(content).decode(),
    }


def keys_at_rest() -> dict[str, object]:
    entropy = DeterministicEntropy("keys at rest")
    with tempfile.TemporaryDirectory() as folder:
        root_key = Path(folder) / "root.key"
        create_root_key(root_key, entropy)
        seal = load_file_seal(root_key, entropy)
        text = root_key.read_text()
    domain_key = create_domain_key("us-east-1", 1, seal, entropy)
    backend = SoftwareKeyBackend(DomainKeys([domain_key], seal, entropy), entropy)
    key_id = "1234abcd-12ab-34cd-56ef-1234567890ab"
    owner = MaterialBinding("111122223333", "us-east-1", key_id, "ab" * 32, KeySpec.SYMMETRIC_DEFAULT)
    token = backend.generate(owner)
    return {
        "root_key_file": text,
        "sealed_domain_key": domain_key.sealed.hex(),
        "key_id": key_id,
        "token": token.hex(),
        "body": cast("SymmetricKey", backend.load(token, owner)).encrypt(b"golden", b"bound").hex(),
    }


def row_macs() -> list[dict[str, object]]:
    entropy = DeterministicEntropy("row macs")
    vectors: list[dict[str, object]] = []
    for table, values in ROWS:
        domain_key = entropy(32)
        keys = RowKeys()
        keys.update({1: domain_key})
        message = FORMATS[table].of_values(values, [("tag", "value")] if table == "kms_key" else [])
        vectors.append(
            {
                "table": table,
                "values": {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()},
                "message": message.hex(),
                "domain_key": domain_key.hex(),
                "row_mac": keys.mac(message).hex(),
            }
        )
    return vectors


if __name__ == "__main__":
    main()
