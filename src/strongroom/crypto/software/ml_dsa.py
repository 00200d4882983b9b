"""ML-DSA backing keys (FIPS 204): hedged signatures with an empty context, over a message or its representative mu."""

from typing import cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA65PrivateKey,
    MLDSA87PrivateKey,
)

from strongroom.crypto.key_encodings import load_private_key, pkcs8, spki
from strongroom.errors import KMSInvalidSignatureException
from strongroom.keys.algorithms import MessageType, SigningAlgorithm

PrivateKey = MLDSA44PrivateKey | MLDSA65PrivateKey | MLDSA87PrivateKey


class MlDsaBackingKey:
    """An ML-DSA private key, kept as its seed in PKCS #8 (RFC 9881)."""

    def __init__(self, der: bytes) -> None:
        self._private = cast("PrivateKey", load_private_key(der))
        self._public = self._private.public_key()

    def public_key(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo, DER (RFC 9881)."""
        return spki(self._public)

    def require_algorithm(self, algorithm: SigningAlgorithm) -> None:
        """Refuse none: it has one algorithm."""

    def sign(self, message: bytes, kind: MessageType, _algorithm: SigningAlgorithm) -> bytes:
        """Return the signature."""
        return self._private.sign_mu(message) if kind is MessageType.EXTERNAL_MU else self._private.sign(message)

    def verify(self, message: bytes, kind: MessageType, _algorithm: SigningAlgorithm, signature: bytes) -> None:
        """Raise KMSInvalidSignatureException unless the signature is the message's."""
        try:
            if kind is MessageType.EXTERNAL_MU:
                self._public.verify_mu(signature, message)
            else:
                self._public.verify(signature, message)
        except InvalidSignature:
            raise KMSInvalidSignatureException(None) from None


def generate_ml_dsa(kind: type[PrivateKey]) -> bytes:
    """Return a new private key as PKCS #8, DER, in seed form."""
    return pkcs8(kind.generate())
