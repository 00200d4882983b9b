"""The audit key: the service's Ed25519 key pair (RFC 8032), which signs checkpoints of the audit log."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

SECRET_LENGTH = 32


class AuditPublicKey:
    """The public key of the audit key: it verifies signatures of checkpoints."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether ``signature`` is the audit key's signature of ``message``."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> str:
        """Return the public key as SubjectPublicKeyInfo, PEM."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class AuditKey:
    """The key pair, made from its 32 secret bytes."""

    def __init__(self, secret: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(secret)

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._private.sign(message)

    def public(self) -> AuditPublicKey:
        """Return the public key."""
        return AuditPublicKey(self._private.public_key())


def load_audit_public_key(pem: bytes) -> AuditPublicKey:
    """Return the public key in a PEM file; raises ValueError if the file has no Ed25519 public key."""
    key = load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 public key")  # noqa: TRY004 - about the file's content
    return AuditPublicKey(key)
