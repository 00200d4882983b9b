"""Data keys, which callers use outside of the service and store in encrypted form, and random bytes."""

from enum import StrEnum

from typing_extensions import override

from strongroom.errors import UnsupportedOperationException, ValidationException
from strongroom.keys.custom_key_stores import CustomKeyStore, CustomKeyStoreType, require_connected
from strongroom.keys.encryption_context import canonical
from strongroom.operations.context import Context, require_not_dry_run
from strongroom.operations.kms.custom_key_stores import find_custom_key_store
from strongroom.operations.recipient import hand_over
from strongroom.operations.shapes import (
    CustomKeyStoreId,
    EncryptionContext,
    KeyId,
    NumberOfBytes,
    Recipient,
    Request,
    RequestWithGrantTokens,
    Response,
)
from strongroom.snapshot.active_key import ActiveKey


class DataKeySpec(StrEnum):
    """The length of a data key, by the cipher it is for."""

    AES_256 = "AES_256"
    AES_128 = "AES_128"


_LENGTHS = {DataKeySpec.AES_256: 32, DataKeySpec.AES_128: 16}


class GenerateDataKeyWithoutPlaintextRequest(RequestWithGrantTokens):
    """The request of GenerateDataKeyWithoutPlaintext; exactly one of ``key_spec`` and ``number_of_bytes`` is set."""

    key_id: KeyId
    encryption_context: EncryptionContext | None = None
    key_spec: DataKeySpec | None = None
    number_of_bytes: NumberOfBytes | None = None
    dry_run: bool | None = None

    @override
    def encryption_context_for(self, action: str) -> EncryptionContext | None:
        return self.encryption_context


class GenerateDataKeyRequest(GenerateDataKeyWithoutPlaintextRequest):
    """The request of GenerateDataKey."""

    recipient: Recipient | None = None

    @override
    def attested_recipient(self) -> Recipient | None:
        return self.recipient


class GenerateDataKeyWithoutPlaintextResponse(Response):
    """The response of GenerateDataKeyWithoutPlaintext."""

    ciphertext_blob: bytes
    key_id: str
    key_material_id: str


class GenerateDataKeyResponse(Response):
    """The response of GenerateDataKey: the data key as plaintext, or encrypted for a recipient."""

    ciphertext_blob: bytes
    key_id: str
    plaintext: bytes | None = None
    ciphertext_for_recipient: bytes | None = None
    key_material_id: str | None = None


class GenerateRandomRequest(Request):
    """The request of GenerateRandom."""

    number_of_bytes: NumberOfBytes | None = None
    custom_key_store_id: CustomKeyStoreId | None = None
    recipient: Recipient | None = None

    @override
    def attested_recipient(self) -> Recipient | None:
        return self.recipient


class GenerateRandomResponse(Response):
    """The response of GenerateRandom: the bytes as plaintext, or encrypted for a recipient."""

    plaintext: bytes | None = None
    ciphertext_for_recipient: bytes | None = None


def generate_data_key(context: Context, request: GenerateDataKeyRequest, active: ActiveKey) -> GenerateDataKeyResponse:
    """Make a data key; return it as plaintext and encrypted."""
    secret, blob, material_id = _make(context, request, active, "GenerateDataKey")
    plaintext, for_recipient = hand_over(context, secret)
    return GenerateDataKeyResponse(
        ciphertext_blob=blob,
        key_id=active.key.arn,
        plaintext=plaintext,
        ciphertext_for_recipient=for_recipient,
        key_material_id=material_id if for_recipient is None else None,
    )


def generate_data_key_without_plaintext(
    context: Context, request: GenerateDataKeyWithoutPlaintextRequest, active: ActiveKey
) -> GenerateDataKeyWithoutPlaintextResponse:
    """Make a data key and return it only encrypted; Decrypt returns its plaintext."""
    _, blob, material_id = _make(context, request, active, "GenerateDataKeyWithoutPlaintext")
    return GenerateDataKeyWithoutPlaintextResponse(
        ciphertext_blob=blob, key_id=active.key.arn, key_material_id=material_id
    )


def generate_random(context: Context, request: GenerateRandomRequest) -> GenerateRandomResponse:
    """Return random bytes."""
    store = None
    if request.custom_key_store_id is not None:
        store = _random_source(context, request.custom_key_store_id)
    if request.number_of_bytes is None:
        raise ValidationException("NumberOfBytes is required.")
    if store is None:
        drawn = context.backends.random.random_bytes(request.number_of_bytes)
    else:
        drawn = context.backends.clusters.random_bytes(store, request.number_of_bytes)
    plaintext, for_recipient = hand_over(context, drawn)
    return GenerateRandomResponse(plaintext=plaintext, ciphertext_for_recipient=for_recipient)


def _random_source(context: Context, store_id: str) -> CustomKeyStore:
    """Return a custom key store that random bytes can come from; raises its error if the store cannot be used."""
    with context.read() as reader:
        store = find_custom_key_store(context, reader, store_id)
    if store.type is CustomKeyStoreType.EXTERNAL_KEY_STORE:
        raise UnsupportedOperationException("GenerateRandom is not supported in external key stores.")
    require_connected(store)
    return store


def _make(
    context: Context, request: GenerateDataKeyWithoutPlaintextRequest, active: ActiveKey, operation: str
) -> tuple[bytes, bytes, str]:
    length = _length(request)
    active.key.require_symmetric(operation)
    material = active.current()
    require_not_dry_run(context, request.dry_run, active)
    plaintext = context.backends.random.random_bytes(length)
    if active.is_external:
        material = material.used_by(context.key_user)
    return plaintext, material.encrypt(plaintext, canonical(request.encryption_context)), material.material_id


def _length(request: GenerateDataKeyWithoutPlaintextRequest) -> int:
    if (request.key_spec is None) == (request.number_of_bytes is None):
        raise ValidationException("Please specify either number of bytes or key spec.")
    return _LENGTHS[request.key_spec] if request.key_spec is not None else request.number_of_bytes or 0
