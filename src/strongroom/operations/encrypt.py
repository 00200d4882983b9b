"""Encrypt, Decrypt and ReEncrypt under symmetric KMS keys."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from strongroom.errors import (
    DryRunOperationException,
    IncorrectKeyException,
    InvalidCiphertextException,
    InvalidKeyUsageException,
    UnsupportedOperationException,
    ValidationException,
)
from strongroom.keys import ciphertext
from strongroom.keys.encryption_context import canonical
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import EncryptionAlgorithm, KeySpec, KeyUsage
from strongroom.operations.context import Context
from strongroom.operations.shapes import Ciphertext, EncryptionContext, GrantTokens, KeyId, Plaintext, Request, Response
from strongroom.operations.targets import Target, on_key
from strongroom.snapshot.active_key import ActiveKey, LoadedMaterial


class DryRunModifier(StrEnum):
    """What a dry run of Decrypt or ReEncrypt may leave out."""

    IGNORE_CIPHERTEXT = "IGNORE_CIPHERTEXT"


class KeyEncryptionMechanism(StrEnum):
    """How an answer is wrapped for an attested recipient."""

    RSAES_OAEP_SHA_256 = "RSAES_OAEP_SHA_256"


class Recipient(msgspec.Struct, rename="pascal", frozen=True):
    """An attested enclave that alone shall read the answer."""

    key_encryption_algorithm: KeyEncryptionMechanism | None = None
    attestation_document: Annotated[bytes, Meta(min_length=1, max_length=262144)] | None = None


class EncryptRequest(Request):
    """What Encrypt takes."""

    key_id: KeyId
    plaintext: Plaintext
    encryption_context: EncryptionContext | None = None
    grant_tokens: GrantTokens | None = None
    encryption_algorithm: EncryptionAlgorithm = EncryptionAlgorithm.SYMMETRIC_DEFAULT
    dry_run: bool | None = None


class EncryptResponse(Response):
    """What Encrypt returns."""

    ciphertext_blob: bytes
    key_id: str
    encryption_algorithm: EncryptionAlgorithm


class DecryptRequest(Request):
    """What Decrypt takes; the blob names its key, so ``key_id`` is only a check."""

    ciphertext_blob: Ciphertext | None = None
    encryption_context: EncryptionContext | None = None
    grant_tokens: GrantTokens | None = None
    key_id: KeyId | None = None
    encryption_algorithm: EncryptionAlgorithm = EncryptionAlgorithm.SYMMETRIC_DEFAULT
    recipient: Recipient | None = None
    dry_run: bool | None = None
    dry_run_modifiers: list[DryRunModifier] | None = None


class DecryptResponse(Response):
    """What Decrypt returns."""

    key_id: str
    plaintext: bytes
    encryption_algorithm: EncryptionAlgorithm
    key_material_id: str


class ReEncryptRequest(Request):
    """What ReEncrypt takes."""

    destination_key_id: KeyId
    ciphertext_blob: Ciphertext | None = None
    source_encryption_context: EncryptionContext | None = None
    source_key_id: KeyId | None = None
    destination_encryption_context: EncryptionContext | None = None
    source_encryption_algorithm: EncryptionAlgorithm = EncryptionAlgorithm.SYMMETRIC_DEFAULT
    destination_encryption_algorithm: EncryptionAlgorithm = EncryptionAlgorithm.SYMMETRIC_DEFAULT
    grant_tokens: GrantTokens | None = None
    dry_run: bool | None = None
    dry_run_modifiers: list[DryRunModifier] | None = None


class ReEncryptResponse(Response):
    """What ReEncrypt returns: never the plaintext."""

    ciphertext_blob: bytes
    source_key_id: str
    key_id: str
    source_encryption_algorithm: EncryptionAlgorithm
    destination_encryption_algorithm: EncryptionAlgorithm
    source_key_material_id: str
    destination_key_material_id: str


def encrypt(_context: Context, request: EncryptRequest, active: ActiveKey) -> EncryptResponse:
    """Encrypt up to 4,096 bytes under the key's current backing key."""
    require_encryption_key(active.key, "Encrypt")
    require_algorithm(active.key, request.encryption_algorithm)
    if request.dry_run:
        raise DryRunOperationException
    return EncryptResponse(
        ciphertext_blob=active.current().encrypt(request.plaintext, canonical(request.encryption_context)),
        key_id=active.key.arn,
        encryption_algorithm=request.encryption_algorithm,
    )


def locate_decrypt(context: Context, request: DecryptRequest) -> Sequence[Target]:
    """Find the key that is named, or else the one the blob names."""
    return (_source(context, "kms:Decrypt", request.key_id, request.ciphertext_blob),)


