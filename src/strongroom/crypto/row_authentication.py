"""Message authentication codes of rows of the database, under a key derived from a domain key.

Format 1: one byte 0x01, the version of the domain key in four bytes, big-endian, then HMAC-SHA-256 of the message under
the derived key, 32 bytes. That key is KBKDF in counter mode with HMAC-SHA-256 (NIST SP 800-108r1, 4.1), one block: the
PRF over ``[1] || label || 00 || [256]``.
"""

from collections.abc import Callable, Iterable, Mapping
from hmac import compare_digest

from strongroom.crypto.keyed_hash import HmacKey
from strongroom.crypto.recently_dropped import RecentlyDropped
from strongroom.errors import DependencyTimeoutException

_FORMAT = 1
_COUNTER_AND_LABEL = (1).to_bytes(4) + b"strongroom:rows:hmac-sha-256" + b"\x00"
_OUTPUT_BITS = (256).to_bytes(4)
_PREFIX_LENGTH = 5
CLOSED = "A key that the service needs for this cannot be opened now."
_NO_KEY = HmacKey(bytes(32))
"""Makes codes that nothing verifies, as long as there is no domain key."""


class RowKeys:
    """The keys that authenticate rows, one for each version of a domain key. The newest makes codes, all check them.

    Safe to use from several threads.
    """

    def __init__(
        self, reread: Callable[[], None] = lambda: None, take_over_changes: Callable[[], None] = lambda: None
    ) -> None:
        """Start without keys.

        ``reread`` updates them; it is called for a version that is not known. ``take_over_changes`` does so if a change
        was noted; it is called before codes are made, and for a wrong code.
        """
        self._keys: dict[bytes, HmacKey] = {}
        self._dropped: RecentlyDropped[bytes, HmacKey] = RecentlyDropped()
        self._closed: frozenset[int] = frozenset()
        self._newest = b"", _NO_KEY
        self._reread = reread
        self._take_over_changes = take_over_changes

    def update(self, domain_keys: Mapping[int, bytes]) -> None:
        """Derive the key of each version of the domain key, 32 bytes, and drop all others.

        A read that began before a version was destroyed still finds its codes. So it goes on checking codes until
        ``forget_dropped`` was called twice.
        """
        known = self._keys
        # Also of those that are known: a database that was set back gives a version again, to another domain key.
        keys = {
            _prefix(version): HmacKey(HmacKey(domain_key).mac(_COUNTER_AND_LABEL + _OUTPUT_BITS))
            for version, domain_key in domain_keys.items()
        }
        self._dropped.add({prefix: key for prefix, key in known.items() if prefix not in keys})
        self._take(keys)
        self._closed = frozenset()

    def _take(self, keys: dict[bytes, HmacKey]) -> None:
        self._keys = keys
        newest = max(keys, default=b"")
        self._newest = newest, keys.get(newest, _NO_KEY)

    def forget_dropped(self) -> None:
        """Forget what was dropped before this was called last."""
        self._dropped.forget()

    def note_closed(self, versions: Iterable[int]) -> None:
        """Note the versions that are stored and cannot be opened now: what they have made is not known to be wrong.

        One that is known was given again since, to another domain key: what was known is dropped.
        """
        self._closed = frozenset(versions)
        self._take({prefix: key for prefix, key in self._keys.items() if version_of(prefix) not in self._closed})

    @property
    def version(self) -> int:
        """The version of the domain key that codes are made with; 0 without a key."""
        return version_of(self._newest[0]) or 0

    def require(self, version: int) -> bool:
        """Make codes with this version of the domain key from now on; return False if it is not known."""
        # The version may have been given again, to a domain key that is not read yet.
        self._take_over_changes()
        if version != self.version:
            self._reread()
        return version == self.version

    def mac(self, message: bytes) -> bytes:
        """Return the code of a message, 37 bytes."""
        prefix, key = self._newest
        return prefix + key.mac(message)

    def verifies(self, message: bytes, mac: bytes) -> bool:
        """Return whether a code was made here for a message. Any other bytes are no code.

        Raises DependencyTimeoutException if its version cannot be opened now.
        """
        prefix, code = mac[:_PREFIX_LENGTH], mac[_PREFIX_LENGTH:]
        key = self._keys.get(prefix)
        if key is not None and compare_digest(key.mac(message), code):
            return True
        version = version_of(mac)
        if version is None:
            return False
        if key is None:
            self._reread()
        else:
            # The version may have been given again, to a domain key that is not read yet.
            self._take_over_changes()
        now = self._keys.get(prefix) or self._dropped.get(prefix)
        if now is not None and now is not key and compare_digest(now.mac(message), code):
            return True
        if version in self._closed:
            raise DependencyTimeoutException(CLOSED)
        return False


def version_of(mac: bytes) -> int | None:
    """Return the version of the domain key that a code was made with; None for what is no code."""
    return int.from_bytes(mac[1:_PREFIX_LENGTH]) if len(mac) >= _PREFIX_LENGTH and mac[0] == _FORMAT else None


def _prefix(version: int) -> bytes:
    return bytes((_FORMAT,)) + version.to_bytes(4)
