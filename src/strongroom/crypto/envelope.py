"""AES-256-GCM envelopes for keys at rest: one format for sealed domain keys, wrapped key material and secrets.

Version 1::

    offset  length
    0       1       version, 0x01
    1       4       version of the wrapping key, big-endian
    5       12      random nonce (NIST SP 800-38D, 8.2.2)
    17      n + 16  ciphertext and tag

The first five bytes are authenticated together with the caller's binding.
"""

from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.crypto.seal import UnsealError
from strongroom.entropy import Entropy

_VERSION = 1
TOKEN_VERSION = 0x11
"""The version of envelopes that a hardware token has made: see ``pkcs11.wrapping``. They begin in the same way."""
_NONCE = slice(5, 17)
_NONCE_LENGTH = 12
_PREFIX_LENGTH = 5
_MIN_LENGTH = _PREFIX_LENGTH + _NONCE_LENGTH + 16
KEY_LENGTH = 32


class KeyWrapper(Protocol):
    """Wraps under one key, in this process or in a hardware token."""

    def wrap(self, plaintext: bytes, binding: bytes, /) -> bytes:
        """Return an envelope around ``plaintext``, bound to ``binding``."""
        ...

    def unwrap(self, envelope: bytes, binding: bytes, /) -> bytes:
        """Return the content; raises UnsealError unless this key wrapped it for ``binding``."""
        ...


class Wrapper:
    """Wraps under one AES-256 key. An envelope contains the key's version number."""

    def __init__(self, key: bytes, version: int, entropy: Entropy) -> None:
        self._aead = AESGCM(key)
        self._prefix = bytes((_VERSION,)) + version.to_bytes(4)
        self._entropy = entropy

    def wrap(self, plaintext: bytes, binding: bytes) -> bytes:
        """Return an envelope around ``plaintext``, bound to ``binding``."""
        nonce = self._entropy(_NONCE_LENGTH)
        return self._prefix + nonce + self._aead.encrypt(nonce, plaintext, self._prefix + binding)

    def unwrap(self, envelope: bytes, binding: bytes) -> bytes:
        """Return the content; raises UnsealError unless this key wrapped it for ``binding``."""
        if not envelope.startswith(self._prefix) or len(envelope) < _MIN_LENGTH:
            raise UnsealError("not an envelope of this key")
        try:
            return self._aead.decrypt(envelope[_NONCE], envelope[_NONCE.stop :], self._prefix + binding)
        except InvalidTag:
            raise UnsealError("the envelope is damaged, or bound to something else") from None


def wrapping_version(envelope: bytes) -> int:
    """Return the version of the key that an envelope is wrapped under; raises UnsealError if it is no envelope."""
    if len(envelope) < _MIN_LENGTH or envelope[0] not in {_VERSION, TOKEN_VERSION}:
        raise UnsealError("not an envelope")
    return int.from_bytes(envelope[1:_PREFIX_LENGTH])
