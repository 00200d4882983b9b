"""Encrypt, Decrypt and ReEncrypt, under symmetric KMS keys and under asymmetric ones that encrypt."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from typing_extensions import override

from strongroom.errors import (
    AccessDeniedException,
    IncorrectKeyException,
    ValidationException,
)
from strongroom.iam import hidden_denial_message
from strongroom.keys import ciphertext
from strongroom.keys.algorithms import ENCRYPTION, EncryptionAlgorithm, require_algorithm, require_plaintext_size
from strongroom.keys.encryption_context import canonical
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeyUsage
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context, end_dry_run, require_not_dry_run
from strongroom.operations.kms.targets import on_key
from strongroom.operations.recipient import hand_over
from strongroom.operations.shapes import (
    Ciphertext,
    EncryptionContext,
    KeyId,
    Plaintext,
    Recipient,
    RequestWithGrantTokens,
    Response,
    at_most,
)
from strongroom.operations.targets import Target
from strongroom.snapshot.active_key import ActiveKey, LoadedMaterial

_SYMMETRIC = EncryptionAlgorithm.SYMMETRIC_DEFAULT


class DryRunModifier(StrEnum):
    """What a dry run of Decrypt or ReEncrypt may leave out."""

    IGNORE_CIPHERTEXT = "IGNORE_CIPHERTEXT"


DryRunModifiers = Annotated[list[DryRunModifier], at_most(100)]

RE_ENCRYPT_FROM, RE_ENCRYPT_TO = "kms:ReEncryptFrom", "kms:ReEncryptTo"
"""The actions that ReEncrypt needs permission for, on its source and on its destination."""


class EncryptRequest(RequestWithGrantTokens):
    """The request of Encrypt."""

    key_id: KeyId
    plaintext: Plaintext
    encryption_context: EncryptionContext | None = None
    encryption_algorithm: EncryptionAlgorithm = EncryptionAlgorithm.SYMMETRIC_DEFAULT
    dry_run: bool | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(encryption_algorithm=self.encryption_algorithm)

    @override
    def encryption_context_for(self, action: str) -> EncryptionContext | None:
        return self.encryption_context


class EncryptResponse(Response):
    """The response of Encrypt."""

    ciphertext_blob: bytes
    key_id: str
    encryption_algorithm: EncryptionAlgorithm


class DecryptRequest(RequestWithGrantTokens):
    """The request of Decrypt; the blob names its key, so ``key_id`` is only a check."""

    ciphertext_blob: Ciphertext | None = None
    encryption_context: EncryptionContext | None = None
    key_id: KeyId | None = None
    encryption_algorithm: EncryptionAlgorithm = EncryptionAlgorithm.SYMMETRIC_DEFAULT
    recipient: Recipient | None = None
    dry_run: bool | None = None
    dry_run_modifiers: DryRunModifiers | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(encryption_algorithm=self.encryption_algorithm)

    @override
    def encryption_context_for(self, action: str) -> EncryptionContext | None:
        return self.encryption_context

    @override
    def attested_recipient(self) -> Recipient | None:
        return self.recipient


class DecryptResponse(Response):
    """The response of Decrypt, to the caller or for a recipient alone; asymmetric keys have no material to name."""

    key_id: str
    encryption_algorithm: EncryptionAlgorithm
    plaintext: bytes | None = None
    ciphertext_for_recipient: bytes | None = None
    key_material_id: str | None = None


class ReEncryptRequest(RequestWithGrantTokens):
    """The request of ReEncrypt."""

    destination_key_id: KeyId
    ciphertext_blob: Ciphertext | None = None
    source_encryption_context: EncryptionContext | None = None
    source_key_id: KeyId | None = None
    destination_encryption_context: EncryptionContext | None = None
    source_encryption_algorithm: EncryptionAlgorithm = EncryptionAlgorithm.SYMMETRIC_DEFAULT
    destination_encryption_algorithm: EncryptionAlgorithm = EncryptionAlgorithm.SYMMETRIC_DEFAULT
    dry_run: bool | None = None
    dry_run_modifiers: DryRunModifiers | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        """Return the parameters of the half of the call that needs permission for ``action``."""
        from_source = action == RE_ENCRYPT_FROM
        return ConditionParameters(
            encryption_algorithm=self.source_encryption_algorithm
            if from_source
            else self.destination_encryption_algorithm
        )

    @override
    def encryption_context_for(self, action: str) -> EncryptionContext | None:
        return self.source_encryption_context if action == RE_ENCRYPT_FROM else self.destination_encryption_context


class ReEncryptResponse(Response):
    """The response of ReEncrypt: never the plaintext."""

    ciphertext_blob: bytes
    source_key_id: str
    key_id: str
    source_encryption_algorithm: EncryptionAlgorithm
    destination_encryption_algorithm: EncryptionAlgorithm
    source_key_material_id: str | None = None
    destination_key_material_id: str | None = None


def encrypt(context: Context, request: EncryptRequest, active: ActiveKey) -> EncryptResponse:
    """Encrypt under the key's current backing key: up to 4,096 bytes, or what fits into one RSA block."""
    active.key.require_usage(KeyUsage.ENCRYPT_DECRYPT, "Encrypt")
    _require_algorithm(active.key, request.encryption_algorithm, request.encryption_context)
    require_plaintext_size(len(request.plaintext), request.encryption_algorithm, active.key.spec)
    _load(active, request.encryption_algorithm)
    require_not_dry_run(context, request.dry_run, active)
    blob, _ = _encrypt(context, active, request.plaintext, request.encryption_algorithm, request.encryption_context)
    return EncryptResponse(
        ciphertext_blob=blob, key_id=active.key.arn, encryption_algorithm=request.encryption_algorithm
    )


