"""All records, whatever they are about: whether they are as this service wrote them."""

from collections.abc import Callable, Iterator
from typing import Protocol

from strongroom.keys.kms_key import KeyMaterial, KmsKey
from strongroom.store.quarantine import Finding

Opens = Callable[[KmsKey, KeyMaterial], bool]
"""Tells whether the token of a key's material can be opened."""


class RecordReader(Protocol):
    """Checks of all records."""

    def findings(self, opens: Opens) -> Iterator[Finding]:
        """Check every record, one after the other; yield those that are not as this service wrote them.

        Also yields material that ``opens`` says does not open, keys that are gone while something of theirs is there,
        and derived values that do not agree with what they are derived from. Nothing is quarantined by it.
        """
        ...


class RecordWriter(Protocol):
    """Writes to all records."""

    def adopt_rows(self) -> int:
        """Authenticate all records as they are found, which an older release wrote; return how many they are."""
        ...
