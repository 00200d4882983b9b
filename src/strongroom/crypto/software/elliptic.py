"""Elliptic-curve backing keys: ECDSA (FIPS 186-5, 6) and ECDH (SP 800-56A, 5.7.1.2)."""

from typing import cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from strongroom.crypto.key_encodings import load_private_key, pkcs8, spki
from strongroom.errors import KMSInvalidSignatureException, ValidationException
from strongroom.keys.algorithms import MessageType, SigningAlgorithm

HASHES: dict[SigningAlgorithm, HashAlgorithm] = {
    SigningAlgorithm.ECDSA_SHA_256: SHA256(),
    SigningAlgorithm.ECDSA_SHA_384: SHA384(),
    SigningAlgorithm.ECDSA_SHA_512: SHA512(),
}
"""Algorithm → hash."""


class EllipticPublicKey:
    """What a key on a prime curve does with its public half alone, wherever the private half is."""

    def __init__(self, public: ec.EllipticCurvePublicKey) -> None:
        self._public = public

    def public_key(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo, DER, its curve by name (RFC 5480)."""
        return spki(self._public)

    def require_algorithm(self, algorithm: SigningAlgorithm) -> None:
        """Refuse none: it has one algorithm."""

    def verify(self, message: bytes, kind: MessageType, algorithm: SigningAlgorithm, signature: bytes) -> None:
        """Raise KMSInvalidSignatureException unless the signature is the message's."""
        try:
            self._public.verify(signature, message, _scheme(kind, algorithm))
        except InvalidSignature:
            raise KMSInvalidSignatureException(None) from None

    def peer(self, public_key: bytes) -> ec.EllipticCurvePublicKey:
        """Load the public key of a peer, DER; raises ValidationException for a key that is not valid on this curve.

        The point is checked to be on the curve when it is loaded; the cofactor of these curves is 1.
        """
        try:
            peer = serialization.load_der_public_key(public_key)
        except (ValueError, UnsupportedAlgorithm):
            raise ValidationException(None) from None
        if not isinstance(peer, ec.EllipticCurvePublicKey) or peer.curve.name != self._public.curve.name:
            raise ValidationException(None)
        return peer


class EllipticBackingKey(EllipticPublicKey):
    """A private key on a prime curve, from PKCS #8."""

    def __init__(self, der: bytes) -> None:
        self._private = cast("ec.EllipticCurvePrivateKey", load_private_key(der))
        super().__init__(self._private.public_key())

    def sign(self, message: bytes, kind: MessageType, algorithm: SigningAlgorithm) -> bytes:
        """Return the signature, DER."""
        return self._private.sign(message, _scheme(kind, algorithm))

    def agree(self, public_key: bytes) -> bytes:
        """Return the x-coordinate of the shared point; raises ValidationException for a key on another curve."""
        return self._private.exchange(ec.ECDH(), self.peer(public_key))


def _scheme(kind: MessageType, algorithm: SigningAlgorithm) -> ec.ECDSA:
    digest = HASHES[algorithm]
    return ec.ECDSA(Prehashed(digest) if kind is MessageType.DIGEST else digest)


def generate_elliptic(curve: ec.EllipticCurve) -> bytes:
    """Return a new private key as PKCS #8, DER."""
    return pkcs8(ec.generate_private_key(curve))
