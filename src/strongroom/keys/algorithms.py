"""The algorithms of each key spec and usage, and the sizes of their inputs.

Source: KMS Developer Guide, "Key spec reference"; KMS API Reference, CreateKey, Sign, Encrypt. The order of each tuple
is that of DescribeKey.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from strongroom.errors import InvalidKeyUsageException, ValidationException
from strongroom.keys.specs import KeySpec


class EncryptionAlgorithm(StrEnum):
    """Algorithms of Encrypt and Decrypt. SYMMETRIC_DEFAULT is AES-256-GCM under a derived key."""

    SYMMETRIC_DEFAULT = "SYMMETRIC_DEFAULT"
    RSAES_OAEP_SHA_1 = "RSAES_OAEP_SHA_1"
    RSAES_OAEP_SHA_256 = "RSAES_OAEP_SHA_256"
    SM2PKE = "SM2PKE"


class SigningAlgorithm(StrEnum):
    """Algorithms of Sign and Verify."""

    RSASSA_PSS_SHA_256 = "RSASSA_PSS_SHA_256"
    RSASSA_PSS_SHA_384 = "RSASSA_PSS_SHA_384"
    RSASSA_PSS_SHA_512 = "RSASSA_PSS_SHA_512"
    RSASSA_PKCS1_V1_5_SHA_256 = "RSASSA_PKCS1_V1_5_SHA_256"
    RSASSA_PKCS1_V1_5_SHA_384 = "RSASSA_PKCS1_V1_5_SHA_384"
    RSASSA_PKCS1_V1_5_SHA_512 = "RSASSA_PKCS1_V1_5_SHA_512"
    ECDSA_SHA_256 = "ECDSA_SHA_256"
    ECDSA_SHA_384 = "ECDSA_SHA_384"
    ECDSA_SHA_512 = "ECDSA_SHA_512"
    SM2DSA = "SM2DSA"
    ML_DSA_SHAKE_256 = "ML_DSA_SHAKE_256"
    ED25519_SHA_512 = "ED25519_SHA_512"
    ED25519_PH_SHA_512 = "ED25519_PH_SHA_512"


class MacAlgorithm(StrEnum):
    """Algorithms of GenerateMac and VerifyMac."""

    HMAC_SHA_224 = "HMAC_SHA_224"
    HMAC_SHA_256 = "HMAC_SHA_256"
    HMAC_SHA_384 = "HMAC_SHA_384"
    HMAC_SHA_512 = "HMAC_SHA_512"


class KeyAgreementAlgorithm(StrEnum):
    """Algorithms of DeriveSharedSecret."""

    ECDH = "ECDH"


class EncapsulationAlgorithm(StrEnum):
    """Algorithms of Encapsulate and Decapsulate."""

    ML_KEM = "ML_KEM"


class MessageType(StrEnum):
    """What Sign and Verify are given: the message, its digest, or the message representative (mu) of ML-DSA."""

    RAW = "RAW"
    DIGEST = "DIGEST"
    EXTERNAL_MU = "EXTERNAL_MU"


Algorithm = EncryptionAlgorithm | SigningAlgorithm | MacAlgorithm | KeyAgreementAlgorithm | EncapsulationAlgorithm

_RSA_SPECS = (KeySpec.RSA_2048, KeySpec.RSA_3072, KeySpec.RSA_4096)
_RSA_SIGNING = (
    SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_256,
    SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_384,
    SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_512,
    SigningAlgorithm.RSASSA_PSS_SHA_256,
    SigningAlgorithm.RSASSA_PSS_SHA_384,
    SigningAlgorithm.RSASSA_PSS_SHA_512,
)
_ML_DSA = (SigningAlgorithm.ML_DSA_SHAKE_256,)

ENCRYPTION: dict[KeySpec, tuple[EncryptionAlgorithm, ...]] = {
    KeySpec.SYMMETRIC_DEFAULT: (EncryptionAlgorithm.SYMMETRIC_DEFAULT,),
    **dict.fromkeys(_RSA_SPECS, (EncryptionAlgorithm.RSAES_OAEP_SHA_1, EncryptionAlgorithm.RSAES_OAEP_SHA_256)),
    KeySpec.SM2: (EncryptionAlgorithm.SM2PKE,),
}
SIGNING: dict[KeySpec, tuple[SigningAlgorithm, ...]] = {
    **dict.fromkeys(_RSA_SPECS, _RSA_SIGNING),
    KeySpec.ECC_NIST_P256: (SigningAlgorithm.ECDSA_SHA_256,),
    KeySpec.ECC_NIST_P384: (SigningAlgorithm.ECDSA_SHA_384,),
    KeySpec.ECC_NIST_P521: (SigningAlgorithm.ECDSA_SHA_512,),
    KeySpec.ECC_SECG_P256K1: (SigningAlgorithm.ECDSA_SHA_256,),
    KeySpec.ECC_NIST_EDWARDS25519: (SigningAlgorithm.ED25519_SHA_512, SigningAlgorithm.ED25519_PH_SHA_512),
    KeySpec.ML_DSA_44: _ML_DSA,
    KeySpec.ML_DSA_65: _ML_DSA,
    KeySpec.ML_DSA_87: _ML_DSA,
    KeySpec.SM2: (SigningAlgorithm.SM2DSA,),
}
MAC: dict[KeySpec, tuple[MacAlgorithm, ...]] = {
    KeySpec.HMAC_224: (MacAlgorithm.HMAC_SHA_224,),
    KeySpec.HMAC_256: (MacAlgorithm.HMAC_SHA_256,),
    KeySpec.HMAC_384: (MacAlgorithm.HMAC_SHA_384,),
    KeySpec.HMAC_512: (MacAlgorithm.HMAC_SHA_512,),
}
_ECDH = (KeyAgreementAlgorithm.ECDH,)
KEY_AGREEMENT: dict[KeySpec, tuple[KeyAgreementAlgorithm, ...]] = {
    KeySpec.ECC_NIST_P256: _ECDH,
    KeySpec.ECC_NIST_P384: _ECDH,
    KeySpec.ECC_NIST_P521: _ECDH,
    KeySpec.SM2: _ECDH,
}
ENCAPSULATION: dict[KeySpec, tuple[EncapsulationAlgorithm, ...]] = dict.fromkeys(
    (KeySpec.ML_KEM_512, KeySpec.ML_KEM_768, KeySpec.ML_KEM_1024), (EncapsulationAlgorithm.ML_KEM,)
)

_RSA_BYTES = {KeySpec.RSA_2048: 256, KeySpec.RSA_3072: 384, KeySpec.RSA_4096: 512}
_OAEP_HASH_BYTES = {EncryptionAlgorithm.RSAES_OAEP_SHA_1: 20, EncryptionAlgorithm.RSAES_OAEP_SHA_256: 32}
_MU_BYTES = 64
_DIGEST_BYTES: dict[SigningAlgorithm, int] = {
    SigningAlgorithm.RSASSA_PSS_SHA_256: 32,
    SigningAlgorithm.RSASSA_PSS_SHA_384: 48,
    SigningAlgorithm.RSASSA_PSS_SHA_512: 64,
    SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_256: 32,
    SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_384: 48,
    SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_512: 64,
    SigningAlgorithm.ECDSA_SHA_256: 32,
    SigningAlgorithm.ECDSA_SHA_384: 48,
    SigningAlgorithm.ECDSA_SHA_512: 64,
    SigningAlgorithm.SM2DSA: 32,
    SigningAlgorithm.ED25519_PH_SHA_512: 64,
}
"""Signing algorithms that take a digest, and its length."""

_NOT_RAW = frozenset({SigningAlgorithm.ED25519_PH_SHA_512})


def require_algorithm(algorithm: Algorithm, spec: KeySpec, known: Mapping[KeySpec, Sequence[Algorithm]]) -> None:
    """Refuse an algorithm that keys of this spec do not have; raises InvalidKeyUsageException."""
    if algorithm not in known.get(spec, ()):
        raise InvalidKeyUsageException(f"Algorithm {algorithm} is incompatible with key spec {spec}.")


def require_plaintext_size(size: int, algorithm: EncryptionAlgorithm, spec: KeySpec) -> None:
    """Refuse a plaintext that does not fit into one OAEP block (RFC 8017, 7.1.1); raises ValidationException."""
    if algorithm not in _OAEP_HASH_BYTES:
        return
    most = _RSA_BYTES[spec] - 2 * _OAEP_HASH_BYTES[algorithm] - 2
    if size > most:
        raise ValidationException(
            f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {most} bytes."
        )


def require_message(size: int, kind: MessageType, algorithm: SigningAlgorithm) -> None:
    """Refuse a message of a type or length that the algorithm does not take; raises ValidationException."""
    takes = {
        MessageType.RAW: algorithm not in _NOT_RAW,
        MessageType.DIGEST: algorithm in _DIGEST_BYTES,
        MessageType.EXTERNAL_MU: algorithm is SigningAlgorithm.ML_DSA_SHAKE_256,
    }
    if not takes[kind]:
        raise ValidationException(f"MessageType {kind} is not valid for algorithm {algorithm}.")
    if kind is MessageType.DIGEST and size != _DIGEST_BYTES[algorithm]:
        raise ValidationException(f"Digest is invalid length for algorithm {algorithm}.")
    if kind is MessageType.EXTERNAL_MU and size != _MU_BYTES:
        raise ValidationException(f"Message representative is invalid length for algorithm {algorithm}.")
