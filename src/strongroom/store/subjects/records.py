"""All records, whatever they are about: whether they are as this service wrote them."""

from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from strongroom.keys.kms_key import KeyMaterial, KmsKey
from strongroom.store.quarantine import Finding

Opens = Callable[[KmsKey, KeyMaterial], bool]
"""Tells whether the token of a key's material can be opened."""


class RenewalPlace(msgspec.Struct, frozen=True):
    """A place among all records that have codes: after a primary key of the table of that number."""

    table: int = 0
    after: tuple[object, ...] = ()


class RenewedCodes(msgspec.Struct, frozen=True):
    """What one step of a renewal has done: ``following`` is the place to go on at, None at the end.

    ``refused`` are records that were not as this service wrote them. They keep the code that they have.
    """

    following: RenewalPlace | None
    renewed: int
    refused: tuple[str, ...]


class RecordReader(Protocol):
    """Checks of all records."""

    def findings(self, opens: Opens) -> Iterator[Finding]:
        """Check every record, one after the other; yield those that are not as this service wrote them.

        Also yields material that ``opens`` says does not open, keys that are gone while something of theirs is there,
        and derived values that do not agree with what they are derived from. Nothing is quarantined by it.
        """
        ...

    def codes_under_older(self, version: int) -> int:
        """Count the records whose codes were made with an older version of the domain key ``iam``."""
        ...


class RecordWriter(Protocol):
    """Writes to all records."""

    def adopt_rows(self) -> int:
        """Authenticate all records as they are found, which an older release wrote; return how many they are."""
        ...

    def renew_codes(self, place: RenewalPlace, limit: int) -> RenewedCodes:
        """Make new codes for ``limit`` records after a place, whose codes an older domain key has made."""
        ...
