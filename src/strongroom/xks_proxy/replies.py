"""The bodies of replies, as compact JSON.

Source: External Key Store Proxy API Specification 1.0.3; its Appendix C for the integrity value.
"""

from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256

import msgspec

from strongroom.xks_proxy.errors import XksError
from strongroom.xks_proxy.registry import Usage


class HealthStatus(StrEnum):
    """The health of what holds the keys."""

    ACTIVE = "ACTIVE"
    DEGRADED = "DEGRADED"
    UNAVAILABLE = "UNAVAILABLE"


class Ciphertext(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The parts of a ciphertext: as long as the plaintext; a nonce of 12 or 16 bytes; a tag of 16; up to 20 more."""

    ciphertext: bytes
    initialization_vector: bytes
    authentication_tag: bytes
    ciphertext_metadata: bytes = b""


class _WithIntegrity(Ciphertext, frozen=True, rename="camel", omit_defaults=True):
    ciphertext_data_integrity_value: bytes = b""


class _Plaintext(msgspec.Struct, frozen=True):
    plaintext: bytes


class _KeyMetadata(msgspec.Struct, frozen=True, rename="camel"):
    key_spec: str
    key_usage: Sequence[Usage]
    key_status: str


class Manager(msgspec.Struct, frozen=True, rename="camel"):
    """One external key manager: its id, its model with the version, and how it is."""

    id: str
    model: str
    health_status: HealthStatus


class Health(msgspec.Struct, frozen=True, rename="camel"):
    """The reply of a health check."""

    xks_proxy_fleet_size: int
    xks_proxy_vendor: str
    xks_proxy_model: str
    ekm_vendor: str
    ekm_fleet_details: Sequence[Manager]


class _Error(msgspec.Struct, frozen=True, rename="camel"):
    error_name: str
    error_message: str


_encode = msgspec.json.Encoder().encode


def integrity_value(associated_data: bytes, parts: Ciphertext) -> bytes:
    """Return the SHA-256 of a ciphertext and what belongs to it, without lengths: 32 bytes."""
    return sha256(
        associated_data
        + parts.ciphertext_metadata
        + parts.initialization_vector
        + parts.ciphertext
        + parts.authentication_tag
    ).digest()


def encrypted(parts: Ciphertext, integrity: bytes | None) -> bytes:
    """Return the reply of Encrypt, with the integrity value if there is one."""
    if integrity is None:
        return _encode(parts)
    return _encode(_WithIntegrity(**msgspec.structs.asdict(parts), ciphertext_data_integrity_value=integrity))


def decrypted(plaintext: bytes) -> bytes:
    """Return the reply of Decrypt."""
    return _encode(_Plaintext(plaintext))


def key_metadata(usages: Sequence[Usage], *, enabled: bool) -> bytes:
    """Return the reply of GetKeyMetadata."""
    return _encode(_KeyMetadata("AES_256", usages, "ENABLED" if enabled else "DISABLED"))


def health(found: Health) -> bytes:
    """Return the reply of GetHealthStatus."""
    return _encode(found)


def refused(error: XksError) -> bytes:
    """Return the reply of a call that is refused."""
    return _encode(_Error(error.name, error.message))
