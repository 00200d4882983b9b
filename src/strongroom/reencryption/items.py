"""Ciphertexts where they are kept."""

from collections.abc import Iterator
from typing import Protocol

MAX_BLOB = 6144
"""The length of the longest ciphertext blob that a KMS takes, bytes (KMS API Reference, Decrypt)."""
MAX_ENCODED = 2 * MAX_BLOB
"""The length of the longest content that can be a blob, in base64 with its line ends."""


class ItemError(Exception):
    """A ciphertext cannot be read or replaced. The message is one line that says why; the item names itself."""


class PlaceError(Exception):
    """A place cannot be used at all. The message is one line that names it and says what to do."""


class Item(Protocol):
    """One ciphertext in its place."""

    @property
    def key(self) -> str:
        """What the item is called in its place: a path, the key of a row, the key of an object."""
        ...

    def read(self) -> bytes:
        """Return its content; raises ItemError."""
        ...

    def replace(self, old: bytes, new: bytes) -> None:
        """Put ``new`` in the place of ``old``, at once and durably.

        Raises ItemError, and changes nothing, if the content is not ``old`` any more or cannot be replaced.
        """
        ...


class Place(Protocol):
    """Where ciphertexts are kept."""

    @property
    def name(self) -> str:
        """What messages and the journal call it. It has no password."""
        ...

    def items(self) -> Iterator[Item]:
        """Return the items in an order that is the same each time; raises PlaceError. It holds few of them at once."""
        ...