def locate_decrypt(context: Context, request: DecryptRequest) -> Sequence[Target]:
    """Find the key that is named, or else the one that the blob names."""
    return (_source(context, "kms:Decrypt", request.key_id, considered_ciphertext(request)),)


def decrypt(context: Context, request: DecryptRequest, active: ActiveKey) -> DecryptResponse:
    """Decrypt with the backing key of the KMS key that made the blob."""
    _require_decrypts(active.key)
    _require_algorithm(active.key, request.encryption_algorithm, request.encryption_context)
    secret, material_id = _opened(context, request, active, request.encryption_algorithm, request.encryption_context)
    if secret is None or request.dry_run:
        end_dry_run(context, active)
    plaintext, for_recipient = hand_over(context, secret)
    return DecryptResponse(
        key_id=active.key.arn,
        encryption_algorithm=request.encryption_algorithm,
        plaintext=plaintext,
        ciphertext_for_recipient=for_recipient,
        key_material_id=material_id if for_recipient is None else None,
    )


def locate_re_encrypt(context: Context, request: ReEncryptRequest) -> Sequence[Target]:
    """Find the source as Decrypt does, and the destination by name; each needs a permission of its own."""
    return (
        _source(context, RE_ENCRYPT_FROM, request.source_key_id, considered_ciphertext(request)),
        on_key(context, RE_ENCRYPT_TO, request.destination_key_id),
    )


def re_encrypt(
    context: Context, request: ReEncryptRequest, source: ActiveKey, destination: ActiveKey
) -> ReEncryptResponse:
    """Decrypt and encrypt again, without showing the plaintext."""
    _require_decrypts(source.key)
    destination.key.require_usage(KeyUsage.ENCRYPT_DECRYPT, "ReEncrypt")
    old, new = request.source_encryption_algorithm, request.destination_encryption_algorithm
    _require_algorithm(source.key, old, request.source_encryption_context)
    _require_algorithm(destination.key, new, request.destination_encryption_context)
    plaintext, old_material = _opened(context, request, source, old, request.source_encryption_context)
    if plaintext is not None:
        require_plaintext_size(len(plaintext), new, destination.key.spec)
    _load(destination, new)
    if plaintext is None or request.dry_run:
        end_dry_run(context, source, destination)
    blob, new_material = _encrypt(context, destination, plaintext, new, request.destination_encryption_context)
    return ReEncryptResponse(
        ciphertext_blob=blob,
        source_key_id=source.key.arn,
        key_id=destination.key.arn,
        source_encryption_algorithm=old,
        destination_encryption_algorithm=new,
        source_key_material_id=old_material,
        destination_key_material_id=new_material,
    )


def _require_decrypts(key: KmsKey) -> None:
    if key.usage is not KeyUsage.ENCRYPT_DECRYPT:
        raise IncorrectKeyException


