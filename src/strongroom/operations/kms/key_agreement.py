"""DeriveSharedSecret, under KMS keys that agree with the holder of another key."""

from typing import Annotated

from msgspec import Meta
from typing_extensions import override

from strongroom.keys.algorithms import KEY_AGREEMENT, KeyAgreementAlgorithm, require_algorithm
from strongroom.keys.specs import KeyUsage, Origin
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context, require_not_dry_run
from strongroom.operations.recipient import hand_over
from strongroom.operations.shapes import KeyId, Recipient, RequestWithGrantTokens, Response
from strongroom.snapshot.active_key import ActiveKey


class DeriveSharedSecretRequest(RequestWithGrantTokens):
    """The request of DeriveSharedSecret; ``public_key`` is the peer's SubjectPublicKeyInfo, DER."""

    key_id: KeyId
    key_agreement_algorithm: KeyAgreementAlgorithm
    public_key: Annotated[bytes, Meta(min_length=1, max_length=8192)]
    dry_run: bool | None = None
    recipient: Recipient | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(key_agreement_algorithm=self.key_agreement_algorithm)

    @override
    def attested_recipient(self) -> Recipient | None:
        return self.recipient


class DeriveSharedSecretResponse(Response):
    """The response of DeriveSharedSecret: the x-coordinate of the shared point, raw, or encrypted for a recipient."""

    key_id: str
    key_agreement_algorithm: KeyAgreementAlgorithm
    key_origin: Origin
    shared_secret: bytes | None = None
    ciphertext_for_recipient: bytes | None = None


def derive_shared_secret(
    context: Context, request: DeriveSharedSecretRequest, active: ActiveKey
) -> DeriveSharedSecretResponse:
    """Derive a secret that the peer can derive too; raises ValidationException for an invalid public key."""
    active.key.require_usage(KeyUsage.KEY_AGREEMENT, "DeriveSharedSecret")
    require_algorithm(request.key_agreement_algorithm, active.key.spec, KEY_AGREEMENT)
    secret = active.agreement_key().agree(request.public_key)
    require_not_dry_run(context, request.dry_run, active)
    shared_secret, for_recipient = hand_over(context, secret)
    return DeriveSharedSecretResponse(
        key_id=active.key.arn,
        key_agreement_algorithm=request.key_agreement_algorithm,
        key_origin=active.key.origin,
        shared_secret=shared_secret,
        ciphertext_for_recipient=for_recipient,
    )
