"""The seal document: one root key, wrapped by one or more seals, any of which opens.

It is JSON, in the file ``seal.json``. A message authentication code under the root key covers all of it. So a seal that
an attacker without the root key has added is found out before a new root key is wrapped for it.
"""

import hmac
from collections.abc import Mapping
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from strongroom.crypto.binding import binding
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.seals.root_key import RootKey

_FORMAT = "strongroom-seal-v1"
MOST_ENTRIES = 16


class SealKind(StrEnum):
    """Who keeps what opens a seal, in the order in which seals are tried: those that need no person come first."""

    FILE = "file"
    TPM = "tpm"
    PKCS11 = "pkcs11"
    KMS = "kms"
    PASSPHRASE = "passphrase"  # noqa: S105 - a kind of seal


class SealEntry(msgspec.Struct, frozen=True):
    """One seal: its name, its kind, what its keeper needs to know (no secret), and the root key, wrapped."""

    name: str
    kind: SealKind
    parameters: Mapping[str, str | int]
    wrapped: bytes = b""


class SealDocument(msgspec.Struct, frozen=True, kw_only=True):
    """All seals of a deployment, for one generation of its root key. ``deployment`` is random, 32 hex digits."""

    format: str = _FORMAT
    deployment: str
    generation: int
    entries: tuple[SealEntry, ...]
    mac: bytes = b""

    def entry(self, name: str) -> SealEntry | None:
        """Return the seal of a name, or None."""
        return next((each for each in self.entries if each.name == name), None)

    def authenticated(self, root_key: RootKey) -> "SealDocument":
        """Return the document with its code."""
        return replace(self, mac=root_key.mac(_covered(self)))

    def require_authentic(self, root_key: RootKey) -> None:
        """Refuse a document that was changed by one who does not have the root key; raises UnsealError."""
        if not hmac.compare_digest(self.mac, root_key.mac(_covered(self))):
            raise UnsealError("it was changed by something else than `strongroom seal`; restore it from a copy")


_DAMAGED = "it is no seal document of this version, or damaged; restore it from a copy"


def root_key_binding(document: SealDocument, entry: SealEntry) -> bytes:
    """Return what a wrapped root key is bound to."""
    return binding("root-key", document.deployment, str(document.generation), entry.name, entry.kind.value)


def encode_document(document: SealDocument) -> bytes:
    """Return the content of a seal file."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def decode_document(content: bytes) -> SealDocument:
    """Return the document in a seal file; raises UnsealError if there is none."""
    try:
        document = msgspec.json.decode(content, type=SealDocument)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnsealError(_DAMAGED) from None
    if document.format != _FORMAT or not 0 < len(document.entries) <= MOST_ENTRIES:
        raise UnsealError(_DAMAGED)
    return document


def _covered(document: SealDocument) -> bytes:
    """Return the bytes that the code covers: members in a fixed order, and the parameters of a seal by name."""
    return msgspec.json.encode(replace(document, mac=b""), order="deterministic")