def decrypt(context: Context, request: DecryptRequest, active: ActiveKey) -> DecryptResponse:
    """Decrypt with whichever backing key of the KMS key made the blob."""
    require_no_recipient(request.recipient)
    require_encryption_key(active.key, "Decrypt")
    require_algorithm(active.key, request.encryption_algorithm)
    if request.ciphertext_blob is None:
        _require_ignored_ciphertext(request.dry_run, request.dry_run_modifiers)
        raise DryRunOperationException
    material, plaintext = _open(context, active, request.ciphertext_blob, request.encryption_context)
    if request.dry_run:
        raise DryRunOperationException
    return DecryptResponse(
        key_id=active.key.arn,
        plaintext=plaintext,
        encryption_algorithm=request.encryption_algorithm,
        key_material_id=material.material_id,
    )


def locate_re_encrypt(context: Context, request: ReEncryptRequest) -> Sequence[Target]:
    """Find the source as Decrypt does, and the destination by name; each needs a permission of its own."""
    return (
        _source(context, "kms:ReEncryptFrom", request.source_key_id, request.ciphertext_blob),
        on_key(context, "kms:ReEncryptTo", request.destination_key_id),
    )


def re_encrypt(
    context: Context, request: ReEncryptRequest, source: ActiveKey, destination: ActiveKey
) -> ReEncryptResponse:
    """Decrypt and encrypt again, without showing the plaintext."""
    require_encryption_key(source.key, "ReEncrypt")
    require_encryption_key(destination.key, "ReEncrypt")
    require_algorithm(source.key, request.source_encryption_algorithm)
    require_algorithm(destination.key, request.destination_encryption_algorithm)
    if request.ciphertext_blob is None:
        _require_ignored_ciphertext(request.dry_run, request.dry_run_modifiers)
        raise DryRunOperationException
    old, plaintext = _open(context, source, request.ciphertext_blob, request.source_encryption_context)
    if request.dry_run:
        raise DryRunOperationException
    new = destination.current()
    return ReEncryptResponse(
        ciphertext_blob=new.encrypt(plaintext, canonical(request.destination_encryption_context)),
        source_key_id=source.key.arn,
        key_id=destination.key.arn,
        source_encryption_algorithm=request.source_encryption_algorithm,
        destination_encryption_algorithm=request.destination_encryption_algorithm,
        source_key_material_id=old.material_id,
        destination_key_material_id=new.material_id,
    )


def require_encryption_key(key: KmsKey, operation: str) -> None:
    """Refuse keys of another usage; raises InvalidKeyUsageException."""
    if key.usage is not KeyUsage.ENCRYPT_DECRYPT:
        raise InvalidKeyUsageException(f"{key.arn} key usage is {key.usage} which is not valid for {operation}.")


def require_algorithm(key: KmsKey, algorithm: EncryptionAlgorithm) -> None:
    """Refuse an algorithm that the key's spec does not have; raises InvalidKeyUsageException."""
    if algorithm is not EncryptionAlgorithm.SYMMETRIC_DEFAULT or key.spec is not KeySpec.SYMMETRIC_DEFAULT:
        raise InvalidKeyUsageException(f"Algorithm {algorithm} is incompatible with key spec {key.spec}.")


def require_symmetric(key: KmsKey, operation: str) -> None:
    """Refuse asymmetric keys, which cannot wrap data keys; raises InvalidKeyUsageException."""
    if key.spec is not KeySpec.SYMMETRIC_DEFAULT:
        raise InvalidKeyUsageException(f"{key.arn} key spec is {key.spec} which is not valid for {operation}.")


def require_no_recipient(recipient: Recipient | None) -> None:
    """Refuse attested recipients, which this release does not serve; raises UnsupportedOperationException."""
    if recipient is not None:
        raise UnsupportedOperationException("Recipient is not supported.")


def _source(context: Context, action: str, key_id: str | None, blob: bytes | None) -> Target:
    if key_id is not None:
        return on_key(context, action, key_id)
    if blob is None:
        raise ValidationException("CiphertextBlob is required unless a dry run ignores it and names a key.")
    found = context.backends.snapshot.key_of_material(context.region, ciphertext.parse(blob).material_id)
    if found is None:
        raise InvalidCiphertextException
    return Target(action, found.key.arn, found, implied=True, policy=found.policy, tags=found.key.tags)


def _open(
    context: Context, active: ActiveKey, blob: bytes, encryption_context: EncryptionContext | None
) -> tuple[LoadedMaterial, bytes]:
    parsed = ciphertext.parse(blob)
    material = active.material(parsed.material_id)
    if material is None:
        known = context.backends.snapshot.key_of_material(context.region, parsed.material_id)
        raise InvalidCiphertextException if known is None else IncorrectKeyException
    return material, material.decrypt(parsed, canonical(encryption_context))


def _require_ignored_ciphertext(dry_run: bool | None, modifiers: list[DryRunModifier] | None) -> None:  # noqa: FBT001
    if not dry_run or DryRunModifier.IGNORE_CIPHERTEXT not in (modifiers or ()):
        raise ValidationException("CiphertextBlob is required unless a dry run ignores it and names a key.")
