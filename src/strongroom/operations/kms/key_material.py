"""Key material of the vault: made for new and rotated keys, forgotten when a key has lost it."""

from collections.abc import Iterable
from typing import NamedTuple

from strongroom.crypto.protocol import MaterialBinding, Vault
from strongroom.entropy import Entropy
from strongroom.keys.arns import KeyLocator
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec
from strongroom.snapshot.active_key import binding_of

_ID_LENGTH = 32


class Removed(NamedTuple):
    """A token that no key has any longer, and what its material is bound to."""

    token: bytes
    owner: MaterialBinding


def generate_material(vault: Vault, entropy: Entropy, owner: KeyLocator, spec: KeySpec) -> tuple[str, bytes]:
    """Make key material for a key; return its id (64 hex digits) and the vault's token for it.

    The id is random rather than a digest of the material: a vault that never shows material could not compute one.
    """
    material_id = entropy(_ID_LENGTH).hex()
    binding = MaterialBinding(
        account=owner.account, region=owner.region, key_id=owner.key_id, material_id=material_id, spec=spec
    )
    return material_id, vault.generate(binding)


def removed(before: KmsKey, after: KmsKey | None) -> list[Removed]:
    """Return the tokens that a change took from a key; all of them if it is gone."""
    kept = {None} if after is None else {None, *(material.token for material in after.materials)}
    return [
        Removed(material.token, binding_of(before, material.material_id))
        for material in before.materials
        if material.token is not None and material.token not in kept
    ]


def destroy(vault: Vault, gone: Iterable[Removed]) -> None:
    """Let the vault forget tokens. Only after the commit that took them from their keys: it might fail."""
    for each in gone:
        vault.destroy(each.token, each.owner)
