"""Reads CMS messages with the ``openssl`` command, an independent implementation."""

import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def decrypt(message: bytes, key: RSAPrivateKey, folder: Path) -> bytes:
    """Decrypt a message with a private key; return its content."""
    file = folder / "recipient.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return _openssl("cms", "-decrypt", "-inform", "DER", "-inkey", str(file), message=message)


def describe(message: bytes) -> str:
    """Return the structure of a message as text."""
    return _openssl("cms", "-cmsout", "-print", "-inform", "DER", message=message).decode()


def _openssl(*arguments: str, message: bytes) -> bytes:
    return subprocess.run(["openssl", *arguments], input=message, capture_output=True, timeout=120, check=True).stdout
