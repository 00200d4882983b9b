"""GenerateMac and VerifyMac, under HMAC KMS keys."""

from typing_extensions import override

from strongroom.keys.algorithms import MAC, MacAlgorithm, require_algorithm
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


class GenerateMacRequest(RequestWithGrantTokens):
    """The request of GenerateMac."""

    message: Plaintext
    key_id: KeyId
    mac_algorithm: MacAlgorithm
    dry_run: bool | None = None

    @override
    def condition_parameters(self, action: str) -> ConditionParameters:
        return ConditionParameters(mac_algorithm=self.mac_algorithm)


class GenerateMacResponse(Response):
    """The response of GenerateMac."""

    mac: bytes
    mac_algorithm: MacAlgorithm
    key_id: str


class VerifyMacRequest(GenerateMacRequest, kw_only=True):
    """The request of VerifyMac."""

    mac: Ciphertext


class VerifyMacResponse(Response):
    """The response of VerifyMac; a wrong tag is an error instead."""

    key_id: str
    mac_valid: bool
    mac_algorithm: MacAlgorithm


def generate_mac(context: Context, request: GenerateMacRequest, active: ActiveKey) -> GenerateMacResponse:
    """Make the tag of a message."""
    _require(active.key, request, "GenerateMac")
    key = active.mac_key()
    require_not_dry_run(context, request.dry_run, active)
    return GenerateMacResponse(mac=key.mac(request.message), mac_algorithm=request.mac_algorithm, key_id=active.key.arn)


def verify_mac(context: Context, request: VerifyMacRequest, active: ActiveKey) -> VerifyMacResponse:
    """Verify a tag; raises KMSInvalidMacException unless it is the message's."""
    _require(active.key, request, "VerifyMac")
    active.mac_key().verify_mac(request.message, request.mac)
    require_not_dry_run(context, request.dry_run, active)
    return VerifyMacResponse(key_id=active.key.arn, mac_valid=True, mac_algorithm=request.mac_algorithm)


def _require(key: KmsKey, request: GenerateMacRequest, operation: str) -> None:
    key.require_usage(KeyUsage.GENERATE_VERIFY_MAC, operation)
    require_algorithm(request.mac_algorithm, key.spec, MAC)
