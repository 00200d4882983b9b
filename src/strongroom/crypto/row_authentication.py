"""Message authentication codes of rows of the database, under a key derived from a domain key.

Format 1: one byte 0x01, the version of the domain key in four bytes, big-endian, then HMAC-SHA-256 of the message under
the derived key, 32 bytes. That key is KBKDF in counter mode with HMAC-SHA-256 (NIST SP 800-108r1, 4.1), one block: the
PRF over ``[1] || label || 00 || [256]``.
"""

from hmac import compare_digest

from strongroom.crypto.keyed_hash import HmacKey

_FORMAT = 1
_COUNTER_AND_LABEL = (1).to_bytes(4) + b"strongroom:rows:hmac-sha-256" + b"\x00"
_OUTPUT_BITS = (256).to_bytes(4)
_PREFIX_LENGTH = 5


class RowKeys:
    """The keys that authenticate rows, one for each version of a domain key. The newest makes codes, all check them."""

    def __init__(self) -> None:
        self._keys: dict[bytes, HmacKey] = {}
        self._newest = b""

    def add(self, version: int, domain_key: bytes) -> None:
        """Derive the key of one version of the domain key; ``domain_key`` is 32 bytes."""
        prefix = bytes((_FORMAT,)) + version.to_bytes(4)
        self._keys[prefix] = HmacKey(HmacKey(domain_key).mac(_COUNTER_AND_LABEL + _OUTPUT_BITS))
        self._newest = max(prefix, self._newest)

    def mac(self, message: bytes) -> bytes:
        """Return the code of a message, 37 bytes."""
        return self._newest + self._keys[self._newest].mac(message)

    def verifies(self, message: bytes, mac: bytes) -> bool:
        """Return whether a code was made here for a message. Any other bytes are no code."""
        key = self._keys.get(mac[:_PREFIX_LENGTH])
        return key is not None and compare_digest(key.mac(message), mac[_PREFIX_LENGTH:])
