"""Finds the key material that a call has used, for its audit record.

Only symmetric encryption keys have material to name (KMS Developer Guide, "Rotate AWS KMS keys").
"""

from collections.abc import Sequence
from typing import Protocol

from strongroom.errors import InvalidCiphertextException
from strongroom.keys import ciphertext
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeySpec, Origin
from strongroom.operations.targets import Target


class HasCiphertext(Protocol):
    """A request to decrypt a ciphertext blob."""

    @property
    def ciphertext_blob(self) -> bytes | None:
        """The blob; None in a dry run that ignores it."""
        ...


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


def current_material(_request: object, _response: object, targets: Sequence[Target]) -> dict[str, object]:
    """Return the current key material of the key, for operations that encrypt and whose responses name none."""
    key = _symmetric_key(targets)
    return {} if key is None else _key_material(key, _current(key))


def encrypting_material(_request: object, response: NamesMaterial, targets: Sequence[Target]) -> dict[str, object]:
    """Return the key material that the response names, or else the current one, which encrypts."""
    key = _symmetric_key(targets)
    return {} if key is None else _key_material(key, response.key_material_id or _current(key))


def decrypting_material(
    request: HasCiphertext, response: NamesMaterial, targets: Sequence[Target]
) -> dict[str, object]:
    """Return the key material that the response names, or else the one that the blob names, which decrypted it."""
    key = _symmetric_key(targets)
    return {} if key is None else _key_material(key, response.key_material_id or _named_in(request, key))


def re_encrypt_materials(
    _request: object, response: NamesTwoMaterials, _targets: Sequence[Target]
) -> dict[str, object]:
    """Return the key materials of source and destination, as far as the response names them."""
    source, destination = response.source_key_material_id, response.destination_key_material_id
    found: dict[str, object] = {} if source is None else {"sourceKeyMaterialId": source}
    if destination is not None:
        found["destinationKeyMaterialId"] = destination
    return found


def _symmetric_key(targets: Sequence[Target]) -> KmsKey | None:
    active = targets[0].key
    return None if active is None or active.key.spec is not KeySpec.SYMMETRIC_DEFAULT else active.key


def _current(key: KmsKey) -> str | None:
    return None if key.current_material is None else key.current_material.material_id


def _named_in(request: HasCiphertext, key: KmsKey) -> str | None:
    """Return the id in a blob; None for a blob of another program, which a server for development may have opened."""
    try:
        named = ciphertext.parse(request.ciphertext_blob or b"").material_id
    except InvalidCiphertextException:
        return None
    return named if any(each.material_id == named for each in key.materials) else None


def _key_material(key: KmsKey, named: str | None) -> dict[str, object]:
    found: dict[str, object] = {} if named is None else {"keyMaterialId": named}
    if key.custom_key_store_id is not None:
        found["customKeyStoreId"] = key.custom_key_store_id
    if key.origin is Origin.EXTERNAL_KEY_STORE:
        found["xksKeyId"] = key.external_id
    return found
