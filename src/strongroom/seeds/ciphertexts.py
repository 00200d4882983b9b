"""Opens ciphertext blobs that local-kms made under the backing keys of a seed.

Source: local-kms, ``src/service/ciphertext.go`` and ``src/cmk/aes_encryption.go``. A blob is::

    offset  length
    0       1       length n of the ARN
    1       n       ARN of the key, in UTF-8
    1 + n   4       index of the backing key, little-endian: 0 is the oldest
    5 + n   m       nonce, ciphertext and tag (``crypto.software.local_kms``)

The account and the Region in the ARN are those that local-kms was configured with. Its key id alone says which key it
is, so that a blob also opens where the seed is planted into another account or Region.
"""

from collections.abc import Mapping
from typing import NamedTuple

from strongroom.arns import parse_arn
from strongroom.crypto.software.local_kms import open_local_kms
from strongroom.errors import IncorrectKeyException, InvalidCiphertextException
from strongroom.keys.kms_key import KmsKey

_ARN_START = b"arn:"
_INDEX_LENGTH = 4


class LocalKmsBlob(NamedTuple):
    """The parts of a blob."""

    key_id: str
    backing_key: int
    body: bytes


class OpenedBlob(NamedTuple):
    """What a blob contained, and the id of the key material that opened it."""

    plaintext: bytes
    material_id: str


def parse_blob(blob: bytes) -> LocalKmsBlob | None:
    """Return the parts of a blob that local-kms made, or None for bytes of any other format."""
    end = 1 + blob[0] if blob else 0
    start = end + _INDEX_LENGTH
    if len(blob) <= start or not blob.startswith(_ARN_START, 1):
        return None
    try:
        arn = parse_arn(blob[1:end].decode())
    except UnicodeDecodeError:
        return None
    if arn is None or arn.service != "kms" or arn.resource_type != "key":
        return None
    return LocalKmsBlob(arn.resource_id, int.from_bytes(blob[end:start], "little"), blob[start:])


class SeededKeys:
    """The backing keys that seeds brought into one account and Region. No other key opens a blob of local-kms."""

    def __init__(self, account: str, region: str, keys: Mapping[str, tuple[tuple[str, bytes], ...]]) -> None:
        """Take the symmetric keys of a seed: by key id, the material ids and bytes of their backing keys, in order."""
        self._account = account
        self._region = region
        self._keys = dict(keys)

    def open(self, key: KmsKey, blob: LocalKmsBlob, context: Mapping[str, str] | None) -> OpenedBlob:
        """Open a blob with a key that may be used.

        Raises IncorrectKeyException if it names another key, and InvalidCiphertextException if the key came from no
        seed, has lost that backing key since, or if the blob or the encryption context is not authentic.
        """
        if blob.key_id != key.key_id:
            raise IncorrectKeyException
        backing_keys = self._keys.get(key.key_id, ()) if (key.account, key.region) == self._home else ()
        if blob.backing_key >= len(backing_keys):
            raise InvalidCiphertextException
        material_id, material = backing_keys[blob.backing_key]
        if not any(each.material_id == material_id and each.token is not None for each in key.materials):
            raise InvalidCiphertextException
        return OpenedBlob(open_local_kms(material, blob.body, context), material_id)

    @property
    def _home(self) -> tuple[str, str]:
        return self._account, self._region
