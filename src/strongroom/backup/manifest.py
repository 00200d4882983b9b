"""The manifest: what a backup says about itself, signed by the audit key. Pure."""

from collections.abc import Callable
from hashlib import sha256
from typing import Annotated

import msgspec

_Name = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z.+_-]{0,64}\Z")]
"""What is shown to people before anything shows who made the backup."""
_Schema = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,8}\Z")]
_Time = Annotated[float, msgspec.Meta(ge=0, lt=253_402_300_800)]
"""Up to the year 9999."""

_Count = Annotated[int, msgspec.Meta(ge=0)]

_DOMAIN = b"strongroom backup manifest 1\n"

DOMAIN_KEYS = "$domain-keys"
"""The section of the unsealed domain keys, in a backup that was made with them: scope, version, key."""

SEAL_DOCUMENT = "$seal"
"""The section of the seal document, in a backup of a deployment that has one: content."""

DEPLOYMENT_LENGTH = 12
"""The number of hexadecimal digits that identify a deployment."""


class SectionSummary(msgspec.Struct, frozen=True):
    """A section: its name, how many rows it has, and the SHA-256 of its blocks in hexadecimal."""

    name: str
    rows: int
    sha256: str


class DomainKeyId(msgspec.Struct, frozen=True):
    """A domain key: its scope and version."""

    scope: str
    version: int


class WriterCheckpoint(msgspec.Struct, frozen=True):
    """The state of a writer of the audit log: its newest signed checkpoint, empty before the first."""

    writer: str
    statement: str
    signature: bytes
    stopped: bool


class DatabaseEnd(msgspec.Struct, frozen=True):
    """Where a database was: the ordinal of its history, the random id of that, and the number of its newest change.

    A restored database begins a history with a higher ordinal than that of the backup, and so does a database of which
    changes were lost. Of two states with one history id, the one with the higher number is newer.
    """

    history: _Count
    history_id: _Name
    change: _Count


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says about itself.

    ``at`` is when its state was read, epoch seconds. ``deployment`` identifies the audit key, and so all nodes of one
    deployment: the beginning of the SHA-256 of its public key. ``schema`` is the schema of the database, ``release``
    the release of Strongroom that made the backup. ``checkpoints`` and ``ends`` are where the audit chains and the
    database were: what was written later is told by these, and by no clock. ``ends`` is None in a backup of an earlier
    release, and if the database had lost its history.
    """

    format: int
    release: _Name
    schema: _Schema
    deployment: _Name
    node: _Name
    at: _Time
    sections: tuple[SectionSummary, ...]
    domain_keys: tuple[DomainKeyId, ...]
    with_domain_keys: bool
    checkpoints: tuple[WriterCheckpoint, ...]
    ends: DatabaseEnd | None = None

    def rows_of(self, section: str) -> int:
        """Return how many rows a section has, 0 if there is none of that name."""
        return sum(each.rows for each in self.sections if each.name == section)


class SignedManifest(msgspec.Struct, frozen=True):
    """A manifest, the bytes of it that were signed, and the signature."""

    manifest: Manifest
    encoded: bytes
    signature: bytes

    @property
    def digest(self) -> str:
        """The SHA-256 of the manifest in hexadecimal: it identifies the backup and all of its content."""
        return sha256(self.encoded).hexdigest()

    def is_signed_by(self, verifies: Callable[[bytes, bytes], bool]) -> bool:
        """Tell whether ``verifies(message, signature)`` holds for the manifest."""
        return verifies(signed_bytes(self.encoded), self.signature)


def signed_bytes(encoded: bytes) -> bytes:
    """Return the bytes that are signed for a manifest.

    A prefix keeps the signature from being valid for any other message.
    """
    return _DOMAIN + encoded


def manifest_in(message: bytes) -> bytes:
    """Return the manifest in the bytes that ``signed_bytes`` returned."""
    return message.removeprefix(_DOMAIN)


def deployment_of(public_key: str) -> str:
    """Return the identity of the deployment that has an audit key, from its public key (PEM)."""
    return sha256(public_key.encode()).hexdigest()[:DEPLOYMENT_LENGTH]
