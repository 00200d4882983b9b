"""The format of ciphertext blobs: a header that names the key material, and a body that only this material decrypts.

Version 1 is the only one. Symmetric KMS keys make it::

    offset  length
    0       1       version, 0x01
    1       32      key material id: names the backing key, and through it the KMS key and its Region
    33      n       body, in the format of the crypto back end (its first byte names its suite)

Callers store blobs without limit of time. So a released version is never changed, and ``tests/vectors`` has golden
files of each. The header is authenticated with the body, together with the key id and the encryption context.
"""

import msgspec

from strongroom.errors import InvalidCiphertextException

VERSION = 1
MATERIAL_ID_LENGTH = 32
_HEADER_LENGTH = 1 + MATERIAL_ID_LENGTH
_VERSION_BYTE = bytes((VERSION,))


class CiphertextBlob(msgspec.Struct, frozen=True):
    """The parts of a blob: ``material_id`` in hex, ``header`` and ``body`` as bytes."""

    material_id: str
    header: bytes
    body: bytes


def header(material_id: str) -> bytes:
    """Return the header of a blob made by the backing key ``material_id`` (64 hex digits)."""
    return _VERSION_BYTE + bytes.fromhex(material_id)


def associated_data(blob_header: bytes, key_id: str, context: bytes) -> bytes:
    """Return the additional authenticated data of a body: its header, KMS key and canonical encryption context.

    The key id, not the ARN: related multi-Region keys share it, so that their ciphertexts interoperate. It cannot run
    into the context because its length goes before it.
    """
    name = key_id.encode()
    return b"%b%c%b%b" % (blob_header, len(name), name, context)


def parse(blob: bytes) -> CiphertextBlob:
    """Return the parts of a blob; raises InvalidCiphertextException for bytes of another format."""
    if len(blob) <= _HEADER_LENGTH or blob[0] != VERSION:
        raise InvalidCiphertextException
    head = blob[:_HEADER_LENGTH]
    return CiphertextBlob(material_id=head[1:].hex(), header=head, body=blob[_HEADER_LENGTH:])
