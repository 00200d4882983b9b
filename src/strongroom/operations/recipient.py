"""Attested recipients: enclaves and instances for which an answer is encrypted, so that the caller cannot read it."""

import re
from base64 import b64encode
from collections.abc import Mapping

from strongroom.crypto.documents.attestation import Attested, Platform
from strongroom.crypto.documents.cms import envelop
from strongroom.errors import ValidationException
from strongroom.operations.context import Context
from strongroom.operations.shapes import Recipient

_IMAGE = 0
"""The register that is the digest of an enclave's image."""
_RECORDED = {Platform.ENCLAVE: (0, 1, 2, 3, 4, 8), Platform.TPM: (4, 7, 8, 9, 16, 23)}
"""Registers that CloudTrail records."""
_RECORD_NAMES = {Platform.ENCLAVE: "attestationDocumentEnclavePCR", Platform.TPM: "attestationDocumentNitroTPMPCR"}
_CONDITION = re.compile(r"(pcr|nitrotpmpcr)(0|[1-9][0-9]?)")
_CONDITION_PLATFORMS = {"pcr": Platform.ENCLAVE, "nitrotpmpcr": Platform.TPM}


def attest(context: Context, recipient: Recipient) -> Attested:
    """Return the verified attestation of the recipient that a request names.

    Raises ValidationException for an incomplete recipient and for an attestation that does not verify.
    """
    if recipient.key_encryption_algorithm is None or recipient.attestation_document is None:
        raise ValidationException("Recipient needs both an AttestationDocument and a KeyEncryptionAlgorithm.")
    return context.backends.attestations.verify(recipient.attestation_document, context.now)


def hand_over(context: Context, secret: bytes) -> tuple[bytes | None, bytes | None]:
    """Return a secret as plaintext for the caller, or encrypted for the attested recipient; never both."""
    if context.attested is None:
        return secret, None
    return None, envelop(secret, context.attested.public_key, context.backends.entropy)


def attested_value(attested: Attested, name: str) -> str | None:
    """Return the value of ``kms:RecipientAttestation:NAME``, a register in lower-case hex; ``name`` in lower case."""
    found = _CONDITION.fullmatch("pcr0" if name == "imagesha384" else name)
    if found is None or _CONDITION_PLATFORMS[found[1]] is not attested.platform:
        return None
    register = attested.registers.get(int(found[2]))
    return None if register is None else register.hex()


def attested_facts(attested: Attested) -> Mapping[str, str]:
    """Return what the audit record shows of a recipient, as CloudTrail does; registers in base64.

    Source: KMS Developer Guide, "Monitoring attested requests".
    """
    facts = {"attestationDocumentModuleId": attested.module_id}
    for index in _RECORDED[attested.platform]:
        register = attested.registers.get(index)
        if register is not None:
            facts[_record_name(attested.platform, index)] = b64encode(register).decode()
    return facts


def _record_name(platform: Platform, index: int) -> str:
    if platform is Platform.ENCLAVE and index == _IMAGE:
        return "attestationDocumentEnclaveImageDigest"
    return f"{_RECORD_NAMES[platform]}{index}"
