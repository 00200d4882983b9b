"""DeriveSharedSecret, under KMS keys that agree with the holder of another key."""

from typing import Annotated

from msgspec import Meta

from strongroom.keys.algorithms import KEY_AGREEMENT, KeyAgreementAlgorithm, require_algorithm
from strongroom.keys.specs import KeyUsage, Origin
from strongroom.operations.context import Context
from strongroom.operations.key_usage import require_usage, require_wet_run
from strongroom.operations.recipient import Recipient, require_no_recipient
from strongroom.operations.shapes import GrantTokens, KeyId, Request, Response
from strongroom.snapshot.active_key import ActiveKey


class DeriveSharedSecretRequest(Request):
    """What DeriveSharedSecret takes; ``public_key`` is the peer's SubjectPublicKeyInfo, DER."""

    key_id: KeyId
    key_agreement_algorithm: KeyAgreementAlgorithm
    public_key: Annotated[bytes, Meta(min_length=1, max_length=8192)]
    grant_tokens: GrantTokens | None = None
    dry_run: bool | None = None
    recipient: Recipient | None = None


class DeriveSharedSecretResponse(Response):
    """What DeriveSharedSecret returns: the x-coordinate of the shared point, unhashed."""

    key_id: str
    shared_secret: bytes
    key_agreement_algorithm: KeyAgreementAlgorithm
    key_origin: Origin


def derive_shared_secret(
    _context: Context, request: DeriveSharedSecretRequest, active: ActiveKey
) -> DeriveSharedSecretResponse:
    """Derive a secret that the peer can derive too; raises ValidationException for what is no peer's public key."""
    require_no_recipient(request.recipient)
    require_usage(active.key, KeyUsage.KEY_AGREEMENT, "DeriveSharedSecret")
    require_algorithm(request.key_agreement_algorithm, active.key.spec, KEY_AGREEMENT)
    require_wet_run(request.dry_run)
    return DeriveSharedSecretResponse(
        key_id=active.key.arn,
        shared_secret=active.agreement_key().agree(request.public_key),
        key_agreement_algorithm=request.key_agreement_algorithm,
        key_origin=active.key.origin,
    )
