"""Ed25519 backing keys: pure Ed25519 and Ed25519ph (RFC 8032, 5.1).

The prehashed form comes from libsodium: OpenSSL's bindings do not offer it.
"""

from typing import cast

import nacl.bindings
import nacl.exceptions
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typing_extensions import override

from strongroom.crypto.key_encodings import load_private_key, pkcs8, spki
from strongroom.errors import KMSInvalidSignatureException
from strongroom.keys.algorithms import MessageType, SigningAlgorithm
from strongroom.keys.approved_algorithms import require_approved


class EdwardsBackingKey:
    """An Ed25519 private key, from PKCS #8 (RFC 8410)."""

    def __init__(self, der: bytes) -> None:
        self._private = cast("Ed25519PrivateKey", load_private_key(der))
        self._public = self._private.public_key()

    def public_key(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo, DER (RFC 8410)."""
        return spki(self._public)

    def require_algorithm(self, algorithm: SigningAlgorithm) -> None:
        """Refuse none: it has all of its curve."""

    def sign(self, message: bytes, _kind: MessageType, algorithm: SigningAlgorithm) -> bytes:
        """Return the signature, 64 bytes."""
        if algorithm is SigningAlgorithm.ED25519_SHA_512:
            return self._private.sign(message)
        secret = self._private.private_bytes_raw() + self._public.public_bytes_raw()
        return nacl.bindings.crypto_sign_ed25519ph_final_create(_prehashed(message), secret)

    def verify(self, message: bytes, _kind: MessageType, algorithm: SigningAlgorithm, signature: bytes) -> None:
        """Raise KMSInvalidSignatureException unless the signature is the message's."""
        try:
            if algorithm is SigningAlgorithm.ED25519_SHA_512:
                self._public.verify(signature, message)
            else:
                nacl.bindings.crypto_sign_ed25519ph_final_verify(
                    _prehashed(message), signature, self._public.public_bytes_raw()
                )
        except (InvalidSignature, nacl.exceptions.CryptoError, nacl.exceptions.TypeError, nacl.exceptions.ValueError):
            raise KMSInvalidSignatureException(None) from None


class ApprovedEdwardsBackingKey(EdwardsBackingKey):
    """An Ed25519 private key that refuses what is not approved: Ed25519ph."""

    @override
    def require_algorithm(self, algorithm: SigningAlgorithm) -> None:
        """Refuse Ed25519ph; raises UnsupportedOperationException."""
        require_approved(algorithm)

    @override
    def sign(self, message: bytes, _kind: MessageType, algorithm: SigningAlgorithm) -> bytes:
        """Return the signature, 64 bytes; raises UnsupportedOperationException for Ed25519ph."""
        self.require_algorithm(algorithm)
        return super().sign(message, _kind, algorithm)

    @override
    def verify(self, message: bytes, _kind: MessageType, algorithm: SigningAlgorithm, signature: bytes) -> None:
        """Raise KMSInvalidSignatureException unless the signature is the message's; for Ed25519ph, as ``sign`` does."""
        self.require_algorithm(algorithm)
        super().verify(message, _kind, algorithm, signature)


def _prehashed(digest: bytes) -> nacl.bindings.crypto_sign_ed25519ph_state:
    """Begin Ed25519ph over a digest, which AWS KMS takes for the message: it is hashed once more.

    Source: KMS API Reference, Sign, "MessageType".
    """
    state = nacl.bindings.crypto_sign_ed25519ph_state()
    nacl.bindings.crypto_sign_ed25519ph_update(state, digest)
    return state


def generate_edwards() -> bytes:
    """Return a new private key as PKCS #8, DER."""
    return pkcs8(Ed25519PrivateKey.generate())
