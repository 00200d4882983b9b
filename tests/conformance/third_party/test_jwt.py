"""JSON Web Tokens signed by KMS keys, and verified by joserfc as a resource server does."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import import_key
from mypy_boto3_kms.client import KMSClient

CLAIMS = {"iss": "https://issuer.example", "sub": "alice", "exp": 4_000_000_000}

# JWS algorithm (RFC 7518, 8037, 8812, 9864), key type, key spec, signing algorithm, bytes of r and of s.
# fmt: off
ALGORITHMS = [
    ("RS256",  "RSA", "RSA_2048",              "RSASSA_PKCS1_V1_5_SHA_256", None),
    ("RS512",  "RSA", "RSA_2048",              "RSASSA_PKCS1_V1_5_SHA_512", None),
    ("PS256",  "RSA", "RSA_2048",              "RSASSA_PSS_SHA_256",        None),
    ("PS384",  "RSA", "RSA_2048",              "RSASSA_PSS_SHA_384",        None),
    ("ES256",  "EC",  "ECC_NIST_P256",         "ECDSA_SHA_256",             32),
    ("ES384",  "EC",  "ECC_NIST_P384",         "ECDSA_SHA_384",             48),
    ("ES512",  "EC",  "ECC_NIST_P521",         "ECDSA_SHA_512",             66),
    ("ES256K", "EC",  "ECC_SECG_P256K1",       "ECDSA_SHA_256",             32),
    ("EdDSA",  "OKP", "ECC_NIST_EDWARDS25519", "ED25519_SHA_512",           None),
    ("Ed25519", "OKP", "ECC_NIST_EDWARDS25519", "ED25519_SHA_512",          None),
]
# fmt: on


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # RFC 9864 renames it; tokens still say EdDSA
@pytest.mark.parametrize(("alg", "key_type", "spec", "algorithm", "size"), ALGORITHMS)
def test_a_token_signed_here_is_accepted_there(
    kms: KMSClient, alg: str, key_type: Any, spec: Any, algorithm: Any, size: int | None
) -> None:
    key_id = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    signing_input = b".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": alg, "typ": "JWT"}, CLAIMS))
    signature = kms.sign(KeyId=key_id, Message=signing_input, SigningAlgorithm=algorithm)["Signature"]
    if size is not None:
        signature = b"".join(each.to_bytes(size) for each in decode_dss_signature(signature))
    public = load_der_public_key(kms.get_public_key(KeyId=key_id)["PublicKey"])
    key = import_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), key_type)
    token = (signing_input + b"." + _base64url(signature)).decode()
    assert jwt.decode(token, key, algorithms=[alg]).claims == CLAIMS
    head, _, tail = token.partition(".")
    forged = _base64url(json.dumps({**CLAIMS, "sub": "mallory"}).encode()).decode()
    with pytest.raises(BadSignatureError):
        jwt.decode(f"{head}.{forged}.{tail.partition('.')[2]}", key, algorithms=[alg])


def _base64url(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")
