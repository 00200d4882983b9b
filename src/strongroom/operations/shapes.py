"""Types shared by requests and responses: AWS's shapes, their limits declared where they are used.

A contract test compares every request and response with botocore's KMS model: names, types, required members, limits
and enum values. Bytes are base64 on the wire; times are epoch seconds.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta
from typing_extensions import override

from strongroom.keys.encryption_context import MAX_SIZE
from strongroom.operations.condition_parameters import NO_PARAMETERS, ConditionParameters


class KeyEncryptionMechanism(StrEnum):
    """How an answer is encrypted for an attested recipient."""

    RSAES_OAEP_SHA_256 = "RSAES_OAEP_SHA_256"


class Recipient(msgspec.Struct, rename="pascal", frozen=True):
    """The enclave or instance for which the answer is encrypted, with its attestation."""

    key_encryption_algorithm: KeyEncryptionMechanism | None = None
    attestation_document: Annotated[bytes, Meta(min_length=1, max_length=262144)] | None = None


class Request(msgspec.Struct, rename="pascal"):
    """Base of every request. Unknown members are ignored, as AWS does.

    The methods tell the steps that all operations share what a request carries for them. A request type overrides those
    whose members it has.
    """

    def condition_parameters(self, action: str) -> ConditionParameters:  # noqa: ARG002 - for those that override it
        """Return what condition keys read, where permission for ``action`` is decided on.

        Only called when a condition asks for one of them.
        """
        return NO_PARAMETERS

    def encryption_context_for(self, action: str) -> Mapping[str, str] | None:  # noqa: ARG002 - as above
        """Return the encryption context of that part of the request which needs permission for ``action``."""
        return None

    def presented_grant_tokens(self) -> Sequence[str]:
        """Return the grant tokens that the caller sent along."""
        return ()

    def attested_recipient(self) -> Recipient | None:
        """Return the recipient that the answer has to be encrypted for; None where the caller can read it."""
        return None


class Response(msgspec.Struct, rename="pascal", omit_defaults=True):
    """Base of every response. Members at their default are left out."""


class Empty(Response):
    """The response of operations that return nothing: ``{}``."""


def matching(pattern: str, here: str | None = None) -> Meta:
    """Return the limit to a regular expression. ``here`` is its form for Python where that differs from AWS's."""
    # AWS matches the whole value; msgspec searches, and a bare ``$`` would let a final newline through.
    # \w is ASCII in AWS's patterns.
    whole = rf"\A(?:{here})\Z" if here else rf"(?a)\A(?:{pattern})\Z"
    return Meta(pattern=whole, extra={"pattern": pattern})


def at_most(maximum: int) -> Meta:
    """Return a limit of ours to the length of a member that AWS's model leaves unlimited."""
    return Meta(max_length=maximum, extra={"own_limit": True})


def characters(maximum: int) -> Meta:
    """Return the mark of a map whose keys and values have a limit together, which the operations themselves check."""
    return Meta(extra={"own_limit": True, "characters": maximum})


SENSITIVE = Meta(extra={"sensitive": True})
"""Marks a member whose value must not appear in errors and records."""

KeyId = Annotated[str, Meta(min_length=1, max_length=2048)]
AliasName = Annotated[str, Meta(min_length=1, max_length=256), matching(r"^[a-zA-Z0-9:/_-]+$")]
Description = Annotated[str, Meta(min_length=0, max_length=8192)]
Plaintext = Annotated[bytes, Meta(min_length=1, max_length=4096), SENSITIVE]
Ciphertext = Annotated[bytes, Meta(min_length=1, max_length=6144)]
EncryptionContext = Annotated[dict[str, str], characters(MAX_SIZE)]
GrantTokens = Annotated[list[Annotated[str, Meta(min_length=1, max_length=8192)]], Meta(min_length=0, max_length=10)]
NumberOfBytes = Annotated[int, Meta(ge=1, le=1024)]
PolicyName = Annotated[str, Meta(min_length=1, max_length=128), matching(r"[\w]+")]
PolicyDocument = Annotated[str, Meta(min_length=1, max_length=131072), matching(r"[\u0009\u000A\u000D\u0020-\u00FF]+")]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Marker = Annotated[str, Meta(min_length=1, max_length=1024), matching(r"[\u0020-\u00FF]*")]
RotationPeriodInDays = Annotated[int, Meta(ge=90, le=2560)]
PendingWindowInDays = Annotated[int, Meta(ge=1, le=365)]
CustomKeyStoreId = Annotated[str, Meta(min_length=1, max_length=64)]
CustomKeyStoreName = Annotated[str, Meta(min_length=1, max_length=256)]
XksKeyId = Annotated[str, Meta(min_length=1, max_length=128), matching(r"^[a-zA-Z0-9-_.]+$")]
TagKey = Annotated[str, Meta(min_length=1, max_length=128)]
TagValue = Annotated[str, Meta(min_length=0, max_length=256)]


class RequestWithGrantTokens(Request, kw_only=True):
    """Base of the requests that may carry grant tokens."""

    grant_tokens: GrantTokens | None = None

    @override
    def presented_grant_tokens(self) -> Sequence[str]:
        return self.grant_tokens or ()


class Tag(msgspec.Struct, rename="pascal", frozen=True):
    """A key-value pair on a KMS key."""

    tag_key: TagKey
    tag_value: TagValue

    @property
    def pair(self) -> tuple[str, str]:
        """Key and value."""
        return self.tag_key, self.tag_value


# More than 50 tags on one key are a TagException.
TagList = Annotated[list[Tag], at_most(1000)]
TagKeyList = Annotated[list[TagKey], at_most(1000)]
