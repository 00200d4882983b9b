"""What key back ends of custom key stores have in common: they hold symmetric encryption keys, and import nothing.

Source: KMS Developer Guide, "Key stores", which lists what custom key stores do not have.
"""

from collections.abc import Collection

from strongroom.crypto.material import ImportedMaterial, MaterialBinding, MaterialOwner, WrappedMaterial, WrappingKey
from strongroom.crypto.seal import UnsealError
from strongroom.errors import UnsupportedOperationException
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec


class CustomKeyStoreBackend:
    """The part of a ``KeyBackend`` that refuses what no custom key store has."""

    blocks = True
    blocks_when_loaded = True
    keeps_material = True
    kind = "Custom key stores"
    """What the stores are called in the errors of callers."""

    def require_spec(self, spec: KeySpec, usage: KeyUsage, region: str) -> None:  # noqa: ARG002 - see KeyBackend
        """Refuse all but symmetric encryption keys; raises UnsupportedOperationException."""
        self.require_symmetric(spec)

    def require_symmetric(self, spec: KeySpec) -> None:
        """Do so whatever the usage."""
        if spec is not KeySpec.SYMMETRIC_DEFAULT:
            raise UnsupportedOperationException(f"{self.kind} hold only symmetric encryption keys.")

    def replicate(self, token: bytes, owner: MaterialBinding, region: str) -> bytes:  # noqa: ARG002 - see KeyBackend
        """Refuse it: no key of a custom key store is a multi-Region key."""
        raise UnsealError("the key is not a multi-Region key")

    def wrapping_key(self, spec: WrappingKeySpec, algorithm: WrappingAlgorithm, owner: MaterialOwner) -> WrappingKey:
        """Refuse it: nothing is imported into a custom key store."""
        raise UnsupportedOperationException(
            f"Key material for {owner.key_id} cannot be imported ({algorithm}, {spec})."
        )

    def import_material(
        self,
        wrapped: WrappedMaterial,  # noqa: ARG002 - see KeyBackend
        owner: MaterialOwner,
        known_ids: Collection[str] = (),  # noqa: ARG002 - see KeyBackend
    ) -> ImportedMaterial:
        """Refuse it, as above."""
        raise UnsupportedOperationException(f"Key material for {owner.key_id} cannot be imported.")
