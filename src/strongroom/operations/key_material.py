"""New key material for new and rotated keys."""

from strongroom.crypto.protocol import MaterialBinding, Vault
from strongroom.entropy import Entropy
from strongroom.keys.arns import KeyLocator
from strongroom.keys.specs import KeySpec

_ID_LENGTH = 32


def generate_material(vault: Vault, entropy: Entropy, owner: KeyLocator, spec: KeySpec) -> tuple[str, bytes]:
    """Make key material for a key; return its id (64 hex digits) and the vault's token for it.

    The id is random rather than a digest of the material: a vault that never shows material could not compute one.
    """
    material_id = entropy(_ID_LENGTH).hex()
    binding = MaterialBinding(
        account=owner.account, region=owner.region, key_id=owner.key_id, material_id=material_id, spec=spec
    )
    return material_id, vault.generate(binding)
