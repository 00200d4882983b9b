"""The known-answer tests: each computes with a primitive, and compares with what was published.

They use the classes that calls use, so what is tested is what serves. What has a random part, such as a signature with
RSA-PSS or ECDSA, is tested by verifying a published signature and one that was just made (a pairwise consistency test).
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import TypeAlias, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding, aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from strongroom.crypto.key_encodings import pkcs8
from strongroom.crypto.keyed_hash import HmacKey
from strongroom.crypto.self_tests.vectors import Vector
from strongroom.crypto.software.aes import NONCES_LENGTH, AesBackingKey
from strongroom.crypto.software.edwards import EdwardsBackingKey
from strongroom.crypto.software.elliptic import EllipticBackingKey
from strongroom.crypto.software.hmac_key import HmacBackingKey
from strongroom.crypto.software.ml_dsa import MlDsaBackingKey
from strongroom.crypto.software.ml_kem import MlKem512BackingKey, MlKemBackingKey, pkcs8_512
from strongroom.crypto.software.rsa import RsaBackingKey
from strongroom.keys.algorithms import EncryptionAlgorithm, MessageType, SigningAlgorithm
from strongroom.keys.specs import KeySpec

Vectors: TypeAlias = Mapping[str, Vector]

_RAW = MessageType.RAW
_MESSAGE = b"self-test"
_PRIVATE_VALUE = int.from_bytes(hashlib.sha256(_MESSAGE).digest())
_DIGESTS = {
    "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
    "sha224": "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "sha384": "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    "sha512": "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d44"
    "23643ce80e2a9ac94fa54ca49f",
}
"""The digests of ``abc`` (NIST, examples with intermediate values for FIPS 180-4)."""
_ED25519 = {
    "secret": bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"),
    "message": bytes.fromhex("af82"),
    "signature": bytes.fromhex(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    ),
}
"""RFC 8032, 7.1, test 3."""
_ED25519_PH = {
    "secret": bytes.fromhex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42"),
    "message": b"abc",
    "signature": bytes.fromhex(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
        "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
    ),
}
"""RFC 8032, 7.3."""
_HMACS = {
    KeySpec.HMAC_224: "hmac-sha-224",
    KeySpec.HMAC_256: "hmac-sha-256",
    KeySpec.HMAC_384: "hmac-sha-384",
    KeySpec.HMAC_512: "hmac-sha-512",
}
_CURVES: dict[str, tuple[ec.EllipticCurve, HashAlgorithm, SigningAlgorithm]] = {
    "p256": (ec.SECP256R1(), SHA256(), SigningAlgorithm.ECDSA_SHA_256),
    "p384": (ec.SECP384R1(), SHA384(), SigningAlgorithm.ECDSA_SHA_384),
    "p521": (ec.SECP521R1(), SHA512(), SigningAlgorithm.ECDSA_SHA_512),
    "secp256k1": (ec.SECP256K1(), SHA256(), SigningAlgorithm.ECDSA_SHA_256),
}
_OAEP = {
    "rsa-oaep-sha-1": EncryptionAlgorithm.RSAES_OAEP_SHA_1,
    "rsa-oaep-sha-256": EncryptionAlgorithm.RSAES_OAEP_SHA_256,
}
_ML_DSA: dict[str, type[mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey]] = {
    "ml-dsa-44": mldsa.MLDSA44PrivateKey,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey,
}
_ML_KEM: dict[str, type[mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey]] = {
    "ml-kem-768": mlkem.MLKEM768PrivateKey,
    "ml-kem-1024": mlkem.MLKEM1024PrivateKey,
}


def hashes(_vectors: Vectors) -> bool:
    """Test the digests of Python, which name imported key material and chain the audit log."""
    return all(
        hashlib.new(name, b"abc", usedforsecurity=name != "sha1").hexdigest() == digest
        for name, digest in _DIGESTS.items()
    )


def hmacs(vectors: Vectors) -> bool:
    """Test HMAC with each hash: of the library that makes and verifies MACs, and of Python."""
    for spec, name in _HMACS.items():
        known = vectors[name]
        key = HmacBackingKey(known["key"], spec)
        key.verify_mac(known["msg"], known["tag"])
        digest = hmac.digest(known["key"], known["msg"], name[5:].replace("-", ""))
        if key.mac(known["msg"]) != known["tag"] or digest != known["tag"]:
            return False
    return True


def kbkdf(vectors: Vectors) -> bool:
    """Test key derivation in counter mode with HMAC-SHA-256, the counter of 32 bits before the rest."""
    known = vectors["kbkdf"]
    return HmacKey(known["key"]).mac((1).to_bytes(4) + known["fixed"])[: len(known["output"])] == known["output"]


def aes_gcm(vectors: Vectors) -> bool:
    """Test AES-256-GCM both ways, and that a changed tag is refused."""
    known = vectors["aes-gcm"]
    aead, sealed = AESGCM(known["key"]), known["ct"] + known["tag"]
    if aead.encrypt(known["iv"], known["msg"], known["aad"]) != sealed:
        return False
    if aead.decrypt(known["iv"], sealed, known["aad"]) != known["msg"]:
        return False
    try:
        aead.decrypt(known["iv"], sealed[:-1] + bytes((sealed[-1] ^ 1,)), known["aad"])
    except InvalidTag:
        return True
    return False


def symmetric_keys(vectors: Vectors) -> bool:
    """Test the format of ciphertexts as a whole: its key is derived once more, by Python's HMAC."""
    secret, nonces = vectors["aes-gcm"]["key"], bytes(range(NONCES_LENGTH))
    fixed = (1).to_bytes(4) + b"strongroom:encrypt:aes-256-gcm\0" + nonces[:16] + (256).to_bytes(4)
    call_key = AESGCM(hmac.digest(secret, fixed, "sha256"))
    body = b"\x01" + nonces + call_key.encrypt(nonces[16:], _MESSAGE, b"context")
    key = AesBackingKey(secret, lambda: nonces)
    return key.encrypt(_MESSAGE, b"context") == body and key.decrypt(body, b"context") == _MESSAGE


