"""Data key pairs: generated for the caller, their private key encrypted under a KMS key."""

from enum import StrEnum

from typing_extensions import override

from strongroom.crypto.data_key_pairs import KeyPair
from strongroom.errors import UnsupportedOperationException
from strongroom.keys.encryption_context import canonical
from strongroom.keys.specs import KeySpec
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context, require_not_dry_run
from strongroom.operations.recipient import hand_over
from strongroom.operations.shapes import (
    EncryptionContext,
    KeyId,
    Recipient,
    RequestWithGrantTokens,
    Response,
)
from strongroom.snapshot.active_key import ActiveKey


class DataKeyPairSpec(StrEnum):
    """The kinds of key pairs that can be made."""

    RSA_2048 = "RSA_2048"
    RSA_3072 = "RSA_3072"
    RSA_4096 = "RSA_4096"
    ECC_NIST_P256 = "ECC_NIST_P256"
    ECC_NIST_P384 = "ECC_NIST_P384"
    ECC_NIST_P521 = "ECC_NIST_P521"
    ECC_SECG_P256K1 = "ECC_SECG_P256K1"
    SM2 = "SM2"
    ECC_NIST_EDWARDS25519 = "ECC_NIST_EDWARDS25519"
    ML_KEM_512 = "ML_KEM_512"
    ML_KEM_768 = "ML_KEM_768"
    ML_KEM_1024 = "ML_KEM_1024"


class GenerateDataKeyPairWithoutPlaintextRequest(RequestWithGrantTokens, kw_only=True):
    """The request of GenerateDataKeyPairWithoutPlaintext."""

    encryption_context: EncryptionContext | None = None
    key_id: KeyId
    key_pair_spec: DataKeyPairSpec
    dry_run: bool | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(data_key_pair_spec=self.key_pair_spec)

    @override
    def encryption_context_for(self, action: str) -> EncryptionContext | None:
        return self.encryption_context


class GenerateDataKeyPairRequest(GenerateDataKeyPairWithoutPlaintextRequest, kw_only=True):
    """The request of GenerateDataKeyPair."""

    recipient: Recipient | None = None

    @override
    def attested_recipient(self) -> Recipient | None:
        return self.recipient


class GenerateDataKeyPairWithoutPlaintextResponse(Response, kw_only=True):
    """The response of GenerateDataKeyPairWithoutPlaintext: the encrypted private key and the public key."""

    private_key_ciphertext_blob: bytes
    public_key: bytes
    key_id: str
    key_pair_spec: DataKeyPairSpec
    key_material_id: str


class GenerateDataKeyPairResponse(GenerateDataKeyPairWithoutPlaintextResponse, kw_only=True):
    """The response of GenerateDataKeyPair: the private key also as plaintext, or encrypted for a recipient."""

    private_key_plaintext: bytes | None = None
    ciphertext_for_recipient: bytes | None = None


def generate_data_key_pair(
    context: Context, request: GenerateDataKeyPairRequest, active: ActiveKey
) -> GenerateDataKeyPairResponse:
    """Make a key pair; return its private key as plaintext and encrypted."""
    pair, blob, material_id = _make(context, request, active, "GenerateDataKeyPair")
    plaintext, for_recipient = hand_over(context, pair.private_key)
    return GenerateDataKeyPairResponse(
        private_key_ciphertext_blob=blob,
        private_key_plaintext=plaintext,
        ciphertext_for_recipient=for_recipient,
        public_key=pair.public_key,
        key_id=active.key.arn,
        key_pair_spec=request.key_pair_spec,
        key_material_id=material_id,
    )


def generate_data_key_pair_without_plaintext(
    context: Context, request: GenerateDataKeyPairWithoutPlaintextRequest, active: ActiveKey
) -> GenerateDataKeyPairWithoutPlaintextResponse:
    """Make a key pair; return its private key only encrypted."""
    pair, blob, material_id = _make(context, request, active, "GenerateDataKeyPairWithoutPlaintext")
    return GenerateDataKeyPairWithoutPlaintextResponse(
        private_key_ciphertext_blob=blob,
        public_key=pair.public_key,
        key_id=active.key.arn,
        key_pair_spec=request.key_pair_spec,
        key_material_id=material_id,
    )


def _make(
    context: Context, request: GenerateDataKeyPairWithoutPlaintextRequest, active: ActiveKey, operation: str
) -> tuple[KeyPair, bytes, str]:
    active.key.require_symmetric(operation)
    if active.key.custom_key_store_id is not None:
        raise UnsupportedOperationException(f"{operation} is not supported for KMS keys in custom key stores.")
    if request.key_pair_spec is DataKeyPairSpec.SM2:
        raise UnsupportedOperationException(f"KeyPairSpec {request.key_pair_spec} is not supported in this Region.")
    spec = KeySpec(request.key_pair_spec.value)
    context.backends.data_key_pairs.require_spec(spec)
    material = active.current()
    require_not_dry_run(context, request.dry_run, active)
    pair = context.backends.data_key_pairs.generate(spec)
    blob = material.encrypt(pair.private_key, canonical(request.encryption_context))
    return pair, blob, material.material_id
