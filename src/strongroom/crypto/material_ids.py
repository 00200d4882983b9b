"""The ids of imported key material: 64 hex digits, made of the name of the KMS key and the material.

The name is the account and the key id (``names_of``): several accounts can have a key with the same id and material,
because an import from elsewhere keeps the ids of keys. Earlier releases took the key id alone.

The same material of a key has the same id, in every Region and after a move to another key back end. What can be
computed depends on where the material is, so there are three formulas. A back end knows material again by each of them:

- Secret keys: SHA-256 over the name and the bytes. A hardware token computes it by C_DigestKey.
- Private keys: SHA-256 over the name and the public key. So a private key is the same in every encoding. Earlier
  releases took the private key, as PKCS #8.
- Secret keys in a hardware token that lacks C_DigestKey: SHA-256 over HMAC-SHA-256 of the name under the material.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable

from strongroom.crypto.binding import binding
from strongroom.crypto.material import MaterialOwner


def names_of(owner: MaterialOwner) -> tuple[str, str]:
    """Return the names of a key by which its material has ids: the present one, and that of earlier releases."""
    return f"{owner.account}/{owner.key_id}", owner.key_id


def content_prefix(name: str) -> bytes:
    """Return what precedes the bytes of the material when they are hashed."""
    return binding("imported-key-material", name)


def id_of_content(content: bytes, name: str) -> str:
    """Return the id of material by its bytes."""
    return hashlib.sha256(content_prefix(name) + content).hexdigest()


def id_of_public_key(public_key: bytes, name: str) -> str:
    """Return the id of a private key by its public key, SubjectPublicKeyInfo, DER."""
    return hashlib.sha256(binding("imported-private-key", name) + public_key).hexdigest()


def message_for_mac(name: str) -> bytes:
    """Return the message whose HMAC-SHA-256 under the material identifies it."""
    return binding("imported-key-material-mac", name)


def id_of_mac(mac: bytes) -> str:
    """Return the id of material by its HMAC. It is hashed, because the key itself may make MACs for its users."""
    return hashlib.sha256(mac).hexdigest()


def recognized(formulas: Iterable[Callable[[], str | None]], known_ids: Collection[str]) -> str | None:
    """Return the first id that is among those of the key's material, otherwise the first that can be computed.

    A formula that cannot be computed gives None; further ones are computed only if there is something to recognize.
    """
    first: str | None = None
    for formula in formulas:
        found = formula()
        if found is not None and found in known_ids:
            return found
        first = first or found
        if first is not None and not known_ids:
            break
    return first