def _require_algorithm(key: KmsKey, algorithm: EncryptionAlgorithm, context: EncryptionContext | None) -> None:
    require_algorithm(algorithm, key.spec, ENCRYPTION)
    if context and algorithm is not _SYMMETRIC:
        raise ValidationException("EncryptionContext is not supported for asymmetric keys.")


def _load(active: ActiveKey, algorithm: EncryptionAlgorithm) -> None:
    """Load what encrypts, so that a dry run is refused too if that is damaged."""
    if algorithm is _SYMMETRIC:
        active.current()
    else:
        active.decryption_key()


def _encrypt(
    context: Context,
    active: ActiveKey,
    plaintext: bytes,
    algorithm: EncryptionAlgorithm,
    encryption_context: EncryptionContext | None,
) -> tuple[bytes, str | None]:
    """Return the ciphertext, and the id of the key material if it names it."""
    if algorithm is not _SYMMETRIC:
        return active.decryption_key().encrypt(plaintext, algorithm), None
    material = active.current()
    if active.is_external:
        material = material.used_by(context.key_user)
    return material.encrypt(plaintext, canonical(encryption_context)), material.material_id


def _opened(
    context: Context,
    request: DecryptRequest | ReEncryptRequest,
    active: ActiveKey,
    algorithm: EncryptionAlgorithm,
    encryption_context: EncryptionContext | None,
) -> tuple[bytes | None, str | None]:
    """Return the plaintext of the ciphertext in a request, and the id of the key material if the blob names it.

    There is no plaintext in a dry run that ignores the ciphertext, or whose key is in a custom key store: that would
    have to open it.
    """
    blob = considered_ciphertext(request)
    if blob is None:
        if not _ignores_ciphertext(request):
            raise _no_ciphertext()
        return None, None
    if request.dry_run and active.key.custom_key_store_id is not None:
        _material(active, ciphertext.parse(blob))
        return None, None
    return _decrypt(context, active, blob, algorithm, encryption_context)


def _decrypt(
    context: Context,
    active: ActiveKey,
    blob: bytes,
    algorithm: EncryptionAlgorithm,
    encryption_context: EncryptionContext | None,
) -> tuple[bytes, str | None]:
    """Return the plaintext, and the id of the key material if the blob names it."""
    if algorithm is not _SYMMETRIC:
        return active.decryption_key().decrypt(blob, algorithm), None
    material, plaintext = _open(context, active, blob, encryption_context)
    return plaintext, material.material_id


def _source(context: Context, action: str, key_id: str | None, blob: bytes | None) -> Target:
    if key_id is not None:
        return on_key(context, action, key_id)
    if blob is None:
        raise _no_ciphertext()
    found = context.backends.snapshot.key_of_material(
        context.region, ciphertext.parse(blob).material_id, may_wait=context.may_wait
    )
    if found is None:
        # Its key was deleted, is in another Region, or never was. As on AWS, the words are those that refuse a key of
        # another account, so that neither reveals whether there is such a key.
        raise AccessDeniedException(hidden_denial_message(context.caller, action, implied=True))
    return Target(action, found.key.arn, found, implied=True, policy=found.policy, tags=found.key.tags)


def _open(
    context: Context, active: ActiveKey, blob: bytes, encryption_context: EncryptionContext | None
) -> tuple[LoadedMaterial, bytes]:
    parsed = ciphertext.parse(blob)
    material = _material(active, parsed)
    if active.is_external:
        material = material.used_by(context.key_user)
    return material, material.decrypt(parsed, canonical(encryption_context))


def _material(active: ActiveKey, parsed: ciphertext.CiphertextBlob) -> LoadedMaterial:
    material = active.material(parsed.material_id)
    if material is None:
        # Whether there is such a key is nothing that a caller who named another one may learn.
        raise IncorrectKeyException
    return material


def considered_ciphertext(request: DecryptRequest | ReEncryptRequest) -> bytes | None:
    """Return the ciphertext of a request; None without one, and in a dry run that ignores it."""
    return None if _ignores_ciphertext(request) else request.ciphertext_blob


def _ignores_ciphertext(request: DecryptRequest | ReEncryptRequest) -> bool:
    return bool(request.dry_run) and DryRunModifier.IGNORE_CIPHERTEXT in (request.dry_run_modifiers or ())


def _no_ciphertext() -> ValidationException:
    return ValidationException("CiphertextBlob is required unless a dry run ignores it and names a key.")
