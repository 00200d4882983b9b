"""The operations of KMS in a server that was started for development.

They are those of every server, except that CreateKey knows LocalStack's tags, and that Decrypt and ReEncrypt open what
local-kms encrypted under the keys of a seed. Such a blob is turned into one of this service when the call has been
authorized, so that the operation itself runs as it always does.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from strongroom.errors import AccessDeniedException, NotFoundException
from strongroom.iam import hidden_denial_message
from strongroom.keys.encryption_context import canonical
from strongroom.keys.specs import KeySpec
from strongroom.keys.states import StateRule
from strongroom.operations.context import Context
from strongroom.operations.kms import create_key, encryption
from strongroom.operations.kms.encryption import (
    DecryptRequest,
    DecryptResponse,
    ReEncryptRequest,
    ReEncryptResponse,
    considered_ciphertext,
)
from strongroom.operations.kms.used_material import decrypting_material, re_encrypt_materials
from strongroom.operations.lanes import Placement
from strongroom.operations.operation import Operation
from strongroom.operations.targets import Target
from strongroom.seeds.ciphertexts import SeededKeys, parse_blob
from strongroom.seeds.custom_tags import TaggedCreateKeyRequest, create_key_by_tags
from strongroom.snapshot.active_key import ActiveKey

EncryptionContext: TypeAlias = dict[str, str]


def development_rows(seeded: SeededKeys | None = None) -> Mapping[str, Operation]:
    """Return the operations of KMS that are others in development, by name.

    ``seeded`` are the keys that a seed brought, if there is one.
    """
    return {row.name: row for row in _rows(seeded)}


def _rows(seeded: SeededKeys | None) -> Sequence[Operation]:
    by_tags = Operation(
        "CreateKey",
        TaggedCreateKeyRequest,
        create_key_by_tags,
        placement=Placement.NEW_KEY,
        read_only=False,
        locate=create_key.locate_create_key,
        elements=create_key.create_key_elements,
        makes=lambda response: response.key_metadata.arn,
        key_store=lambda request: (request.custom_key_store_id, request.xks_key_id is not None),
    )
    if seeded is None:
        return (by_tags,)
    opened = _Opened(seeded)
    return (
        by_tags,
        Operation(
            "Decrypt",
            DecryptRequest,
            opened.decrypt,
            locate=_locate_decrypt,
            rule=StateRule.USE,
            placement=Placement.BY_ALGORITHM,
            materials=decrypting_material,
            cross_account=True,
        ),
        Operation(
            "ReEncrypt",
            ReEncryptRequest,
            opened.re_encrypt,
            locate=_locate_re_encrypt,
            rule=StateRule.USE,
            placement=Placement.BY_ALGORITHM,
            materials=re_encrypt_materials,
            cross_account=True,
        ),
    )


class _Opened:
    """Decrypt and ReEncrypt with the keys of a seed."""

    def __init__(self, seeded: SeededKeys) -> None:
        self._seeded = seeded

    def decrypt(self, context: Context, request: DecryptRequest, active: ActiveKey) -> DecryptResponse:
        blob = self._own_blob(active, considered_ciphertext(request), request.encryption_context)
        return encryption.decrypt(context, replace(request, ciphertext_blob=blob), active)

    def re_encrypt(
        self, context: Context, request: ReEncryptRequest, source: ActiveKey, destination: ActiveKey
    ) -> ReEncryptResponse:
        blob = self._own_blob(source, considered_ciphertext(request), request.source_encryption_context)
        return encryption.re_encrypt(context, replace(request, ciphertext_blob=blob), source, destination)

    def _own_blob(self, active: ActiveKey, blob: bytes | None, context: EncryptionContext | None) -> bytes | None:
        """Return a blob of this service for the plaintext of one of local-kms; any other blob as it is.

        Raises what ``SeededKeys.open`` does.
        """
        found = None if blob is None else parse_blob(blob)
        if found is None or active.key.spec is not KeySpec.SYMMETRIC_DEFAULT:
            return blob
        opened = self._seeded.open(active.key, found, context)
        material = active.material(opened.material_id)
        return blob if material is None else material.encrypt(opened.plaintext, canonical(context))


def _locate_decrypt(context: Context, request: DecryptRequest) -> Sequence[Target]:
    """Find the key that is named, or else the one a blob of either kind names."""
    named = _named_key(request.key_id, considered_ciphertext(request))
    if named is None:
        return encryption.locate_decrypt(context, request)
    try:
        return encryption.locate_decrypt(context, replace(request, key_id=named))
    except NotFoundException:
        raise AccessDeniedException(hidden_denial_message(context.caller, "kms:Decrypt", implied=True)) from None


def _locate_re_encrypt(context: Context, request: ReEncryptRequest) -> Sequence[Target]:
    named = _named_key(request.source_key_id, considered_ciphertext(request))
    if named is None:
        return encryption.locate_re_encrypt(context, request)
    return encryption.locate_re_encrypt(context, replace(request, source_key_id=named))


def _named_key(key_id: str | None, blob: bytes | None) -> str | None:
    """Return the id of the key that a blob of local-kms names, if the request itself names none."""
    if key_id is not None or blob is None:
        return None
    found = parse_blob(blob)
    return None if found is None else found.key_id
