"""The messages of the XKS proxy API, and the strict reading of what a proxy answers.

Source: AWS KMS XKS Proxy API Specification 1.0.3. A proxy is not trusted to keep to it: whatever it answers has the
right form and lengths, and the integrity value that was asked for, or the call has failed.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import TypeVar

import msgspec

from strongroom.crypto.external_keys import KeyUser
from strongroom.http.outgoing import Answer
from strongroom.keys.xks_failures import ERROR_NAMES, XksError, XksFailure

IV_LENGTHS = frozenset({12, 16})
TAG_LENGTH = 16
MAX_METADATA_LENGTH = 20

_OK = 200
_JSON = "application/json"
_ENCRYPTS_AND_DECRYPTS = {"ENCRYPT", "DECRYPT"}
_MAX_USAGES = 10
_MAX_NAME = 100

T = TypeVar("T")


class Sealed(msgspec.Struct, frozen=True):
    """What a proxy makes of a plaintext; ``metadata`` is its own, and goes back to it with the rest."""

    ciphertext: bytes
    iv: bytes
    tag: bytes
    metadata: bytes = b""


class _Fleet(msgspec.Struct, frozen=True, rename="camel"):
    """One external key manager behind a proxy."""

    health_status: str


class _Health(msgspec.Struct, frozen=True, rename="camel"):
    xks_proxy_fleet_size: int
    xks_proxy_vendor: str
    xks_proxy_model: str
    ekm_vendor: str
    ekm_fleet_details: list[_Fleet]


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    key_spec: str
    key_usage: list[str]
    key_status: str


class _Encrypted(msgspec.Struct, frozen=True, rename="camel"):
    ciphertext: str
    initialization_vector: str
    authentication_tag: str
    ciphertext_data_integrity_value: str
    ciphertext_metadata: str | None = None


class _Decrypted(msgspec.Struct, frozen=True, rename="camel"):
    plaintext: str


class _Error(msgspec.Struct, frozen=True, rename="camel"):
    error_name: str


# --- requests


def request_metadata(user: KeyUser, key_arn: str | None = None) -> dict[str, str]:
    """Return ``requestMetadata``; ``key_arn`` is that of the KMS key, for the calls that use one."""
    found = {"awsPrincipalArn": user.principal, "kmsOperation": user.operation, "kmsRequestId": user.request_id}
    if key_arn is not None:
        found["kmsKeyArn"] = key_arn
    if user.via_service is not None:
        found["kmsViaService"] = user.via_service
    return found


def health_request(user: KeyUser) -> dict[str, object]:
    """Return the body of GetHealthStatus, which has no principal."""
    return {"requestMetadata": {"kmsOperation": user.operation, "kmsRequestId": user.request_id}}


def encrypt_request(metadata: Mapping[str, str], plaintext: bytes, associated_data: bytes) -> dict[str, object]:
    """Return the body of Encrypt. It always asks for the integrity value."""
    return {
        "requestMetadata": metadata,
        "plaintext": _text(plaintext),
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": _text(associated_data),
        "ciphertextDataIntegrityValueAlgorithm": "SHA_256",
    }


def decrypt_request(metadata: Mapping[str, str], sealed: Sealed, associated_data: bytes) -> dict[str, object]:
    """Return the body of Decrypt."""
    body: dict[str, object] = {
        "requestMetadata": metadata,
        "ciphertext": _text(sealed.ciphertext),
        "encryptionAlgorithm": "AES_GCM",
        "additionalAuthenticatedData": _text(associated_data),
        "initializationVector": _text(sealed.iv),
        "authenticationTag": _text(sealed.tag),
    }
    return body | ({"ciphertextMetadata": _text(sealed.metadata)} if sealed.metadata else {})


# --- answers


def require_healthy(answer: Answer) -> None:
    """Read the answer of GetHealthStatus; raises XksError unless some key manager is there."""
    health = _read(answer, _Health)
    if health.xks_proxy_fleet_size < 1 or not health.ekm_fleet_details:
        raise _malformed("a fleet is empty")
    states = {each.health_status for each in health.ekm_fleet_details}
    if not states <= {"ACTIVE", "DEGRADED", "UNAVAILABLE"}:
        raise _malformed("a health status is none of the specification")
    if states == {"UNAVAILABLE"}:
        raise XksError(XksFailure.MANAGERS_UNAVAILABLE)


def require_usable(answer: Answer) -> None:
    """Read the answer of GetKeyMetadata; raises XksError unless the key can be behind a KMS key."""
    found = _read(answer, _Metadata)
    if len(found.key_usage) > _MAX_USAGES:
        raise _malformed("there are more than ten key usages")
    if found.key_spec != "AES_256":
        raise XksError(XksFailure.WRONG_KEY_SPEC)
    if not set(found.key_usage) >= _ENCRYPTS_AND_DECRYPTS:
        raise XksError(XksFailure.INVALID_KEY_USAGE)
    if found.key_status != "ENABLED":
        if found.key_status != "DISABLED":
            raise _malformed("a key status is none of the specification")
        raise XksError(XksFailure.INVALID_STATE)


def read_encrypted(answer: Answer, plaintext: bytes, associated_data: bytes) -> Sealed:
    """Read the answer of Encrypt; raises XksError unless lengths and integrity value are right."""
    found = _read(answer, _Encrypted)
    sealed = Sealed(
        ciphertext=_bytes(found.ciphertext),
        iv=_bytes(found.initialization_vector),
        tag=_bytes(found.authentication_tag),
        metadata=_bytes(found.ciphertext_metadata or ""),
    )
    if len(sealed.ciphertext) != len(plaintext):
        raise _malformed("the ciphertext is not as long as the plaintext")
    if len(sealed.iv) not in IV_LENGTHS or len(sealed.tag) != TAG_LENGTH or len(sealed.metadata) > MAX_METADATA_LENGTH:
        raise _malformed("an initialization vector, a tag or metadata has a wrong length")
    if _bytes(found.ciphertext_data_integrity_value) != integrity_value(sealed, associated_data):
        raise _malformed("the integrity value is wrong")
    return sealed


def read_decrypted(answer: Answer, sealed: Sealed) -> bytes:
    """Read the answer of Decrypt; raises XksError unless its length is right."""
    plaintext = _bytes(_read(answer, _Decrypted).plaintext)
    if len(plaintext) != len(sealed.ciphertext):
        raise _malformed("the plaintext is not as long as the ciphertext")
    return plaintext


def integrity_value(sealed: Sealed, associated_data: bytes) -> bytes:
    """Return the ciphertext data integrity value: SHA-256 over AAD, metadata, IV, ciphertext and tag."""
    return sha256(associated_data + sealed.metadata + sealed.iv + sealed.ciphertext + sealed.tag).digest()


def _read(answer: Answer, kind: type[T]) -> T:
    """Return the body of an answer; raises XksError for errors, and for whatever is not as specified."""
    if answer.content_type.partition(";")[0].strip().lower() != _JSON:
        raise _malformed(f"HTTP status {answer.status}, and no JSON")
    if answer.status != _OK:
        raise _named_error(answer)
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _malformed("the JSON is not as specified") from None


def _named_error(answer: Answer) -> XksError:
    try:
        name = msgspec.json.decode(answer.body, type=_Error).error_name
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _malformed(f"HTTP status {answer.status}, and no error name")
    if name not in ERROR_NAMES:
        return _malformed(f"HTTP status {answer.status}, and {name[:_MAX_NAME]!a} is no error name")
    return XksError(XksFailure(name), f"HTTP status {answer.status}")


def _bytes(text: str) -> bytes:
    try:
        found = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("a value is not base64") from None
    # One encoding for each value: stray bits in the last character are refused too.
    if _text(found) != text:
        raise _malformed("a value is not base64")
    return found


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _malformed(reason: str) -> XksError:
    return XksError(XksFailure.MALFORMED, reason)
