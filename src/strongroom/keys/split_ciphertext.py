"""The ciphertext of a symmetric key in the parts that the protocol of external key stores has.

They are those of a body in suite 1 (``crypto/software/aes.py``), and nothing is added to it, so a key is rotated as
ever, and every key back end that makes suite 1 can be used::

    ciphertextMetadata    suite, 0x01 | KDF nonce, 16 bytes | the first 3 bytes of the key material id
    initializationVector  GCM nonce, 12 bytes
    ciphertext            as long as the plaintext
    authenticationTag     16 bytes

Each bit of the metadata is authenticated: another suite is refused, another KDF nonce makes another key, and another
beginning of the id either names no material of the key or one whose id is in the associated data.

The associated data begins with a header that no ciphertext blob has, so that a ciphertext of one interface does not
open at the other. Then come the key id, as in ``ciphertext``, and what AWS KMS sends, after its length in two bytes, as
the specification demands (External Key Store Proxy API Specification 1.0.3, Encrypt).
"""

import msgspec

from strongroom.errors import InvalidCiphertextException
from strongroom.keys import ciphertext

METADATA_LENGTH = 20
MOST_ASSOCIATED_DATA = 65_535

_SUITE_1 = b"\x01"
_KDF_NONCE_LENGTH = 16
_IV_LENGTH = 12
_TAG_LENGTH = 16
_NAME_LENGTH = 3
_CIPHERTEXT_OFFSET = len(_SUITE_1) + _KDF_NONCE_LENGTH + _IV_LENGTH
_HEADER = b"\x00xks"
"""A ciphertext blob begins with its version, which is never 0."""


class SplitCiphertext(msgspec.Struct, frozen=True):
    """The parts of a ciphertext, in bytes."""

    metadata: bytes
    iv: bytes
    ciphertext: bytes
    tag: bytes


def split(body: bytes, material_id: str) -> SplitCiphertext:
    """Return the parts of a body that the key material ``material_id`` (64 hex digits) has made.

    Raises ValueError for a body of another suite, which has no such parts.
    """
    if body[:1] != _SUITE_1:
        raise ValueError(f"a ciphertext of suite {body[:1].hex()} cannot be taken apart")
    nonces = body[len(_SUITE_1) : _CIPHERTEXT_OFFSET]
    return SplitCiphertext(
        metadata=_SUITE_1 + nonces[:_KDF_NONCE_LENGTH] + bytes.fromhex(material_id)[:_NAME_LENGTH],
        iv=nonces[_KDF_NONCE_LENGTH:],
        ciphertext=body[_CIPHERTEXT_OFFSET:-_TAG_LENGTH],
        tag=body[-_TAG_LENGTH:],
    )


def join(parts: SplitCiphertext) -> bytes:
    """Return the body that was taken apart; raises InvalidCiphertextException if there was none."""
    metadata = parts.metadata
    if len(metadata) != METADATA_LENGTH or metadata[:1] != _SUITE_1 or len(parts.iv) != _IV_LENGTH:
        raise InvalidCiphertextException
    return metadata[:-_NAME_LENGTH] + parts.iv + parts.ciphertext + parts.tag


def may_be_of(parts: SplitCiphertext, material_id: str) -> bool:
    """Tell whether key material may have made a ciphertext. Two materials of a key can, once in 16 million."""
    return bytes.fromhex(material_id)[:_NAME_LENGTH] == parts.metadata[-_NAME_LENGTH:]


def associated_data(material_id: str, key_id: str, sent: bytes) -> bytes:
    """Return the additional authenticated data of a body, for what AWS KMS has ``sent`` as such.

    Raises ValueError if that has more than 65,535 bytes.
    """
    if len(sent) > MOST_ASSOCIATED_DATA:
        raise ValueError("the additional authenticated data is too long")
    named = ciphertext.associated_data(_HEADER + bytes.fromhex(material_id), key_id, b"")
    return named + len(sent).to_bytes(2) + sent
