"""A KMS with the methods that a migration calls, in memory: one key, real encryption, AWS's refusals."""

import json
import os
from typing import Any

import botocore.exceptions
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

entropy = os.urandom  # noqa: TID251 - real randomness


def refusal(code: str, operation: str) -> botocore.exceptions.ClientError:
    """Return what botocore raises for a refusal of a service."""
    return botocore.exceptions.ClientError({"Error": {"Code": code, "Message": "refused"}}, operation)


class SmallKms:
    """Encrypts and decrypts. ``refuses`` is the code with which it refuses every call; ``calls`` counts them."""

    def __init__(self) -> None:
        self._key = AESGCM(entropy(32))
        self.refuses = ""
        self.forgets_plaintext = False
        self.calls = 0

    def encrypt(self, *, Plaintext: bytes, EncryptionContext: dict[str, str] | None = None, **_: object) -> Any:  # noqa: N803
        """Return a ciphertext, as Encrypt does."""
        self._count("Encrypt")
        nonce = entropy(12)
        return {"CiphertextBlob": nonce + self._key.encrypt(nonce, Plaintext, _encoded(EncryptionContext))}

    def decrypt(
        self,
        *,
        CiphertextBlob: bytes,  # noqa: N803 - AWS's names
        EncryptionContext: dict[str, str] | None = None,  # noqa: N803
        **_: object,
    ) -> Any:
        """Return the plaintext, as Decrypt does."""
        self._count("Decrypt")
        try:
            plaintext = self._key.decrypt(CiphertextBlob[:12], CiphertextBlob[12:], _encoded(EncryptionContext))
        except (InvalidTag, ValueError):
            raise refusal("InvalidCiphertextException", "Decrypt") from None
        return {"Plaintext": b"another" if self.forgets_plaintext else plaintext}

    def _count(self, operation: str) -> None:
        self.calls += 1
        if self.refuses:
            raise refusal(self.refuses, operation)


def _encoded(context: dict[str, str] | None) -> bytes:
    return json.dumps(context or {}, sort_keys=True).encode()
