"""KMS keys in external key stores: how the store keeps which external key is behind one.

The key material of such a KMS key is a backing key of this service *and* a key in an external key manager: both
encrypt, one after the other. The token names the external key, and contains that of the backing key::

    offset  length
    0       1       format, 0x03
    1       4       version of the domain key that the backing key needs, as in its own token
    5       1       length s of the id of the custom key store
    6       s       id of the custom key store, ASCII
    6+s     1       length e of the id of the external key
    7+s     e       id of the external key, ASCII
    7+s+e   n       token of the backing key, by the software key back end (``crypto.envelope``)

The material's id is a digest of both ids. The inner token is bound to it, so neither can be exchanged; and as no two
KMS keys have the same material, an external key belongs to one KMS key of a store at most (KMS API Reference,
XksKeyAlreadyInUseException).
"""

from hashlib import sha256

import msgspec

_FORMAT = b"\x03"
_VERSION = slice(1, 5)
_NAMES = 5


class ExternalToken(msgspec.Struct, frozen=True):
    """The parts of a token: the ids of the custom key store and of the external key, and the backing key's token."""

    store_id: str
    external_id: str
    inner: bytes


def external_material_id(store_id: str, external_id: str) -> str:
    """Return the id (64 hex digits) of the material of the KMS key that uses an external key of a store."""
    return sha256(b"strongroom:external-key\0" + _named(store_id, external_id)).hexdigest()


def external_token(store_id: str, external_id: str, inner: bytes) -> bytes:
    """Return the token of an external key; ``inner`` is that of the backing key."""
    return _FORMAT + inner[_VERSION] + _named(store_id, external_id) + inner


def parse_external_token(token: bytes) -> ExternalToken:
    """Return the parts of a token; raises ValueError if it is none."""
    if token[:1] != _FORMAT:
        raise ValueError("it names no external key")
    store_id, at = _name_at(token, _NAMES)
    external_id, at = _name_at(token, at)
    inner = token[at:]
    if inner[_VERSION] != token[_VERSION]:
        raise ValueError("it names another domain key than the token in it")
    return ExternalToken(store_id, external_id, inner)


def _named(store_id: str, external_id: str) -> bytes:
    names = (store_id.encode("ascii"), external_id.encode("ascii"))
    return b"".join(bytes((len(name),)) + name for name in names)


def _name_at(token: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + token[at] if at < len(token) else len(token) + 1
    if end > len(token):
        raise ValueError("it ends too early")
    return token[at + 1 : end].decode("ascii"), end
