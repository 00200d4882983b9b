"""Backing keys: key material that has been loaded and is ready to use.

Nothing here returns a key's bytes, so that a hardware security module which never releases one can implement every
Protocol.
"""

from typing import Protocol, TypeAlias

from strongroom.keys.algorithms import EncryptionAlgorithm, MessageType, SigningAlgorithm


class SymmetricKey(Protocol):
    """A SYMMETRIC_DEFAULT backing key, ready to use."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the body of a ciphertext blob, at most 100 bytes longer than ``plaintext``."""
        ...

    def decrypt(self, body: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext; raises InvalidCiphertextException unless all of it is authentic."""
        ...


class MacKey(Protocol):
    """An HMAC key. Its spec determines the hash."""

    def mac(self, message: bytes) -> bytes:
        """Return the tag of a message."""
        ...

    def verify_mac(self, message: bytes, mac: bytes) -> None:
        """Raise KMSInvalidMacException unless the tag is the message's."""
        ...


class AsymmetricKey(Protocol):
    """A private key with its public key."""

    def public_key(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo, DER (RFC 5280, 4.1.2.7)."""
        ...


class SigningKey(AsymmetricKey, Protocol):
    """A private key that signs. Messages have been checked against their type and algorithm."""

    def require_algorithm(self, algorithm: SigningAlgorithm) -> None:
        """Refuse an algorithm that ``sign`` and ``verify`` would refuse; raises UnsupportedOperationException."""
        ...

    def sign(self, message: bytes, kind: MessageType, algorithm: SigningAlgorithm) -> bytes:
        """Return the signature; ECDSA's is DER (RFC 3279, 2.2.3)."""
        ...

    def verify(self, message: bytes, kind: MessageType, algorithm: SigningAlgorithm, signature: bytes) -> None:
        """Raise KMSInvalidSignatureException unless the signature is the message's."""
        ...


class DecryptionKey(AsymmetricKey, Protocol):
    """A private key that decrypts what its public key encrypted."""

    def encrypt(self, plaintext: bytes, algorithm: EncryptionAlgorithm) -> bytes:
        """Return the ciphertext of a plaintext that is short enough."""
        ...

    def decrypt(self, ciphertext: bytes, algorithm: EncryptionAlgorithm) -> bytes:
        """Return the plaintext; raises InvalidCiphertextException."""
        ...


class AgreementKey(AsymmetricKey, Protocol):
    """A private key that agrees on a secret with the holder of another."""

    def agree(self, public_key: bytes) -> bytes:
        """Return the raw shared secret with a peer, by its SubjectPublicKeyInfo.

        Raises ValidationException unless that is a valid public key on the same curve.
        """
        ...


class EncapsulationKey(AsymmetricKey, Protocol):
    """A private key that opens secrets encapsulated for it."""

    def encapsulate(self) -> tuple[bytes, bytes]:
        """Return a fresh 32-byte secret and its ciphertext."""
        ...

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the secret; raises InvalidCiphertextException for a wrong length.

        A ciphertext of the right length that was not made for this key gives a pseudorandom secret that no other key
        gives: implicit rejection (FIPS 203, 6.3).
        """
        ...


PrivateKey: TypeAlias = SigningKey | DecryptionKey | AgreementKey | EncapsulationKey
"""A private key of any kind."""

BackingKey: TypeAlias = SymmetricKey | MacKey | PrivateKey
"""One piece of key material, ready to use. The spec and usage of its KMS key determine the kind."""
