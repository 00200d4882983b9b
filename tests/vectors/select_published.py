"""Makes tests/vectors/published from the files of Project Wycheproof and NIST CAVP: a few vectors of every kind.

    python tests/vectors/select_published.py WYCHEPROOF_CHECKOUT CAVP_FOLDER

A kind is an expected result, the flags of a vector, and the sizes that our classes fix. Byte strings become base64, and
a test refers to its key by number. Nothing else changes. See published/README.md.
"""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PUBLISHED = Path(__file__).parent / "published"
Json = dict[str, Any]

ECDSA = ("publicKeyDer",), ("msg", "sig")
RSA = ("publicKeyDer", "sha"), ("msg", "sig")
OAEP = ("privateKeyPkcs8",), ("msg", "ct", "label")
ECDH = ("curve",), ("public", "private", "shared")
VERIFY_ML_DSA = ("publicKeyDer",), ("msg", "sig", "ctx")
SIGN_ML_DSA = ("privateSeed", "publicKey"), ("msg", "mu", "sig", "ctx")
ML_KEM = ("parameterSet",), ("seed", "ek", "c", "K")
MAC = ("tagSize",), ("key", "msg", "tag")

FILES: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], int]] = {
    "ecdsa_secp256r1_sha256": (ECDSA, 6),
    "ecdsa_secp384r1_sha384": (ECDSA, 4),
    "ecdsa_secp521r1_sha512": (ECDSA, 4),
    "ecdsa_secp256k1_sha256": (ECDSA, 6),
    "rsa_signature_2048_sha256": (RSA, 4),
    "rsa_signature_3072_sha384": (RSA, 2),
    "rsa_signature_4096_sha512": (RSA, 2),
    "rsa_pkcs1_2048_sig_gen": ((("privateKeyPkcs8", "sha"), ("msg", "sig")), 4),
    "rsa_pss_2048_sha256_mgf1_32": (RSA, 5),
    "rsa_pss_2048_sha384_mgf1_48": (RSA, 5),
    "rsa_pss_4096_sha512_mgf1_64": (RSA, 4),
    "rsa_pss_2048_sha256_mgf1_0": (RSA, 1),
    "rsa_pss_4096_sha512_mgf1_32": (RSA, 1),
    "rsa_oaep_2048_sha1_mgf1sha1": (OAEP, 3),
    "rsa_oaep_2048_sha256_mgf1sha256": (OAEP, 3),
    "rsa_oaep_3072_sha256_mgf1sha256": (OAEP, 2),
    "rsa_oaep_4096_sha256_mgf1sha256": (OAEP, 2),
    "ed25519": (ECDSA, 8),
    "ecdh_secp256r1": (ECDH, 5),
    "ecdh_secp384r1": (ECDH, 3),
    "ecdh_secp521r1": (ECDH, 3),
    "mldsa_44_verify": (VERIFY_ML_DSA, 1),
    "mldsa_65_verify": (VERIFY_ML_DSA, 1),
    "mldsa_87_verify": (VERIFY_ML_DSA, 1),
    "mldsa_44_sign_seed": (SIGN_ML_DSA, 1),
    "mldsa_65_sign_seed": (SIGN_ML_DSA, 1),
    "mldsa_87_sign_seed": (SIGN_ML_DSA, 1),
    "mlkem_512": (ML_KEM, 1),
    "mlkem_768": (ML_KEM, 1),
    "mlkem_1024": (ML_KEM, 1),
    "hmac_sha224": (MAC, 5),
    "hmac_sha256": (MAC, 5),
    "hmac_sha384": (MAC, 5),
    "hmac_sha512": (MAC, 5),
    "aes_gcm": ((("keySize", "ivSize"), ("key", "iv", "aad", "msg", "ct", "tag")), 8),
    "aes_kwp": ((("keySize",), ("key", "msg", "ct")), 4),
}
"""Wycheproof file → fields that we need of its groups and of its tests, and the number of tests of each kind."""

TEXT = {"sha", "curve", "parameterSet", "tagSize", "keySize", "ivSize"}
ONLY: dict[str, Json] = {
    "AeadTest": {"keySize": [256], "ivSize": [96]},
    "KeywrapTest": {"keySize": [256]},
    "RsassaPkcs1Generate": {"sha": ["SHA-256", "SHA-384", "SHA-512"]},
}
"""Group type → the sizes and hashes that the service uses; other groups are skipped."""

