"""Every release opens what earlier releases have encrypted in a hardware token (suite 2)."""

import base64
import json
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from Crypto.Cipher import AES

from local_deployment import entropy
from softhsm import LABEL, MODULE, PIN, new_token
from strongroom.crypto.cloudhsm.key_backend import CloudHsmKeyBackend
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.cryptoki import Attributes
from strongroom.crypto.pkcs11.token import ModuleToken
from strongroom.crypto.pkcs11.token_address import TokenAddress
from strongroom.keys import ciphertext
from strongroom.keys.encryption_context import canonical
from strongroom.keys.specs import KeySpec

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden" / "cluster_blob_v1.json").read_text())
assert VECTORS, "the golden file is empty"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_ciphertext_blobs_of_keys_in_clusters_open(
    vector: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in new_token(tmp_path).items():
        monkeypatch.setenv(name, value)
    parsed = ciphertext.parse(base64.b64decode(vector["ciphertext_blob"]))
    owner = MaterialBinding(
        vector["account"], vector["region"], vector["key_id"], parsed.material_id, KeySpec.SYMMETRIC_DEFAULT
    )
    label = f"arn:aws:kms:{owner.region}:{owner.account}:key/{owner.key_id}"
    data = ciphertext.associated_data(parsed.header, owner.key_id, canonical(vector["encryption_context"]))
    with closing(ModuleToken(TokenAddress(MODULE, LABEL, PIN), time.monotonic)) as token:
        known: Attributes = {
            c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_KEY_TYPE: c.CKK_AES, c.CKA_TOKEN: True, c.CKA_PRIVATE: True,
            c.CKA_ENCRYPT: True, c.CKA_DECRYPT: True, c.CKA_VALUE: bytes.fromhex(vector["key"]),
            c.CKA_ID: bytes.fromhex(owner.material_id), c.CKA_LABEL: label.encode(),
        }  # fmt: skip
        token.run(lambda session: session.calls.create_object(known))
        backend = CloudHsmKeyBackend(lambda *_, **__: token, vector["store_id"], entropy)
        key: Any = backend.load(base64.b64decode(vector["token"]), owner)
        assert key.decrypt(parsed.body, data) == base64.b64decode(vector["plaintext"])
    # The format again, with another implementation.
    suite, length = parsed.body[:2]
    iv, sealed = parsed.body[2 : 2 + length], parsed.body[2 + length :]
    cipher = AES.new(bytes.fromhex(vector["key"]), AES.MODE_GCM, nonce=iv)
    cipher.update(sha256(b"\x02" + data).digest())
    assert suite == 2
    assert cipher.decrypt_and_verify(sealed[:-16], sealed[-16:]) == base64.b64decode(vector["plaintext"])
