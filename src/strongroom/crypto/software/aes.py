"""Symmetric backing keys: each call derives a separate key, here or in a hardware token.

Body, suite 1::

    offset  length
    0       1       suite, 0x01
    1       16      KDF nonce, random
    17      12      GCM nonce, random
    29      n + 16  ciphertext and tag

The call's key is KBKDF in counter mode with HMAC-SHA-256 (NIST SP 800-108r1, 4.1), one block: the PRF over
``[1] || label || 00 || KDF nonce || [256]``. The KDF nonce is random and 128 bits long, so no two calls share a key.
So the limit on random GCM nonces (SP 800-38D, 8.3) is never reached, however often a backing key is used.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from typing_extensions import override

from strongroom.errors import InvalidCiphertextException

_SUITE = 1
_SUITE_BYTE = bytes((_SUITE,))
_KDF_NONCE_LENGTH = 16
NONCES_LENGTH = _KDF_NONCE_LENGTH + 12
_CIPHERTEXT_OFFSET = 1 + NONCES_LENGTH
_MIN_LENGTH = _CIPHERTEXT_OFFSET + 16
KDF_PREFIX = (1).to_bytes(4) + b"strongroom:encrypt:aes-256-gcm" + b"\x00"
KDF_SUFFIX = (256).to_bytes(4)


class SuiteOneKey(ABC):
    """A 256-bit backing key of a SYMMETRIC_DEFAULT key. ``nonces`` gives 28 fresh bytes each time."""

    __slots__ = ("_nonces",)

    def __init__(self, nonces: Callable[[], bytes]) -> None:
        self._nonces = nonces

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the body for ``plaintext``, 45 bytes longer than it."""
        nonces = self._nonces()
        aead = self._call_key(nonces[:_KDF_NONCE_LENGTH])
        return _SUITE_BYTE + nonces + aead.encrypt(nonces[_KDF_NONCE_LENGTH:], plaintext, associated_data)

    def decrypt(self, body: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext; raises InvalidCiphertextException unless all of it is authentic."""
        if len(body) < _MIN_LENGTH or body[0] != _SUITE:
            raise InvalidCiphertextException
        aead = self._call_key(body[1 : 1 + _KDF_NONCE_LENGTH])
        nonce = body[1 + _KDF_NONCE_LENGTH : _CIPHERTEXT_OFFSET]
        try:
            return aead.decrypt(nonce, body[_CIPHERTEXT_OFFSET:], associated_data)
        except InvalidTag:
            raise InvalidCiphertextException from None

    @abstractmethod
    def _call_key(self, kdf_nonce: bytes) -> AESGCM:
        """Return the key of a call: HMAC-SHA-256 over ``KDF_PREFIX``, the nonce and ``KDF_SUFFIX``."""
        ...


class AesBackingKey(SuiteOneKey):
    """A backing key in this process."""

    __slots__ = ("_prf",)

    def __init__(self, key: bytes, nonces: Callable[[], bytes]) -> None:
        super().__init__(nonces)
        # Keying HMAC costs two compressions; a copy of the keyed state costs none and gives the same output.
        self._prf = HMAC(key, SHA256())
        self._prf.update(KDF_PREFIX)

    @override
    def _call_key(self, kdf_nonce: bytes) -> AESGCM:
        prf = self._prf.copy()
        prf.update(kdf_nonce + KDF_SUFFIX)
        return AESGCM(prf.finalize())
