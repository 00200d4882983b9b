"""ML-KEM backing keys (FIPS 203).

ML-KEM-768 and -1024 come from OpenSSL and are kept as their seed in PKCS #8. OpenSSL's bindings do not offer
ML-KEM-512, which comes from pqcrypto and is kept as its expanded key, the only form that library has; RFC 9935 allows
either.
"""

from typing import cast

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from pqcrypto.kem import ml_kem_512

from strongroom.crypto.key_encodings import load_private_key, pkcs8, spki
from strongroom.errors import InvalidCiphertextException

PrivateKey = MLKEM768PrivateKey | MLKEM1024PrivateKey

# PKCS #8 and SubjectPublicKeyInfo of ML-KEM-512 have fixed lengths, so the bytes before the key are always the same:
# SEQUENCE { 0, { id-alg-ml-kem-512 }, OCTET STRING { OCTET STRING expandedKey } } and
# SEQUENCE { { id-alg-ml-kem-512 }, BIT STRING publicKey } (RFC 9935, 4 and 6).
_OID_512 = bytes.fromhex("300b0609608648016503040401")
_PKCS8_512 = bytes.fromhex("30820678020100") + _OID_512 + bytes.fromhex("0482066404820660")
_SPKI_512 = bytes.fromhex("30820332") + _OID_512 + bytes.fromhex("0382032100")
_PUBLIC_KEY_IN_512 = slice(768, 768 + 800)
"""The position of the encapsulation key in the decapsulation key (FIPS 203, 7.1: dk = dk_PKE || ek || H(ek) || z)."""


class MlKemBackingKey:
    """An ML-KEM-768 or -1024 private key, from PKCS #8."""

    def __init__(self, der: bytes) -> None:
        self._private = cast("PrivateKey", load_private_key(der))
        self._public = self._private.public_key()

    def public_key(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo, DER (RFC 9935)."""
        return spki(self._public)

    def encapsulate(self) -> tuple[bytes, bytes]:
        """Return a fresh 32-byte secret and its ciphertext."""
        secret, ciphertext = self._public.encapsulate()
        return secret, ciphertext

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the secret; raises InvalidCiphertextException for a wrong length."""
        try:
            return self._private.decapsulate(ciphertext)
        except ValueError:
            raise InvalidCiphertextException from None


class MlKem512BackingKey:
    """An ML-KEM-512 private key, from PKCS #8."""

    def __init__(self, der: bytes) -> None:
        if not der.startswith(_PKCS8_512):
            raise TypeError("not an ML-KEM-512 private key")
        self._private = der[len(_PKCS8_512) :]
        self._public = self._private[_PUBLIC_KEY_IN_512]

    def public_key(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo, DER (RFC 9935)."""
        return _SPKI_512 + self._public

    def encapsulate(self) -> tuple[bytes, bytes]:
        """Return a fresh 32-byte secret and its ciphertext."""
        ciphertext, secret = ml_kem_512.encaps(self._public)
        return secret, ciphertext

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the secret; raises InvalidCiphertextException for a wrong length."""
        if len(ciphertext) != ml_kem_512.CIPHERTEXT_SIZE:
            raise InvalidCiphertextException
        return bytes(ml_kem_512.decaps(self._private, ciphertext))


def generate_ml_kem(kind: type[PrivateKey]) -> bytes:
    """Return a new private key as PKCS #8, DER, in seed form."""
    return pkcs8(kind.generate())


def generate_ml_kem_512() -> bytes:
    """Return a new private key as PKCS #8, DER, in expanded form."""
    _, private = ml_kem_512.keygen()
    return pkcs8_512(bytes(private))


def pkcs8_512(expanded: bytes) -> bytes:
    """Return an expanded ML-KEM-512 private key, 1632 bytes, as PKCS #8, DER."""
    return _PKCS8_512 + expanded
