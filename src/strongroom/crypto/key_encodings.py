"""Private and public keys as bytes: PKCS #8 (RFC 5958) and SubjectPublicKeyInfo (RFC 5280)."""

from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


class PublicKey(Protocol):
    """A public key of the library."""

    def public_bytes(self, encoding: Encoding, format: PublicFormat, /) -> bytes:  # noqa: A002 - the library's name
        """Return the public key in an encoding."""
        ...


class _Private(Protocol):
    def private_bytes(
        self,
        encoding: Encoding,
        format: PrivateFormat,  # noqa: A002 - the library's name
        encryption_algorithm: serialization.KeySerializationEncryption,
        /,
    ) -> bytes: ...


def load_private_key(der: bytes) -> object:
    """Return a private key that was made here, or checked when it was imported.

    The primes of an RSA key, whose check takes tens of milliseconds, are not checked again.
    """
    return serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)


def pkcs8(key: _Private) -> bytes:
    """Return a private key as PKCS #8, DER."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def spki(key: PublicKey) -> bytes:
    """Return a public key as SubjectPublicKeyInfo, DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
