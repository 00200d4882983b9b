"""Published signatures: valid ones verify, and all others raise KMSInvalidSignatureException."""

import base64
import hashlib
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey, MLDSA87PrivateKey

from published import Vector, vectors, with_public_key
from strongroom.crypto.backing_keys import SigningKey
from strongroom.crypto.key_encodings import pkcs8
from strongroom.crypto.software.edwards import EdwardsBackingKey, generate_edwards
from strongroom.crypto.software.elliptic import EllipticBackingKey, generate_elliptic
from strongroom.crypto.software.ml_dsa import MlDsaBackingKey, PrivateKey, generate_ml_dsa
from strongroom.crypto.software.rsa import RsaBackingKey, generate_rsa
from strongroom.errors import KMSInvalidSignatureException
from strongroom.keys.algorithms import MessageType, SigningAlgorithm

HASHES = {"SHA-256": hashlib.sha256, "SHA-384": hashlib.sha384, "SHA-512": hashlib.sha512}
ECDSA = {256: SigningAlgorithm.ECDSA_SHA_256, 384: SigningAlgorithm.ECDSA_SHA_384, 521: SigningAlgorithm.ECDSA_SHA_512}
"""Bits of the curve → algorithm."""

ML_DSA: dict[int, type[PrivateKey]] = {1312: MLDSA44PrivateKey, 1952: MLDSA65PrivateKey, 2592: MLDSA87PrivateKey}
"""Length of the public key in bytes → class of the private key."""

SPKI_HEAD = 22
"""Bytes before the public key in an ML-DSA SubjectPublicKeyInfo (RFC 9881)."""


def verifies(key: SigningKey, message: bytes, kind: MessageType, algorithm: SigningAlgorithm, signature: bytes) -> bool:
    try:
        key.verify(message, kind, algorithm, signature)
    except KMSInvalidSignatureException:
        return False
    return True


@vectors("ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512", "ecdsa_secp256k1_sha256")
def test_ecdsa(vector: Vector) -> None:
    """Vectors include invalid encodings of correct signatures: invalid DER, and r and s out of range."""
    own = EllipticBackingKey(generate_elliptic(ec.SECP256R1()))
    key = with_public_key(own, base64.b64decode(vector.key["publicKeyDer"]))
    algorithm = ECDSA[key._public.key_size]
    message, signature = vector.values["msg"], vector.values["sig"]
    assert verifies(key, message, MessageType.RAW, algorithm, signature) is vector.valid
    digest = hashlib.new(algorithm.removeprefix("ECDSA_").replace("_", ""), message).digest()
    assert verifies(key, digest, MessageType.DIGEST, algorithm, signature) is vector.valid


@vectors("rsa_signature_2048_sha256", "rsa_signature_3072_sha384", "rsa_signature_4096_sha512")
def test_rsa_pkcs1(vector: Vector) -> None:
    _rsa_verifies(vector, "RSASSA_PKCS1_V1_5", expected=vector.valid)


@vectors("rsa_pss_2048_sha256_mgf1_32", "rsa_pss_2048_sha384_mgf1_48", "rsa_pss_4096_sha512_mgf1_64")
def test_rsa_pss(vector: Vector) -> None:
    _rsa_verifies(vector, "RSASSA_PSS", expected=vector.valid)


@vectors("rsa_pss_2048_sha256_mgf1_0", "rsa_pss_4096_sha512_mgf1_32")
def test_rsa_pss_with_a_salt_of_another_length_than_the_hash_is_refused(vector: Vector) -> None:
    _rsa_verifies(vector, "RSASSA_PSS", expected=False)


def _rsa_verifies(vector: Vector, scheme: str, *, expected: bool) -> None:
    key = with_public_key(RsaBackingKey(_rsa()), base64.b64decode(vector.key["publicKeyDer"]))
    algorithm = _rsa_algorithm(vector, scheme)
    message, signature = vector.values["msg"], vector.values["sig"]
    assert verifies(key, message, MessageType.RAW, algorithm, signature) is expected
    digest = HASHES[vector.key["sha"]](message).digest()
    assert verifies(key, digest, MessageType.DIGEST, algorithm, signature) is expected


@cache
def _rsa() -> bytes:
    return generate_rsa(2048)


def _rsa_algorithm(vector: Vector, scheme: str) -> SigningAlgorithm:
    return SigningAlgorithm(f"{scheme}_{vector.key['sha'].replace('-', '_')}")


