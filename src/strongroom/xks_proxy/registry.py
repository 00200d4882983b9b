"""Proxies as the store keeps them: each has a prefix, credentials, and KMS keys under external ids.

Source of the limits: KMS API Reference, CreateCustomKeyStore and XksProxyAuthenticationCredentialType; External Key
Store Proxy API Specification 1.0.3.
"""

import re
from enum import StrEnum

import msgspec
from typing_extensions import override

PREFIX = r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*"
EXTERNAL_ID = r"[A-Za-z0-9._-]{1,128}"
MOST_CREDENTIALS = 5
"""How many credentials a proxy has at most. A rotation needs two."""

_MOST_PREFIX = 115
"""The path has 128 characters at most, with ``/kms/xks/v1`` and two slashes."""


class Usage(StrEnum):
    """What a key may be used for; the names are those of GetKeyMetadata."""

    ENCRYPT = "ENCRYPT"
    DECRYPT = "DECRYPT"


class XksProxy(msgspec.Struct, frozen=True):
    """One proxy: what an external key store of AWS KMS is connected to.

    It gives out keys of one ``account`` in one ``region`` of this deployment. The KMS of the AWS Region
    ``signing_region`` calls it. ``created_at`` is in epoch seconds.
    """

    prefix: str
    account: str
    region: str
    signing_region: str
    created_at: float


class XksCredential(msgspec.Struct, frozen=True):
    """A credential of a proxy; its secret is wrapped. ``created_at`` is in epoch seconds."""

    access_key_id: str
    prefix: str
    wrapped_secret: bytes
    created_at: float

    @override
    def __repr__(self) -> str:
        return f"XksCredential({self.access_key_id})"


class XksKey(msgspec.Struct, frozen=True):
    """A KMS key that a proxy gives out. ``created_at`` is in epoch seconds."""

    prefix: str
    external_id: str
    key_id: str
    usages: tuple[Usage, ...]
    created_at: float


def is_prefix(text: str) -> bool:
    """Tell whether a text can be the prefix of a proxy; the empty one can."""
    return not text or (len(text) <= _MOST_PREFIX and re.fullmatch(PREFIX, text) is not None)


def is_external_id(text: str) -> bool:
    """Tell whether a text can be the id of a key outside."""
    return re.fullmatch(EXTERNAL_ID, text) is not None
