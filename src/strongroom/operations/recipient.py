"""Attested recipients: enclaves that alone shall read an answer."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from strongroom.errors import UnsupportedOperationException


class KeyEncryptionMechanism(StrEnum):
    """How an answer is wrapped for an attested recipient."""

    RSAES_OAEP_SHA_256 = "RSAES_OAEP_SHA_256"


class Recipient(msgspec.Struct, rename="pascal", frozen=True):
    """An attested enclave that alone shall read the answer."""

    key_encryption_algorithm: KeyEncryptionMechanism | None = None
    attestation_document: Annotated[bytes, Meta(min_length=1, max_length=262144)] | None = None


def require_no_recipient(recipient: Recipient | None) -> None:
    """Refuse attested recipients, which this release does not serve; raises UnsupportedOperationException."""
    if recipient is not None:
        raise UnsupportedOperationException("Recipient is not supported.")
