"""Symmetric backing keys in a token. The token derives the key of each call, which encrypts one message here.

The ciphertexts are those of keys in this process (``software.aes``, suite 1): a key that moves into a token opens what
it has encrypted before. The message is in this process anyway, and its key opens nothing else.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import override

from strongroom.crypto.backing_keys import BackingKey
from strongroom.crypto.envelope import KEY_LENGTH
from strongroom.crypto.hsm.key_kind import UsableKey
from strongroom.crypto.hsm.secret_keys import SecretKind, mac_by
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.software.aes import KDF_PREFIX, KDF_SUFFIX, SuiteOneKey


class SymmetricKind(SecretKind):
    """Keys of SYMMETRIC_DEFAULT."""

    def __init__(self, nonces: Callable[[], bytes]) -> None:
        """``nonces`` gives fresh bytes for each call: see ``SuiteOneKey``."""
        super().__init__(c.CKM_SHA256_HMAC, KEY_LENGTH)
        self._nonces = nonces

    def backing_key(self, key: UsableKey, _public_key: bytes) -> BackingKey:
        """Return a key that encrypts and decrypts."""
        return _SymmetricKey(key, self._nonces)


class _SymmetricKey(SuiteOneKey):
    __slots__ = ("_key",)

    def __init__(self, key: UsableKey, nonces: Callable[[], bytes]) -> None:
        super().__init__(nonces)
        self._key = key

    @override
    def _call_key(self, kdf_nonce: bytes) -> AESGCM:
        return AESGCM(mac_by(self._key, KDF_PREFIX + kdf_nonce + KDF_SUFFIX, c.CKM_SHA256_HMAC))
