"""Key material that a developer chose, kept in the back end of the default key store."""

from typing import Protocol, runtime_checkable

from strongroom.crypto.key_backends import KeyBackends
from strongroom.crypto.material import ImportedMaterial, MaterialOwner
from strongroom.errors import UnsupportedOperationException
from strongroom.keys.arns import KeyLocator
from strongroom.keys.specs import KeySpec
from strongroom.operations.kms.key_material import OwnedToken


@runtime_checkable
class KeepsMaterial(Protocol):
    """A key back end that takes material from this process: one that keeps it in software."""

    def keep(self, material: bytes, owner: MaterialOwner) -> ImportedMaterial:
        """Check key material and return it wrapped; raises IncorrectKeyMaterialException if it is not of the spec."""
        ...


def keep_given(key_backends: KeyBackends, material: bytes, key: KeyLocator, spec: KeySpec) -> OwnedToken:
    """Keep material for a key, and return its token. The same material of a key has the same id in each run.

    So ciphertexts of one run open in the next. It is the id that an import gives it, so it can be imported again.
    Raises IncorrectKeyMaterialException if the material is not of the spec, and UnsupportedOperationException if the
    back end takes none.
    """
    backend = key_backends.of_store(None)
    if not isinstance(backend, KeepsMaterial):
        raise UnsupportedOperationException("A key back end in a hardware token takes no key material from a seed.")
    owner = MaterialOwner(key.account, key.region, key.key_id, spec)
    kept = backend.keep(material, owner)
    return OwnedToken(None, kept.token, owner.binding(kept.material_id))
