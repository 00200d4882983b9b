"""Published vectors with private keys that are imported into two tokens, and used there."""

import base64
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from full_depth import FullDepth, full_depth
from hsm_keys import moved
from published import Vector, vectors
from strongroom.crypto.key_encodings import pkcs8
from strongroom.errors import InvalidCiphertextException, ValidationException
from strongroom.keys.algorithms import EncryptionAlgorithm, MessageType, SigningAlgorithm
from strongroom.keys.specs import KeySpec

Use = Callable[[KeySpec, bytes], Any]
CURVES: dict[str, tuple[KeySpec, ec.EllipticCurve]] = {
    "secp256r1": (KeySpec.ECC_NIST_P256, ec.SECP256R1()),
    "secp384r1": (KeySpec.ECC_NIST_P384, ec.SECP384R1()),
    "secp521r1": (KeySpec.ECC_NIST_P521, ec.SECP521R1()),
}


@pytest.fixture(scope="module")
def softhsm() -> Iterator[FullDepth]:
    with full_depth("softhsm") as depth:
        yield depth


@pytest.fixture(scope="module")
def nss() -> Iterator[FullDepth]:
    with full_depth("nss") as depth:
        yield depth


def _used_in(depth: FullDepth) -> Use:
    return cache(lambda spec, material: moved(depth, spec, material))


@pytest.fixture(scope="module")
def used_in_nss(nss: FullDepth) -> Use:
    return _used_in(nss)


@pytest.fixture(scope="module", params=["softhsm", "nss"])
def used_in_token(request: pytest.FixtureRequest) -> Use:
    return _used_in(request.getfixturevalue(request.param))


@vectors("rsa_pkcs1_2048_sig_gen")
def test_rsa_pkcs1_signatures(used_in_token: Use, vector: Vector) -> None:
    key = used_in_token(KeySpec.RSA_2048, base64.b64decode(vector.key["privateKeyPkcs8"]))
    algorithm = SigningAlgorithm(f"RSASSA_PKCS1_V1_5_{vector.key['sha'].replace('-', '_')}")
    assert key.sign(vector.values["msg"], MessageType.RAW, algorithm) == vector.values["sig"]


@vectors("rsa_oaep_2048_sha1_mgf1sha1")
def test_rsa_oaep_sha_1(used_in_token: Use, vector: Vector) -> None:
    _decrypts(used_in_token, vector, EncryptionAlgorithm.RSAES_OAEP_SHA_1)


@vectors("rsa_oaep_2048_sha256_mgf1sha256", "rsa_oaep_3072_sha256_mgf1sha256", "rsa_oaep_4096_sha256_mgf1sha256")
def test_rsa_oaep_sha_256(used_in_nss: Use, vector: Vector) -> None:
    """SoftHSM 2.6.1 does not have it."""
    _decrypts(used_in_nss, vector, EncryptionAlgorithm.RSAES_OAEP_SHA_256)


def _decrypts(use: Use, vector: Vector, algorithm: EncryptionAlgorithm) -> None:
    """A ciphertext with a label is refused, since AWS KMS has no labels."""
    ciphertext, material = vector.values["ct"], base64.b64decode(vector.key["privateKeyPkcs8"])
    private = load_der_private_key(material, None)
    assert isinstance(private, rsa.RSAPrivateKey)
    key = use(KeySpec(f"RSA_{private.key_size}"), material)
    if vector.valid and not vector.values["label"]:
        assert key.decrypt(ciphertext, algorithm) == vector.values["msg"]
    else:
        with pytest.raises(InvalidCiphertextException):
            key.decrypt(ciphertext, algorithm)


@vectors("ecdh_secp256r1", "ecdh_secp384r1", "ecdh_secp521r1")
def test_ecdh(used_in_token: Use, vector: Vector) -> None:
    """An encoding that is acceptable rather than valid may be refused, but must not give another secret."""
    spec, curve = CURVES[vector.key["curve"]]
    key = used_in_token(spec, pkcs8(ec.derive_private_key(int.from_bytes(vector.values["private"]), curve)))
    try:
        secret = key.agree(vector.values["public"])
    except ValidationException:
        assert not vector.valid
    else:
        assert vector.result != "invalid"
        assert secret == vector.values["shared"]