@vectors("rsa_pkcs1_2048_sig_gen")
def test_rsa_pkcs1_signatures_are_made_as_published(vector: Vector) -> None:
    key = RsaBackingKey(base64.b64decode(vector.key["privateKeyPkcs8"]))
    algorithm, message = _rsa_algorithm(vector, "RSASSA_PKCS1_V1_5"), vector.values["msg"]
    assert key.sign(message, MessageType.RAW, algorithm) == vector.values["sig"]
    digest = HASHES[vector.key["sha"]](message).digest()
    assert key.sign(digest, MessageType.DIGEST, algorithm) == vector.values["sig"]


@vectors("ed25519")
def test_ed25519(vector: Vector) -> None:
    key = with_public_key(EdwardsBackingKey(generate_edwards()), base64.b64decode(vector.key["publicKeyDer"]))
    message, signature = vector.values["msg"], vector.values["sig"]
    pure, prehashed = SigningAlgorithm.ED25519_SHA_512, SigningAlgorithm.ED25519_PH_SHA_512
    assert verifies(key, message, MessageType.RAW, pure, signature) is vector.valid
    assert not verifies(key, message, MessageType.DIGEST, prehashed, signature)


def test_ed25519_signatures_are_made_as_published() -> None:
    """Source: RFC 8032, section 7.1, "TEST 3"."""
    key = _edwards("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
    assert key.public_key().hex().endswith("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
    signature = key.sign(bytes.fromhex("af82"), MessageType.RAW, SigningAlgorithm.ED25519_SHA_512)
    assert signature.hex() == (
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )


def test_ed25519ph_signatures_are_made_as_published() -> None:
    """Source: RFC 8032, section 7.3, "TEST abc". Its message is what Ed25519ph hashes, which in KMS is the digest."""
    key = _edwards("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42")
    assert key.public_key().hex().endswith("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf")
    expected = bytes.fromhex(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
        "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
    )
    prehashed = SigningAlgorithm.ED25519_PH_SHA_512
    assert key.sign(b"abc", MessageType.DIGEST, prehashed) == expected
    key.verify(b"abc", MessageType.DIGEST, prehashed, expected)
    for message, signature in (
        (hashlib.sha512(b"abc").digest(), expected),
        (b"abc", expected[:-1]),
        (b"abc", expected + b"\x00"),
        (b"abc", bytes((expected[0] ^ 1,)) + expected[1:]),
        (b"abc", key.sign(b"abc", MessageType.RAW, SigningAlgorithm.ED25519_SHA_512)),
    ):
        with pytest.raises(KMSInvalidSignatureException):
            key.verify(message, MessageType.DIGEST, prehashed, signature)


def _edwards(seed: str) -> EdwardsBackingKey:
    return EdwardsBackingKey(pkcs8(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))))


@vectors("mldsa_44_verify", "mldsa_65_verify", "mldsa_87_verify")
def test_ml_dsa(vector: Vector) -> None:
    """A signature with a context is refused, since AWS KMS has no contexts."""
    spki = base64.b64decode(vector.key["publicKeyDer"])
    key = with_public_key(MlDsaBackingKey(generate_ml_dsa(ML_DSA[len(spki) - SPKI_HEAD])), spki)
    algorithm, message, signature = SigningAlgorithm.ML_DSA_SHAKE_256, vector.values["msg"], vector.values["sig"]
    expected = vector.valid and not vector.values.get("ctx")
    assert verifies(key, message, MessageType.RAW, algorithm, signature) is expected


@vectors("mldsa_44_sign_seed", "mldsa_65_sign_seed", "mldsa_87_sign_seed")
def test_ml_dsa_keys_and_message_representatives(vector: Vector) -> None:
    public = base64.b64decode(vector.key["publicKey"])
    private = ML_DSA[len(public)].from_seed_bytes(base64.b64decode(vector.key["privateSeed"]))
    key = MlDsaBackingKey(pkcs8(private))
    assert key.public_key()[SPKI_HEAD:] == public
    algorithm, mu, signature = SigningAlgorithm.ML_DSA_SHAKE_256, vector.values["mu"], vector.values["sig"]
    assert verifies(key, mu, MessageType.EXTERNAL_MU, algorithm, signature)
    assert not verifies(key, bytes(64), MessageType.EXTERNAL_MU, algorithm, signature)
    ours = key.sign(mu, MessageType.EXTERNAL_MU, algorithm)
    assert verifies(key, mu, MessageType.EXTERNAL_MU, algorithm, ours)
    if "msg" in vector.values and "ctx" not in vector.values:
        assert verifies(key, vector.values["msg"], MessageType.RAW, algorithm, signature)
        assert verifies(key, vector.values["msg"], MessageType.RAW, algorithm, ours)
