"""Sign and Verify, under asymmetric KMS keys that sign."""

from typing_extensions import override

from strongroom.keys.algorithms import SIGNING, MessageType, SigningAlgorithm, require_algorithm, require_message
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeyUsage
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context, require_not_dry_run
from strongroom.operations.shapes import (
    Ciphertext,
    KeyId,
    Plaintext,
    RequestWithGrantTokens,
    Response,
)
from strongroom.snapshot.active_key import ActiveKey


class SignRequest(RequestWithGrantTokens, kw_only=True):
    """The request of Sign."""

    key_id: KeyId
    message: Plaintext
    message_type: MessageType = MessageType.RAW
    signing_algorithm: SigningAlgorithm
    dry_run: bool | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(message_type=self.message_type, signing_algorithm=self.signing_algorithm)


class SignResponse(Response):
    """The response of Sign."""

    key_id: str
    signature: bytes
    signing_algorithm: SigningAlgorithm


class VerifyRequest(SignRequest, kw_only=True):
    """The request of Verify."""

    signature: Ciphertext


class VerifyResponse(Response):
    """The response of Verify; a wrong signature is an error instead."""

    key_id: str
    signature_valid: bool
    signing_algorithm: SigningAlgorithm


def sign(context: Context, request: SignRequest, active: ActiveKey) -> SignResponse:
    """Sign a message or its digest."""
    _require(active.key, request, "Sign")
    key = active.signing_key()
    key.require_algorithm(request.signing_algorithm)
    require_not_dry_run(context, request.dry_run, active)
    signature = key.sign(request.message, request.message_type, request.signing_algorithm)
    return SignResponse(key_id=active.key.arn, signature=signature, signing_algorithm=request.signing_algorithm)


def verify(context: Context, request: VerifyRequest, active: ActiveKey) -> VerifyResponse:
    """Verify a signature; raises KMSInvalidSignatureException unless it is the message's."""
    _require(active.key, request, "Verify")
    key = active.signing_key()
    key.verify(request.message, request.message_type, request.signing_algorithm, request.signature)
    require_not_dry_run(context, request.dry_run, active)
    return VerifyResponse(key_id=active.key.arn, signature_valid=True, signing_algorithm=request.signing_algorithm)


def _require(key: KmsKey, request: SignRequest, operation: str) -> None:
    key.require_usage(KeyUsage.SIGN_VERIFY, operation)
    require_algorithm(request.signing_algorithm, key.spec, SIGNING)
    require_message(len(request.message), request.message_type, request.signing_algorithm)
