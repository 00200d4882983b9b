"""Private keys that a developer gives in a file or a tag, in any of the usual encodings."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.crypto.key_encodings import pkcs8
from strongroom.keys.specs import KeySpec

_RSA = {2048: KeySpec.RSA_2048, 3072: KeySpec.RSA_3072, 4096: KeySpec.RSA_4096}
_CURVES = {
    "secp256r1": KeySpec.ECC_NIST_P256,
    "secp384r1": KeySpec.ECC_NIST_P384,
    "secp521r1": KeySpec.ECC_NIST_P521,
    "secp256k1": KeySpec.ECC_SECG_P256K1,
}


def given_private_key(encoded: bytes) -> tuple[KeySpec, bytes]:
    """Return the spec of a private key, and the key as PKCS #8, DER.

    ``encoded`` is PEM or DER: PKCS #8, PKCS #1 for RSA, or SEC 1 for elliptic curves. Raises ValueError, with the
    reason, if it is none of these, is encrypted, or is a key that no KMS key can have.
    """
    is_pem = encoded.lstrip().startswith(b"-----BEGIN")
    load = serialization.load_pem_private_key if is_pem else serialization.load_der_private_key
    try:
        key = load(encoded, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # TypeError: it is encrypted. The library's own message names its internals.
        kind = "PEM" if is_pem else "DER"
        raise ValueError(f"it is not a private key in {kind} without a password") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size in _RSA:
        return _RSA[key.key_size], pkcs8(key)
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name], pkcs8(key)
    if isinstance(key, Ed25519PrivateKey):
        return KeySpec.ECC_NIST_EDWARDS25519, pkcs8(key)
    raise ValueError("it is a private key of a kind or size that no KMS key has")