NOT_APPLICABLE = {"IncorrectPublicKeyLength", "IncorrectPrivateKeyLength", "InvalidContext"}
"""Flags of vectors whose input the API of the service cannot express, such as keys of a wrong length."""

VERIFIED_ALREADY = {"MlDsaSign": {"BoundaryCondition", "ManySteps"}}
"""Group type → flags that vectors of another group type cover."""


def main() -> None:
    wycheproof, cavp = Path(sys.argv[1]), Path(sys.argv[2])
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=wycheproof, capture_output=True, text=True, check=True)
    for name, ((of_group, of_test), count) in FILES.items():
        path = f"testvectors_v1/{name}_test.json"
        source = f"Project Wycheproof, {path}, commit {commit.stdout.strip()}"
        keys, tests = select(json.loads((wycheproof / path).read_text()), of_group, of_test, count)
        write(name, source, keys, tests)
    source = "NIST CAVP, SP 800-108 KBKDF, CAVS 14.4, HMAC_SHA256, BEFORE_FIXED, RLEN=32_BITS, L = 256"
    write("kbkdf_ctr_hmac_sha256", source, [], kbkdf((cavp / "nist-800-108-KBKDF-CTR.txt").read_text()))


def select(document: Json, of_group: tuple[str, ...], of_test: tuple[str, ...], count: int) -> tuple[Any, Any]:
    keys: list[Json] = []
    tests: list[Json] = []
    seen: dict[str, int] = {}
    for group in document["testGroups"]:
        if any(group[name] not in values for name, values in ONLY.get(group["type"], {}).items()):
            continue
        unwanted = NOT_APPLICABLE | VERIFIED_ALREADY.get(group["type"], set())
        key = {field: encoded(field, group[field]) for field in of_group}
        for test in group["tests"]:
            kind = kind_of(test, group)
            if seen.get(kind, 0) == count or unwanted.intersection(test["flags"]) or "Private key too" in kind:
                continue
            seen[kind] = seen.get(kind, 0) + 1
            if key not in keys:
                keys.append(key)
            values = {field: encoded(field, test[field]) for field in of_test if field in test}
            about = {"id": test["tcId"], "result": test["result"], "flags": test["flags"]}
            tests.append(about | {"comment": test.get("comment", ""), "key": keys.index(key), "values": values})
    return keys, tests


def kind_of(test: Json, group: Json) -> str:
    comment = re.sub(r"\d+", "", test.get("comment", "")) if "parameterSet" in group else ""
    sizes = [group.get(name) for name in ("tagSize", "keySize", "ivSize", "sha")]
    return repr((test["result"], test["flags"], bool(test.get("ctx")), bool(test.get("label")), sizes, comment))


def encoded(field: str, value: Any) -> Any:
    return value if field in TEXT or value is None else base64.b64encode(bytes.fromhex(value)).decode()


def kbkdf(text: str) -> list[Json]:
    section = text.split("[PRF=HMAC_SHA256]\n[CTRLOCATION=BEFORE_FIXED]\n[RLEN=32_BITS]\n", 1)[1].split("[PRF", 1)[0]
    found = re.findall(
        r"COUNT=(\d+)\nL = 256\nKI = (\w+)\n.*?FixedInputData = (\w+)\n.*?KO = (\w+)\n", section, re.DOTALL
    )
    return [
        {
            "id": int(number),
            "result": "valid",
            "flags": [],
            "values": {
                "key": encoded("key", key),
                "fixed": encoded("fixed", fixed),
                "output": encoded("output", output),
            },
        }
        for number, key, fixed, output in found[:20]
    ]


def write(name: str, source: str, keys: list[Json], tests: list[Json]) -> None:
    """Write one test a line, so that diffs show single tests."""
    text = f'{{\n"source": {json.dumps(source)},\n"keys": {lines(keys)},\n"tests": {lines(tests)}\n}}\n'
    (PUBLISHED / f"{name}.json").write_text(text)


def lines(rows: list[Json]) -> str:
    return "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]"


if __name__ == "__main__":
    main()
