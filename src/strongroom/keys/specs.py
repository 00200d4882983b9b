"""The properties of a KMS key that never change: spec, usage, origin and manager (KMS API Reference, CreateKey)."""

from enum import StrEnum


class KeySpec(StrEnum):
    """The kind of key material (KMS API Reference, CreateKey, ``KeySpec``)."""

    SYMMETRIC_DEFAULT = "SYMMETRIC_DEFAULT"
    RSA_2048 = "RSA_2048"
    RSA_3072 = "RSA_3072"
    RSA_4096 = "RSA_4096"
    ECC_NIST_P256 = "ECC_NIST_P256"
    ECC_NIST_P384 = "ECC_NIST_P384"
    ECC_NIST_P521 = "ECC_NIST_P521"
    ECC_SECG_P256K1 = "ECC_SECG_P256K1"
    ECC_NIST_EDWARDS25519 = "ECC_NIST_EDWARDS25519"
    HMAC_224 = "HMAC_224"
    HMAC_256 = "HMAC_256"
    HMAC_384 = "HMAC_384"
    HMAC_512 = "HMAC_512"
    SM2 = "SM2"
    ML_DSA_44 = "ML_DSA_44"
    ML_DSA_65 = "ML_DSA_65"
    ML_DSA_87 = "ML_DSA_87"
    ML_KEM_512 = "ML_KEM_512"
    ML_KEM_768 = "ML_KEM_768"
    ML_KEM_1024 = "ML_KEM_1024"


class KeyUsage(StrEnum):
    """What a KMS key can be used for."""

    ENCRYPT_DECRYPT = "ENCRYPT_DECRYPT"
    SIGN_VERIFY = "SIGN_VERIFY"
    GENERATE_VERIFY_MAC = "GENERATE_VERIFY_MAC"
    KEY_AGREEMENT = "KEY_AGREEMENT"
    ENCAPSULATE_DECAPSULATE = "ENCAPSULATE_DECAPSULATE"


class Origin(StrEnum):
    """Where the key material comes from."""

    AWS_KMS = "AWS_KMS"
    EXTERNAL = "EXTERNAL"
    AWS_CLOUDHSM = "AWS_CLOUDHSM"
    EXTERNAL_KEY_STORE = "EXTERNAL_KEY_STORE"


class KeyManager(StrEnum):
    """The manager of a key: its owner, or the AWS service it was made for."""

    CUSTOMER = "CUSTOMER"
    AWS = "AWS"


_RSA = (KeyUsage.ENCRYPT_DECRYPT, KeyUsage.SIGN_VERIFY)
_CURVE = (KeyUsage.SIGN_VERIFY, KeyUsage.KEY_AGREEMENT)
_MAC = (KeyUsage.GENERATE_VERIFY_MAC,)
_SIGN = (KeyUsage.SIGN_VERIFY,)
_KEM = (KeyUsage.ENCAPSULATE_DECAPSULATE,)

USAGES: dict[KeySpec, tuple[KeyUsage, ...]] = {
    KeySpec.SYMMETRIC_DEFAULT: (KeyUsage.ENCRYPT_DECRYPT,),
    KeySpec.RSA_2048: _RSA,
    KeySpec.RSA_3072: _RSA,
    KeySpec.RSA_4096: _RSA,
    KeySpec.ECC_NIST_P256: _CURVE,
    KeySpec.ECC_NIST_P384: _CURVE,
    KeySpec.ECC_NIST_P521: _CURVE,
    KeySpec.ECC_SECG_P256K1: _SIGN,
    KeySpec.ECC_NIST_EDWARDS25519: _SIGN,
    KeySpec.HMAC_224: _MAC,
    KeySpec.HMAC_256: _MAC,
    KeySpec.HMAC_384: _MAC,
    KeySpec.HMAC_512: _MAC,
    KeySpec.SM2: (KeyUsage.ENCRYPT_DECRYPT, KeyUsage.SIGN_VERIFY, KeyUsage.KEY_AGREEMENT),
    KeySpec.ML_DSA_44: _SIGN,
    KeySpec.ML_DSA_65: _SIGN,
    KeySpec.ML_DSA_87: _SIGN,
    KeySpec.ML_KEM_512: _KEM,
    KeySpec.ML_KEM_768: _KEM,
    KeySpec.ML_KEM_1024: _KEM,
}
"""The usages each spec can be given (KMS Developer Guide, "Key spec reference")."""
