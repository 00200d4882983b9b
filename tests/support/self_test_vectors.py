"""Makes the vectors of the self-tests from the published ones: one of each primitive, with its source.

    python tests/support/self_test_vectors.py

A test compares the file with what this makes (``test_self_test_vectors.py``).
"""

import base64
import json
from pathlib import Path
from typing import Any

from kyber_py.ml_kem import ML_KEM_512

from published import PUBLISHED

TARGET = Path(__file__).parents[2] / "src/strongroom/crypto/self_tests/vectors.json"

CHOSEN: dict[str, tuple[str, tuple[str, ...]]] = {
    "aes-gcm": ("aes_gcm", ("key", "iv", "aad", "msg", "ct", "tag")),
    "aes-kwp": ("aes_kwp", ("key", "msg", "ct")),
    "kbkdf": ("kbkdf_ctr_hmac_sha256", ("key", "fixed", "output")),
    "hmac-sha-224": ("hmac_sha224", ("key", "msg", "tag")),
    "hmac-sha-256": ("hmac_sha256", ("key", "msg", "tag")),
    "hmac-sha-384": ("hmac_sha384", ("key", "msg", "tag")),
    "hmac-sha-512": ("hmac_sha512", ("key", "msg", "tag")),
    "rsa-pkcs1": ("rsa_pkcs1_2048_sig_gen", ("privateKeyPkcs8", "msg", "sig")),
    "rsa-pss": ("rsa_pss_2048_sha256_mgf1_32", ("publicKeyDer", "msg", "sig")),
    "rsa-oaep-sha-1": ("rsa_oaep_2048_sha1_mgf1sha1", ("privateKeyPkcs8", "msg", "ct")),
    "rsa-oaep-sha-256": ("rsa_oaep_2048_sha256_mgf1sha256", ("privateKeyPkcs8", "msg", "ct")),
    "ecdsa-p256": ("ecdsa_secp256r1_sha256", ("publicKeyDer", "msg", "sig")),
    "ecdsa-p384": ("ecdsa_secp384r1_sha384", ("publicKeyDer", "msg", "sig")),
    "ecdsa-p521": ("ecdsa_secp521r1_sha512", ("publicKeyDer", "msg", "sig")),
    "ecdsa-secp256k1": ("ecdsa_secp256k1_sha256", ("publicKeyDer", "msg", "sig")),
    "ecdh-p256": ("ecdh_secp256r1", ("public", "private", "shared")),
    "ecdh-p384": ("ecdh_secp384r1", ("public", "private", "shared")),
    "ecdh-p521": ("ecdh_secp521r1", ("public", "private", "shared")),
    "ed25519": ("ed25519", ("publicKeyDer", "msg", "sig")),
    "ml-dsa-44": ("mldsa_44_sign_seed", ("privateSeed", "publicKey", "msg", "sig")),
    "ml-dsa-65": ("mldsa_65_sign_seed", ("privateSeed", "publicKey", "msg", "sig")),
    "ml-dsa-87": ("mldsa_87_sign_seed", ("privateSeed", "publicKey", "msg", "sig")),
    "ml-kem-512": ("mlkem_512", ("ek", "seed", "c", "K")),
    "ml-kem-768": ("mlkem_768", ("seed", "ek", "c", "K")),
    "ml-kem-1024": ("mlkem_1024", ("seed", "ek", "c", "K")),
}
"""Name → the file of published vectors, and the values that the test needs."""

Json = dict[str, Any]


def main() -> None:
    TARGET.write_text(json.dumps(selected(), indent=1) + "\n", encoding="utf-8")


def selected() -> Json:
    """Return the vectors by name: the first valid one of each file that has a message and tests no special case."""
    return {name: _first(file, fields) for name, (file, fields) in CHOSEN.items()}


def _first(file: str, fields: tuple[str, ...]) -> Json:
    document: Json = json.loads((PUBLISHED / f"{file}.json").read_bytes())
    for test in document["tests"]:
        keys = document["keys"]
        values = {**(keys[test["key"]] if keys else {}), **test["values"]}
        if test["result"] == "valid" and "Strcmp" not in test["flags"] and _fits(values, fields):
            chosen = {field: values[field] for field in fields}
            if file == "mlkem_512":
                chosen["expanded"] = _expanded(chosen.pop("seed"))
            return {"source": document["source"], "id": test["id"], "values": chosen}
    raise LookupError(file)


def _fits(values: Json, fields: tuple[str, ...]) -> bool:
    """Tell whether a vector has all the values, none of them empty, and no label or context, which we never use."""
    return all(values.get(field) for field in fields) and not values.get("label") and not values.get("ctx")


def _expanded(seed: str) -> str:
    """Return the expanded ML-KEM-512 key of a seed: pqcrypto takes no other form (FIPS 203, 7.1)."""
    _, key = ML_KEM_512.key_derive(base64.b64decode(seed))
    return base64.b64encode(key).decode()


if __name__ == "__main__":
    main()
