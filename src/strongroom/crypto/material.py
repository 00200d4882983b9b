"""Key material as the store and the key back ends exchange it: tokens, and the keys that they belong to.

A *token* is an opaque byte string that a key back end makes and the store keeps: wrapped key material, or the name of
an object inside a hardware security module. Only the back end that made a token can load it.
"""

import msgspec

from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WrappingAlgorithm


class MaterialBinding(msgspec.Struct, frozen=True):
    """The key that a piece of key material belongs to.

    It is authenticated: a token moved to another key does not load.
    """

    account: str
    region: str
    key_id: str
    material_id: str
    spec: KeySpec


class MaterialOwner(msgspec.Struct, frozen=True):
    """The key that new key material is made for."""

    account: str
    region: str
    key_id: str
    spec: KeySpec

    def binding(self, material_id: str) -> MaterialBinding:
        """Return the binding of this key's material with an id."""
        return MaterialBinding(self.account, self.region, self.key_id, material_id, self.spec)


class WrappingKey(msgspec.Struct, frozen=True):
    """A key pair to import key material with: the back end's token for it, and its SubjectPublicKeyInfo, DER."""

    token: bytes
    public_key: bytes


class WrappedMaterial(msgspec.Struct, frozen=True):
    """Key material as its owner sends it: the token of the wrapping key, the algorithm, and the encrypted bytes."""

    wrapping_token: bytes
    algorithm: WrappingAlgorithm
    encrypted: bytes


class ImportedMaterial(msgspec.Struct, frozen=True):
    """Key material that was imported: its id and the back end's token for it.

    The id (64 hex digits) is a digest of the key id and the material. So the same material is recognized when it is
    imported again, in every Region of related multi-Region keys.
    """

    material_id: str
    token: bytes
