"""A seed: the keys and aliases that a server is to have from its start. Pure."""

import msgspec
from typing_extensions import override

from strongroom.keys.specs import KeySpec, KeyUsage, Origin


class SeedError(Exception):
    """A seed file cannot be used. The message is one line that names the file, the place in it, and what is wrong."""


class SeedKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a seed.

    ``materials`` are its backing keys, oldest first: 32 bytes each for symmetric keys, one private key (PKCS #8, DER)
    for asymmetric ones, and none for a key that waits for its import. ``next_rotation`` is in epoch seconds; with it,
    the key is rotated automatically. ``place`` says where in the file the key is.
    """

    key_id: str
    spec: KeySpec
    usage: KeyUsage
    origin: Origin
    description: str
    materials: tuple[bytes, ...]
    next_rotation: float | None = None
    place: str

    @override
    def __repr__(self) -> str:
        return f"SeedKey({self.key_id}, {self.spec})"


class SeedAlias(msgspec.Struct, frozen=True):
    """An alias of a seed, with the id of the key it points to; ``place`` says where in the file it is."""

    name: str
    target_key_id: str
    place: str


class Seed(msgspec.Struct, frozen=True):
    """What a seed file asks for. ``name`` is that of the file, for messages."""

    name: str
    keys: tuple[SeedKey, ...]
    aliases: tuple[SeedAlias, ...]

    def error(self, place: str, problem: str) -> SeedError:
        """Return the error for a place in the file."""
        return SeedError(f"`{self.name}`: {place}: {problem}")
