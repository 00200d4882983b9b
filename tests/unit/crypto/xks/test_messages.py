"""The messages of the XKS proxy API. conformance/test_xks_failures.py has more that is refused."""

import base64
import json
from typing import Any

import pytest

from strongroom.crypto.external_keys import KeyUser
from strongroom.crypto.xks import messages
from strongroom.crypto.xks.messages import Sealed
from strongroom.http.outgoing import Answer
from strongroom.keys.xks_failures import XksError, XksFailure

# The example of the XKS Proxy API Specification, "Encrypt" and Appendix C.
DATA = b"project=nile,department=marketing"
EXAMPLE = {
    "authenticationTag": "vBxN2ncH1oEkR8WVXpmyYQ==",
    "ciphertext": "ghxkK1txeDNn3q8Y",
    "ciphertextDataIntegrityValue": "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc=",
    "ciphertextMetadata": "a2V5X3ZlcnNpb249MQ==",
    "initializationVector": "HMrlRw85cAJUd5Ax",
}
PLAINTEXT = b"Hello World!"
BOTH = ["ENCRYPT", "DECRYPT"]
USER = KeyUser("Encrypt", "4112f4d6", "arn:aws:iam::123456789012:user/Alice", "ebs.us-east-2.amazonaws.com")


def answer(body: object, status: int = 200, content_type: str = "application/json") -> Answer:
    return Answer(status, content_type, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_the_example_of_the_specification() -> None:
    sealed = messages.read_encrypted(answer(EXAMPLE), PLAINTEXT, DATA)
    assert sealed.metadata == b"key_version=1"
    integrity = messages.integrity_value(sealed, DATA)
    assert base64.b64encode(integrity).decode() == EXAMPLE["ciphertextDataIntegrityValue"]
    for wrong in (DATA + b"x", b""):
        with pytest.raises(XksError, match="integrity value"):
            messages.read_encrypted(answer(EXAMPLE), PLAINTEXT, wrong)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json"])
def test_content_types_may_have_parameters(content_type: str) -> None:
    assert messages.read_encrypted(answer(EXAMPLE, content_type=content_type), PLAINTEXT, DATA).tag


@pytest.mark.parametrize("content_type", ["", "text/html", "application/jsonp", "application/x-json"])
def test_what_is_not_json_is_not_read(content_type: str) -> None:
    for status in (200, 400, 503):
        with pytest.raises(XksError, match=f"HTTP status {status}, and no JSON"):
            messages.read_encrypted(answer(EXAMPLE, status, content_type), PLAINTEXT, DATA)


def test_requests_have_the_members_of_the_specification() -> None:
    arn = "arn:aws:kms:us-east-2:123456789012:key/1234abcd"
    metadata = messages.request_metadata(USER, arn)
    assert messages.encrypt_request(metadata, PLAINTEXT, DATA) == {
        "requestMetadata": {
            "awsPrincipalArn": "arn:aws:iam::123456789012:user/Alice",
            "kmsKeyArn": arn,
            "kmsOperation": "Encrypt",
            "kmsRequestId": "4112f4d6",
            "kmsViaService": "ebs.us-east-2.amazonaws.com",
        },
        "additionalAuthenticatedData": "cHJvamVjdD1uaWxlLGRlcGFydG1lbnQ9bWFya2V0aW5n",
        "plaintext": "SGVsbG8gV29ybGQh",
        "encryptionAlgorithm": "AES_GCM",
        "ciphertextDataIntegrityValueAlgorithm": "SHA_256",
    }
    sealed = messages.read_encrypted(answer(EXAMPLE), PLAINTEXT, DATA)
    decrypt = messages.decrypt_request(metadata, sealed, DATA)
    assert {name: value for name, value in decrypt.items() if name in EXAMPLE} == {
        name: value for name, value in EXAMPLE.items() if name != "ciphertextDataIntegrityValue"
    }
    assert "ciphertextMetadata" not in messages.decrypt_request(metadata, Sealed(b"c", b"i" * 12, b"t" * 16), DATA)
    assert messages.health_request(USER) == {"requestMetadata": {"kmsOperation": "Encrypt", "kmsRequestId": "4112f4d6"}}
    assert "kmsKeyArn" not in messages.request_metadata(USER)


@pytest.mark.parametrize("length", [12, 16])
def test_both_lengths_of_an_initialization_vector(length: int) -> None:
    sealed = Sealed(b"c" * 12, b"i" * length, b"t" * 16)
    body = {
        "ciphertext": base64.b64encode(sealed.ciphertext).decode(),
        "initializationVector": base64.b64encode(sealed.iv).decode(),
        "authenticationTag": base64.b64encode(sealed.tag).decode(),
        "ciphertextDataIntegrityValue": base64.b64encode(messages.integrity_value(sealed, DATA)).decode(),
    }
    assert messages.read_encrypted(answer(body), PLAINTEXT, DATA) == sealed


@pytest.mark.parametrize(
    ("metadata", "failure"),
    [
        ({"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT", "WRAP"], "keyStatus": "ENABLED"}, None),
        (
            {"keySpec": "RSA_2048", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "ENABLED"},
            XksFailure.WRONG_KEY_SPEC,
        ),
        ({"keySpec": "AES_256", "keyUsage": ["ENCRYPT"], "keyStatus": "ENABLED"}, XksFailure.INVALID_KEY_USAGE),
        ({"keySpec": "AES_256", "keyUsage": BOTH, "keyStatus": "DISABLED"}, XksFailure.INVALID_STATE),
        ({"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "?"}, XksFailure.MALFORMED),
        ({"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"] * 6, "keyStatus": "ENABLED"}, XksFailure.MALFORMED),
        ({"keySpec": "AES_256", "keyUsage": "ENCRYPT", "keyStatus": "ENABLED"}, XksFailure.MALFORMED),
    ],
)
def test_which_external_keys_can_be_used(metadata: dict[str, Any], failure: XksFailure | None) -> None:
    if failure is None:
        messages.require_usable(answer(metadata))
        return
    with pytest.raises(XksError) as refused:
        messages.require_usable(answer(metadata))
    assert refused.value.failure is failure


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"errorName": 1}'])
def test_errors_that_name_nothing(body: bytes) -> None:
    for status in (200, 400, 500):
        with pytest.raises(XksError) as refused:
            messages.require_healthy(answer(body, status))
        assert refused.value.failure is XksFailure.MALFORMED


def test_the_reason_of_a_failure_repeats_little_of_what_was_received() -> None:
    with pytest.raises(XksError) as refused:
        messages.require_healthy(answer({"errorName": "\n\x1b" + "é" * 10_000}, 400))
    assert len(refused.value.reason) < 500
    assert refused.value.reason.isprintable()
