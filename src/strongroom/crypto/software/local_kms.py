"""Opens ciphertexts of local-kms. Used in development only.

Source: local-kms, ``src/cmk/aes_encryption.go``. The backing key itself encrypts, by AES-256-GCM::

    offset  length
    0       12      GCM nonce, random
    12      n + 16  ciphertext and tag

The additional authenticated data are the keys and values of the encryption context, sorted by the bytes of the keys and
written one after another, without lengths. So different contexts can be the same to it; ours are not.
"""

from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import InvalidCiphertextException

_NONCE_LENGTH = 12
_MIN_LENGTH = _NONCE_LENGTH + 16


def open_local_kms(backing_key: bytes, body: bytes, context: Mapping[str, str] | None) -> bytes:
    """Return the plaintext of a body that local-kms made with a backing key, 32 bytes.

    Raises InvalidCiphertextException unless all of it is authentic, the encryption context included.
    """
    if len(body) < _MIN_LENGTH:
        raise InvalidCiphertextException
    pairs = sorted((key.encode(), value.encode()) for key, value in (context or {}).items())
    associated_data = b"".join(key + value for key, value in pairs)
    try:
        return AESGCM(backing_key).decrypt(body[:_NONCE_LENGTH], body[_NONCE_LENGTH:], associated_data)
    except InvalidTag:
        raise InvalidCiphertextException from None
