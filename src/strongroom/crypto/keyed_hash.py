"""HMAC (RFC 2104, FIPS 198-1) with a key prepared once: for HMAC backing keys, and to verify signed requests."""

from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC

_SHA256 = SHA256()


class HmacKey:
    """A key for HMAC, with SHA-256 unless another hash is given."""

    def __init__(self, key: bytes, algorithm: HashAlgorithm = _SHA256) -> None:
        # Keying costs two compressions; a copy of the keyed state costs none.
        self._keyed = HMAC(key, algorithm)

    def mac(self, message: bytes) -> bytes:
        """Return the tag of a message, as long as the hash."""
        state = self._keyed.copy()
        state.update(message)
        return state.finalize()