def key_wrap(vectors: Vectors) -> bool:
    """Test AES Key Wrap with Padding both ways (RFC 5649)."""
    known = vectors["aes-kwp"]
    wrapped = aes_key_wrap_with_padding(known["key"], known["msg"])
    return wrapped == known["ct"] and aes_key_unwrap_with_padding(known["key"], wrapped) == known["msg"]


def rsa_signatures(vectors: Vectors) -> bool:
    """Test PKCS #1 v1.5 with a published signature; test PSS with one that was just made, and with a published one."""
    known = vectors["rsa-pkcs1"]
    key = RsaBackingKey(known["privateKeyPkcs8"])
    pss = SigningAlgorithm.RSASSA_PSS_SHA_256
    key.verify(_MESSAGE, _RAW, pss, key.sign(_MESSAGE, _RAW, pss))
    published = vectors["rsa-pss"]
    public = cast("rsa.RSAPublicKey", load_der_public_key(published["publicKeyDer"]))
    public.verify(published["sig"], published["msg"], PSS(MGF1(SHA256()), SHA256.digest_size), SHA256())
    return key.sign(known["msg"], _RAW, SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_256) == known["sig"]


def rsa_encryption(vectors: Vectors) -> bool:
    """Test OAEP with either hash: a published ciphertext, and one that was just made."""
    for name, algorithm in _OAEP.items():
        known = vectors[name]
        key = RsaBackingKey(known["privateKeyPkcs8"])
        if key.decrypt(known["ct"], algorithm) != known["msg"]:
            return False
        if key.decrypt(key.encrypt(_MESSAGE, algorithm), algorithm) != _MESSAGE:
            return False
    return True


def ecdsa(curve: str, vectors: Vectors) -> bool:
    """Test ECDSA on a curve: a published signature verifies, and so does one that was just made."""
    group, digest, algorithm = _CURVES[curve]
    known = vectors[f"ecdsa-{curve}"]
    public = cast("ec.EllipticCurvePublicKey", load_der_public_key(known["publicKeyDer"]))
    public.verify(known["sig"], known["msg"], ec.ECDSA(digest))
    key = EllipticBackingKey(pkcs8(ec.derive_private_key(_PRIVATE_VALUE, group)))
    key.verify(_MESSAGE, _RAW, algorithm, key.sign(_MESSAGE, _RAW, algorithm))
    return True


def ecdh(curve: str, vectors: Vectors) -> bool:
    """Test ECDH on a curve with a published secret."""
    known = vectors[f"ecdh-{curve}"]
    private = ec.derive_private_key(int.from_bytes(known["private"]), _CURVES[curve][0])
    return EllipticBackingKey(pkcs8(private)).agree(known["public"]) == known["shared"]


def ed25519(vectors: Vectors) -> bool:
    """Test Ed25519: its signatures have no random part."""
    known = vectors["ed25519"]
    cast("Ed25519PublicKey", load_der_public_key(known["publicKeyDer"])).verify(known["sig"], known["msg"])
    return _edwards_signs(_ED25519, SigningAlgorithm.ED25519_SHA_512, _RAW)


def ed25519_ph(_vectors: Vectors) -> bool:
    """Test Ed25519ph, which another library computes."""
    return _edwards_signs(_ED25519_PH, SigningAlgorithm.ED25519_PH_SHA_512, MessageType.DIGEST)


def _edwards_signs(known: Mapping[str, bytes], algorithm: SigningAlgorithm, kind: MessageType) -> bool:
    key = EdwardsBackingKey(pkcs8(Ed25519PrivateKey.from_private_bytes(known["secret"])))
    key.verify(known["message"], kind, algorithm, known["signature"])
    return key.sign(known["message"], kind, algorithm) == known["signature"]


def ml_dsa(name: str, vectors: Vectors) -> bool:
    """Test ML-DSA: the public key of a seed, a published signature, and one that was just made."""
    known, algorithm = vectors[name], SigningAlgorithm.ML_DSA_SHAKE_256
    private = _ML_DSA[name].from_seed_bytes(known["privateSeed"])
    key = MlDsaBackingKey(pkcs8(private))
    key.verify(known["msg"], _RAW, algorithm, known["sig"])
    key.verify(_MESSAGE, _RAW, algorithm, key.sign(_MESSAGE, _RAW, algorithm))
    return private.public_key().public_bytes_raw() == known["publicKey"]


def ml_kem(name: str, vectors: Vectors) -> bool:
    """Test ML-KEM of OpenSSL: the public key of a seed, a published ciphertext, and one that was just made."""
    known = vectors[name]
    private = _ML_KEM[name].from_seed_bytes(known["seed"])
    return private.public_key().public_bytes_raw() == known["ek"] and _decapsulates(
        MlKemBackingKey(pkcs8(private)), known
    )


def ml_kem_512(vectors: Vectors) -> bool:
    """Test ML-KEM-512, which another library computes."""
    known = vectors["ml-kem-512"]
    key = MlKem512BackingKey(pkcs8_512(known["expanded"]))
    return key.public_key().endswith(known["ek"]) and _decapsulates(key, known)


def _decapsulates(key: MlKemBackingKey | MlKem512BackingKey, known: Vector) -> bool:
    secret, ciphertext = key.encapsulate()
    return key.decapsulate(known["c"]) == known["K"] and key.decapsulate(ciphertext) == secret
