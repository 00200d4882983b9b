"""The paths of calls: ``[/PREFIX]/kms/xks/v1/health`` and ``[/PREFIX]/kms/xks/v1/keys/EXTERNAL-ID/CALL``.

Source: External Key Store Proxy API Specification 1.0.3, "API operations"; KMS API Reference, CreateCustomKeyStore,
``XksProxyUriPath``.
"""

import re
from enum import StrEnum

import msgspec

from strongroom.xks_proxy.registry import EXTERNAL_ID, PREFIX

_API = "/kms/xks/v1"
_PATH = re.compile(rf"(?:/({PREFIX}))?{_API}/(?:(health)|keys/({EXTERNAL_ID})/(metadata|encrypt|decrypt))")


class Call(StrEnum):
    """The calls of the protocol; the value is the name that audit records have."""

    HEALTH = "GetHealthStatus"
    METADATA = "GetKeyMetadata"
    ENCRYPT = "Encrypt"
    DECRYPT = "Decrypt"


_CALLS = {"health": Call.HEALTH, "metadata": Call.METADATA, "encrypt": Call.ENCRYPT, "decrypt": Call.DECRYPT}


class Route(msgspec.Struct, frozen=True):
    """What a path asks for. ``prefix`` is empty without one; ``external_id`` is empty for a health check."""

    prefix: str
    call: Call
    external_id: str = ""


def parse_path(path: str) -> Route | None:
    """Return what a path asks for; None if it is no path of the protocol."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    prefix, health, external_id, call = found.groups()
    return Route(prefix or "", _CALLS[health or call], external_id or "")


def uri_path(prefix: str) -> str:
    """Return the ``XksProxyUriPath`` that AWS KMS is to be told for a prefix."""
    return f"/{prefix}{_API}" if prefix else _API
