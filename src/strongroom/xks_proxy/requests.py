"""The bodies of calls. What AWS KMS may add later is ignored; what is required must be there.

Claims of ``requestMetadata`` are not verified, because nothing but the signature of the whole body backs them.
Source: External Key Store Proxy API Specification 1.0.3.
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from strongroom.xks_proxy.errors import ErrorName, XksError
from strongroom.xks_proxy.paths import Call

IV_LENGTHS = (12, 16)
TAG_LENGTH = 16
MOST_METADATA = 20

_Arn = Annotated[str, Meta(min_length=1, max_length=2048)]
_Text = Annotated[str, Meta(min_length=1, max_length=512)]
_Bytes = Annotated[bytes, Meta(min_length=1)]

T = TypeVar("T", bound=msgspec.Struct)


class RequestMetadata(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What KMS says of the call that it serves. Operations that are not known yet are accepted; ids are opaque."""

    kms_operation: _Text
    kms_request_id: _Text
    aws_principal_arn: _Arn | None = None
    kms_key_arn: _Arn | None = None
    kms_via_service: _Text | None = None
    aws_source_vpc: _Text | None = None
    aws_source_vpce: _Text | None = None


class _WithMetadata(msgspec.Struct, frozen=True, rename="camel"):
    request_metadata: RequestMetadata


class EncryptParameters(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The parameters of Encrypt."""

    plaintext: _Bytes
    encryption_algorithm: Literal["AES_GCM"]
    additional_authenticated_data: bytes = b""
    ciphertext_data_integrity_value_algorithm: Literal["SHA_256"] | None = None


class DecryptParameters(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The parameters of Decrypt."""

    ciphertext: _Bytes
    encryption_algorithm: Literal["AES_GCM"]
    initialization_vector: bytes
    authentication_tag: Annotated[bytes, Meta(min_length=TAG_LENGTH, max_length=TAG_LENGTH)]
    ciphertext_metadata: Annotated[bytes, Meta(max_length=MOST_METADATA)] = b""
    additional_authenticated_data: bytes = b""


_NAME_PRINCIPAL = frozenset({Call.METADATA, Call.ENCRYPT, Call.DECRYPT})
_NAME_KEY = frozenset({Call.ENCRYPT, Call.DECRYPT})
"""The calls in which the principal, and the KMS key, must be named."""

_metadata_decoder = msgspec.json.Decoder(_WithMetadata)
_encrypt_decoder = msgspec.json.Decoder(EncryptParameters)
_decrypt_decoder = msgspec.json.Decoder(DecryptParameters)


def read_metadata(body: bytes, call: Call) -> RequestMetadata:
    """Return the request metadata of a call; raises XksError, ValidationException, if a part is missing or malformed.

    Nothing else of the body is looked at but that it is JSON.
    """
    metadata = _decoded(_metadata_decoder, body).request_metadata
    if metadata.aws_principal_arn is None and call in _NAME_PRINCIPAL:
        raise _missing("awsPrincipalArn")
    if metadata.kms_key_arn is None and call in _NAME_KEY:
        raise _missing("kmsKeyArn")
    return metadata


def read_encrypt(body: bytes) -> EncryptParameters:
    """Return the parameters of Encrypt; raises XksError, ValidationException."""
    return _decoded(_encrypt_decoder, body)


def read_decrypt(body: bytes) -> DecryptParameters:
    """Return the parameters of Decrypt; raises XksError, ValidationException."""
    parameters = _decoded(_decrypt_decoder, body)
    if len(parameters.initialization_vector) not in IV_LENGTHS:
        raise XksError(ErrorName.VALIDATION, "initializationVector must have 12 or 16 bytes")
    return parameters


def _missing(name: str) -> XksError:
    return XksError(ErrorName.VALIDATION, f"Object missing required field `{name}` - at `$.requestMetadata`")


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # What msgspec says names fields, and never their values.
        said = str(error) if isinstance(error, msgspec.DecodeError) else "the body is no JSON"
        raise XksError(ErrorName.VALIDATION, said) from None
