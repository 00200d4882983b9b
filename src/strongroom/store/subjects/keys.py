"""KMS keys with their key material and tags, their number, and their last uses."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.store.records import DamagedKey, KeyUse, ListedKey


class KeyReader(Protocol):
    """Reads of keys."""

    def key(self, locator: KeyLocator) -> KmsKey | None:
        """Return a key with its materials, tags and aliases."""
        ...

    def damaged_key(self, locator: KeyLocator) -> DamagedKey | None:
        """Return what is left of a key of which a record is damaged or missing; None if none is, or all are.

        It never raises QuarantinedRecordException.
        """
        ...

    def keys(self, account: str, region: str, after: str, limit: int) -> list[KeyLocator]:
        """List keys by key id."""
        ...

    def all_keys(self) -> Iterator[ListedKey]:
        """Yield every key, by account, Region and key id, as it is read: memory does not grow with their number."""
        ...

    def key_uses(self) -> Iterator[KeyUse]:
        """Yield the last use of every key that was saved, in the same order and as it is read."""
        ...

    def customer_keys(self, account: str, region: str) -> int:
        """Count an account's customer managed keys in a Region."""
        ...

    def keys_by_region(self) -> dict[str, int]:
        """Count the keys of all accounts in each Region that has any. It reads an index of all keys."""
        ...

    def key_of_material(self, region: str, material_id: str) -> KeyLocator | None:
        """Return the key that a key material of this Region belongs to."""
        ...

    def key_use(self, locator: KeyLocator) -> KeyUse | None:
        """Return the last use of a key that was saved."""
        ...

    def keys_to_rotate(self, now: float, limit: int, regions: Collection[str] | None = None) -> list[KeyLocator]:
        """List keys whose automatic rotation was due at ``now``, most overdue first; of some Regions or all."""
        ...

    def keys_with_expired_material(
        self, now: float, limit: int, regions: Collection[str] | None = None
    ) -> list[KeyLocator]:
        """List keys with imported material that had expired at ``now``, first expired first; of some Regions or all."""
        ...

    def keys_to_delete(self, now: float, limit: int, regions: Collection[str] | None = None) -> list[KeyLocator]:
        """List keys whose waiting period was over at ``now``, most overdue first; of some Regions or all."""
        ...

    def misdated_keys(
        self, now: float, margin: float, unsure_since: float, limit: int, regions: Collection[str] | None = None
    ) -> list[KeyLocator]:
        """List keys that rotate later than a period from ``now`` on, or are deleted later than a window, by ``margin``.

        And those with a waiting period that began since ``unsure_since`` and ends before a window from ``now`` on.
        Times are epoch seconds.
        """
        ...


class KeyWriter(Protocol):
    """Writes of keys."""

    def add_key(self, key: KmsKey, limit: int | None = None) -> bool:
        """Insert a key with its materials and tags.

        Returns False and writes nothing if it is a customer managed key, and its account has ``limit`` of them in the
        Region already. The check and the count are one statement, so two writers cannot both get the last place.
        """
        ...

    def save_key(self, before: KmsKey, after: KmsKey) -> None:
        """Write what differs between two versions of a key: its row, materials and tags; never its aliases."""
        ...

    def erase_key(self, key: KmsKey) -> None:
        """Remove a key with its materials, tags, aliases, grants and last use."""
        ...

    def erase_damaged_key(self, locator: KeyLocator) -> None:
        """Remove all records of a key, also those that are quarantined."""
        ...

    def note_key_uses(self, uses: Sequence[KeyUse], now: float) -> None:
        """Save the last use of each of some keys, unless a later one is saved or the key does not exist.

        One that is a day later than ``now`` was noted by a clock that was ahead, and is replaced.
        """
        ...
