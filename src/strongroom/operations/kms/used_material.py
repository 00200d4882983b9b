"""Finds the key material that a call has used, for its audit record.

Only symmetric encryption keys have material to name (KMS Developer Guide, "Rotate AWS KMS keys").
"""

from collections.abc import Sequence
from typing import Protocol

from strongroom.keys.specs import KeySpec
from strongroom.operations.targets import Target


class NamesMaterial(Protocol):
    """A response that names the key material used; None for asymmetric keys and for attested recipients."""

    @property
    def key_material_id(self) -> str | None:
        """The id of the key material."""
        ...


class NamesTwoMaterials(Protocol):
    """A response that names the key material of a source and of a destination, each None for asymmetric keys."""

    @property
    def source_key_material_id(self) -> str | None:
        """The id of the key material that decrypted."""
        ...

    @property
    def destination_key_material_id(self) -> str | None:
        """The id of the key material that encrypted."""
        ...


def current_material(_response: object, targets: Sequence[Target]) -> dict[str, object]:
    """Return the current key material of the key, for responses that name none."""
    return _key_material(None, targets)


def named_material(response: NamesMaterial, targets: Sequence[Target]) -> dict[str, object]:
    """Return the key material that the response names, or else the current one of the key."""
    return _key_material(response.key_material_id, targets)


def re_encrypt_materials(response: NamesTwoMaterials, _targets: Sequence[Target]) -> dict[str, object]:
    """Return the key materials of source and destination, as far as the response names them."""
    source, destination = response.source_key_material_id, response.destination_key_material_id
    found: dict[str, object] = {} if source is None else {"sourceKeyMaterialId": source}
    if destination is not None:
        found["destinationKeyMaterialId"] = destination
    return found


def _key_material(named: str | None, targets: Sequence[Target]) -> dict[str, object]:
    active = targets[0].key
    if active is None or active.key.spec is not KeySpec.SYMMETRIC_DEFAULT:
        return {}
    if named is None and (current := active.key.current_material) is not None:
        named = current.material_id
    found: dict[str, object] = {} if named is None else {"keyMaterialId": named}
    if active.key.custom_key_store_id is not None:
        found["customKeyStoreId"] = active.key.custom_key_store_id
    if active.is_external:
        found["xksKeyId"] = active.key.external_id
    return found
