"""GetPublicKey, for asymmetric KMS keys."""

from strongroom.errors import UnsupportedOperationException
from strongroom.keys.algorithms import (
    MAC,
    EncapsulationAlgorithm,
    EncryptionAlgorithm,
    KeyAgreementAlgorithm,
    SigningAlgorithm,
)
from strongroom.keys.specs import KeySpec, KeyUsage
from strongroom.operations.context import Context
from strongroom.operations.kms.key_metadata import algorithms_of
from strongroom.operations.shapes import KeyId, RequestWithGrantTokens, Response
from strongroom.snapshot.active_key import ActiveKey


class GetPublicKeyRequest(RequestWithGrantTokens):
    """The request of GetPublicKey."""

    key_id: KeyId


class GetPublicKeyResponse(Response):
    """The response of GetPublicKey: SubjectPublicKeyInfo, DER, and the algorithms of the key's usage."""

    key_id: str
    public_key: bytes
    customer_master_key_spec: KeySpec
    key_spec: KeySpec
    key_usage: KeyUsage
    encryption_algorithms: list[EncryptionAlgorithm] | None = None
    signing_algorithms: list[SigningAlgorithm] | None = None
    key_agreement_algorithms: list[KeyAgreementAlgorithm] | None = None
    encapsulation_algorithms: list[EncapsulationAlgorithm] | None = None


def get_public_key(_context: Context, _request: GetPublicKeyRequest, active: ActiveKey) -> GetPublicKeyResponse:
    """Return the public key; raises UnsupportedOperationException for keys that have none."""
    key = active.key
    if key.spec is KeySpec.SYMMETRIC_DEFAULT or key.spec in MAC:
        raise UnsupportedOperationException(f"{key.arn} key spec is {key.spec} which is not valid for GetPublicKey.")
    able = algorithms_of(key)
    return GetPublicKeyResponse(
        key_id=key.arn,
        public_key=active.public_key(),
        customer_master_key_spec=key.spec,
        key_spec=key.spec,
        key_usage=key.usage,
        encryption_algorithms=able.encryption,
        signing_algorithms=able.signing,
        key_agreement_algorithms=able.key_agreement,
        encapsulation_algorithms=able.encapsulation,
    )
