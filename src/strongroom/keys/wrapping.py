"""Wrapping of key material for import, and the rules for keys with imported material.

Source: KMS API Reference, GetParametersForImport, ``WrappingAlgorithm``; KMS Developer Guide, "Requirements for
imported key material".
"""

from enum import StrEnum

from strongroom.errors import UnsupportedOperationException
from strongroom.keys.algorithms import EncryptionAlgorithm
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec, Origin


class WrappingKeySpec(StrEnum):
    """The kind of wrapping key."""

    RSA_2048 = "RSA_2048"
    RSA_3072 = "RSA_3072"
    RSA_4096 = "RSA_4096"
    SM2 = "SM2"


class WrappingAlgorithm(StrEnum):
    """How key material is encrypted: by RSA-OAEP alone, or under an AES key that RSA-OAEP encrypts."""

    RSAES_PKCS1_V1_5 = "RSAES_PKCS1_V1_5"
    RSAES_OAEP_SHA_1 = "RSAES_OAEP_SHA_1"
    RSAES_OAEP_SHA_256 = "RSAES_OAEP_SHA_256"
    RSA_AES_KEY_WRAP_SHA_1 = "RSA_AES_KEY_WRAP_SHA_1"
    RSA_AES_KEY_WRAP_SHA_256 = "RSA_AES_KEY_WRAP_SHA_256"
    SM2PKE = "SM2PKE"


_RSA = frozenset({KeySpec.RSA_2048, KeySpec.RSA_3072, KeySpec.RSA_4096})
_CURVES = frozenset(
    {
        KeySpec.ECC_NIST_P256,
        KeySpec.ECC_NIST_P384,
        KeySpec.ECC_NIST_P521,
        KeySpec.ECC_SECG_P256K1,
        KeySpec.ECC_NIST_EDWARDS25519,
    }
)
_SECRETS = frozenset(
    {KeySpec.SYMMETRIC_DEFAULT, KeySpec.HMAC_224, KeySpec.HMAC_256, KeySpec.HMAC_384, KeySpec.HMAC_512}
)
_IMPORTABLE = _RSA | _CURVES | _SECRETS

_TAKES: dict[WrappingAlgorithm, frozenset[KeySpec]] = {
    WrappingAlgorithm.RSAES_OAEP_SHA_1: _CURVES | _SECRETS,
    WrappingAlgorithm.RSAES_OAEP_SHA_256: _CURVES | _SECRETS,
    WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1: _RSA | _CURVES,
    WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256: _RSA | _CURVES,
}
"""The key specs that each algorithm can wrap. PKCS #1 v1.5 is obsolete, and SM2 exists in China Regions only."""

KEY_WRAPPING = frozenset({WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1, WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256})
"""The algorithms that wrap the material under an AES key, and that key with RSA-OAEP."""


OAEP_OF = {
    WrappingAlgorithm.RSAES_OAEP_SHA_1: EncryptionAlgorithm.RSAES_OAEP_SHA_1,
    WrappingAlgorithm.RSAES_OAEP_SHA_256: EncryptionAlgorithm.RSAES_OAEP_SHA_256,
    WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1: EncryptionAlgorithm.RSAES_OAEP_SHA_1,
    WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256: EncryptionAlgorithm.RSAES_OAEP_SHA_256,
}
"""How each algorithm uses RSA: for the material, or for the AES key."""

WRAPPING_KEY_BITS = {
    WrappingKeySpec.RSA_2048: 2048,
    WrappingKeySpec.RSA_3072: 3072,
    WrappingKeySpec.RSA_4096: 4096,
}

WRAPPING_AES_KEY_LENGTH = 32
"""Bytes of the AES key between the wrapping key and the material."""


def can_wrap(algorithm: WrappingAlgorithm, spec: KeySpec) -> bool:
    """Tell whether an algorithm can wrap key material of a spec, with a wrapping key that is large enough."""
    return spec in _TAKES.get(algorithm, ())


def require_importable_spec(spec: KeySpec) -> None:
    """Refuse specs whose material is only ever generated here; raises UnsupportedOperationException."""
    if spec not in _IMPORTABLE:
        raise UnsupportedOperationException(f"KeySpec {spec} does not support imported key material.")


def require_external(key: KmsKey) -> None:
    """Refuse keys whose material is not imported; raises UnsupportedOperationException."""
    if key.origin is not Origin.EXTERNAL:
        raise UnsupportedOperationException(f"{key.arn} origin is {key.origin} which is not valid for this operation.")


def require_wrapping(spec: KeySpec, algorithm: WrappingAlgorithm, wrapping_key: WrappingKeySpec) -> None:
    """Refuse a wrapping algorithm that a key's spec does not have; raises UnsupportedOperationException.

    The PKCS #8 form of a P-521 key is larger than what one block of RSA-2048 holds.
    """
    if algorithm not in _TAKES:
        raise UnsupportedOperationException(f"WrappingAlgorithm {algorithm} is not supported.")
    if wrapping_key is WrappingKeySpec.SM2:
        raise UnsupportedOperationException(f"WrappingKeySpec {wrapping_key} is not supported in this Region.")
    too_large = (
        spec is KeySpec.ECC_NIST_P521 and wrapping_key is WrappingKeySpec.RSA_2048 and algorithm not in KEY_WRAPPING
    )
    if spec not in _TAKES[algorithm] or too_large:
        raise UnsupportedOperationException(
            f"WrappingAlgorithm {algorithm} with WrappingKeySpec {wrapping_key} cannot wrap {spec} key material."
        )
