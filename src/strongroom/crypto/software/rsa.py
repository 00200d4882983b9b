"""RSA backing keys: OAEP, PKCS #1 v1.5 signatures and PSS (RFC 8017)."""

from typing import cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm

from strongroom.crypto.key_encodings import load_private_key, pkcs8, spki
from strongroom.errors import InvalidCiphertextException, KMSInvalidSignatureException
from strongroom.keys.algorithms import EncryptionAlgorithm, MessageType, SigningAlgorithm

_PKCS1 = padding.PKCS1v15()


def _pss(algorithm: HashAlgorithm) -> padding.PSS:
    # AWS's salt is as long as the hash; another length would not verify there.
    return padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)


def _oaep(algorithm: HashAlgorithm) -> padding.OAEP:
    return padding.OAEP(padding.MGF1(algorithm), algorithm, label=None)


SCHEMES: dict[SigningAlgorithm, tuple[padding.PKCS1v15 | padding.PSS, HashAlgorithm]] = {
    SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_256: (_PKCS1, SHA256()),
    SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_384: (_PKCS1, SHA384()),
    SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_512: (_PKCS1, SHA512()),
    SigningAlgorithm.RSASSA_PSS_SHA_256: (_pss(SHA256()), SHA256()),
    SigningAlgorithm.RSASSA_PSS_SHA_384: (_pss(SHA384()), SHA384()),
    SigningAlgorithm.RSASSA_PSS_SHA_512: (_pss(SHA512()), SHA512()),
}
"""Algorithm → padding and hash."""
OAEP = {
    EncryptionAlgorithm.RSAES_OAEP_SHA_1: _oaep(SHA1()),  # noqa: S303 - AWS's RSAES_OAEP_SHA_1
    EncryptionAlgorithm.RSAES_OAEP_SHA_256: _oaep(SHA256()),
}
"""Algorithm → padding. OAEP and its mask have the same hash, and there is no label."""


class RsaPublicKey:
    """What an RSA key does with its public half alone, wherever the private half is."""

    def __init__(self, public: rsa.RSAPublicKey) -> None:
        self._public = public

    def public_key(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo, DER."""
        return spki(self._public)

    def require_algorithm(self, algorithm: SigningAlgorithm) -> None:
        """Refuse none: it has all of its spec."""

    def verify(self, message: bytes, kind: MessageType, algorithm: SigningAlgorithm, signature: bytes) -> None:
        """Raise KMSInvalidSignatureException unless the signature is the message's."""
        scheme, digest = SCHEMES[algorithm]
        hashed = Prehashed(digest) if kind is MessageType.DIGEST else digest
        try:
            self._public.verify(signature, message, scheme, hashed)
        except InvalidSignature:
            raise KMSInvalidSignatureException(None) from None

    def encrypt(self, plaintext: bytes, algorithm: EncryptionAlgorithm) -> bytes:
        """Return the ciphertext of a plaintext that is short enough."""
        return self._public.encrypt(plaintext, OAEP[algorithm])


class RsaBackingKey(RsaPublicKey):
    """An RSA private key, from PKCS #8."""

    def __init__(self, der: bytes) -> None:
        self._private = cast("rsa.RSAPrivateKey", load_private_key(der))
        super().__init__(self._private.public_key())

    def sign(self, message: bytes, kind: MessageType, algorithm: SigningAlgorithm) -> bytes:
        """Return the signature."""
        scheme, digest = SCHEMES[algorithm]
        return self._private.sign(message, scheme, Prehashed(digest) if kind is MessageType.DIGEST else digest)

    def decrypt(self, ciphertext: bytes, algorithm: EncryptionAlgorithm) -> bytes:
        """Return the plaintext; raises InvalidCiphertextException."""
        try:
            return self._private.decrypt(ciphertext, OAEP[algorithm])
        except ValueError:
            raise InvalidCiphertextException from None


def generate_rsa(bits: int) -> bytes:
    """Return a new private key as PKCS #8, DER; the exponent is 65537 (FIPS 186-5, A.1)."""
    return pkcs8(rsa.generate_private_key(public_exponent=65537, key_size=bits))
