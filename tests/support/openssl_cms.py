"""CMS messages as the ``openssl`` command reads them: somebody else's implementation."""

import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def decrypt(message: bytes, key: RSAPrivateKey, folder: Path) -> bytes:
    """Return the content of a message, opened with a private key."""
    file = folder / "recipient.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return _openssl("cms", "-decrypt", "-inform", "DER", "-inkey", str(file), message=message)


def describe(message: bytes) -> str:
    """Return what a message consists of."""
    return _openssl("cms", "-cmsout", "-print", "-inform", "DER", message=message).decode()


def _openssl(*arguments: str, message: bytes) -> bytes:
    return subprocess.run(["openssl", *arguments], input=message, capture_output=True, timeout=30, check=True).stdout
