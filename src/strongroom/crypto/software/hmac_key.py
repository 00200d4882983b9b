"""HMAC backing keys (RFC 2104, FIPS 198-1)."""

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA224, SHA256, SHA384, SHA512, HashAlgorithm

from strongroom.crypto.keyed_hash import HmacKey
from strongroom.errors import KMSInvalidMacException
from strongroom.keys.specs import KeySpec

_HASHES: dict[KeySpec, HashAlgorithm] = {
    KeySpec.HMAC_224: SHA224(),
    KeySpec.HMAC_256: SHA256(),
    KeySpec.HMAC_384: SHA384(),
    KeySpec.HMAC_512: SHA512(),
}
HMAC_SPECS = frozenset(_HASHES)


class HmacBackingKey(HmacKey):
    """A key for HMAC with the hash of its spec."""

    def __init__(self, key: bytes, spec: KeySpec) -> None:
        super().__init__(key, _HASHES[spec])

    def verify_mac(self, message: bytes, mac: bytes) -> None:
        """Raise KMSInvalidMacException unless the tag is the message's, compared in constant time."""
        if not bytes_eq(self.mac(message), mac):
            raise KMSInvalidMacException(None)


def hmac_key_length(spec: KeySpec) -> int:
    """Return the length of a new key in bytes, which is that of the tag (KMS Developer Guide, "HMAC keys")."""
    return _HASHES[spec].digest_size
