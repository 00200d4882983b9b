"""Encapsulate and Decapsulate, under ML-KEM KMS keys."""

from typing_extensions import override

from strongroom.keys.algorithms import ENCAPSULATION, EncapsulationAlgorithm, require_algorithm
from strongroom.keys.kms_key import KmsKey
from strongroom.keys.specs import KeyUsage
from strongroom.operations.condition_parameters import ConditionParameters
from strongroom.operations.context import Context, require_not_dry_run
from strongroom.operations.shapes import Ciphertext, KeyId, RequestWithGrantTokens, Response
from strongroom.snapshot.active_key import ActiveKey


class EncapsulateRequest(RequestWithGrantTokens):
    """The request of Encapsulate."""

    key_id: KeyId
    encapsulation_algorithm: EncapsulationAlgorithm
    dry_run: bool | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(encapsulation_algorithm=self.encapsulation_algorithm)


class EncapsulateResponse(Response):
    """The response of Encapsulate: a fresh secret, and its ciphertext."""

    key_id: str
    shared_secret: bytes
    shared_secret_ciphertext_blob: bytes
    encapsulation_algorithm: EncapsulationAlgorithm


class DecapsulateRequest(EncapsulateRequest, kw_only=True):
    """The request of Decapsulate."""

    shared_secret_ciphertext_blob: Ciphertext


class DecapsulateResponse(Response):
    """The response of Decapsulate."""

    key_id: str
    shared_secret: bytes
    encapsulation_algorithm: EncapsulationAlgorithm


def encapsulate(context: Context, request: EncapsulateRequest, active: ActiveKey) -> EncapsulateResponse:
    """Make a secret, and a ciphertext from which only this key can decapsulate it."""
    _require(active.key, request, "Encapsulate")
    key = active.encapsulation_key()
    require_not_dry_run(context, request.dry_run, active)
    secret, blob = key.encapsulate()
    return EncapsulateResponse(
        key_id=active.key.arn,
        shared_secret=secret,
        shared_secret_ciphertext_blob=blob,
        encapsulation_algorithm=request.encapsulation_algorithm,
    )


def decapsulate(context: Context, request: DecapsulateRequest, active: ActiveKey) -> DecapsulateResponse:
    """Return the secret in a ciphertext.

    One that was made for another key gives a pseudorandom secret (FIPS 203, 6.3).
    """
    _require(active.key, request, "Decapsulate")
    secret = active.encapsulation_key().decapsulate(request.shared_secret_ciphertext_blob)
    require_not_dry_run(context, request.dry_run, active)
    return DecapsulateResponse(
        key_id=active.key.arn,
        shared_secret=secret,
        encapsulation_algorithm=request.encapsulation_algorithm,
    )


def _require(key: KmsKey, request: EncapsulateRequest, operation: str) -> None:
    key.require_usage(KeyUsage.ENCAPSULATE_DECAPSULATE, operation)
    require_algorithm(request.encapsulation_algorithm, key.spec, ENCAPSULATION)
