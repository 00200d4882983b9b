"""The bodies of calls: what must be there, and what is refused with which words."""

import base64
import json
from typing import Any

import pytest

from strongroom.xks_proxy.errors import ErrorName, XksError
from strongroom.xks_proxy.paths import Call
from strongroom.xks_proxy.requests import read_decrypt, read_encrypt, read_metadata

CLAIMS = {
    "awsPrincipalArn": "arn:aws:iam::123456789012:user/Alice",
    "kmsKeyArn": "arn:aws:kms:us-east-2:123456789012:/key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "kmsOperation": "Encrypt",
    "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
}
DECRYPT = {
    "encryptionAlgorithm": "AES_GCM",
    "ciphertext": "ghxkK1txeDNn3q8Y",
    "initializationVector": "HMrlRw85cAJUd5Ax",
    "authenticationTag": "vBxN2ncH1oEkR8WVXpmyYQ==",
    "ciphertextMetadata": "a2V5X3ZlcnNpb249MQ==",
}


def b64(length: int) -> str:
    return base64.b64encode(bytes(length)).decode()


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def refusal(act: Any, *arguments: Any) -> str:
    with pytest.raises(XksError) as refused:
        act(*arguments)
    assert refused.value.name is ErrorName.VALIDATION
    assert refused.value.status == 400
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 512
    return refused.value.message


@pytest.mark.parametrize("call", Call)
def test_claims_are_read_and_what_is_new_is_ignored(call: Call) -> None:
    found = read_metadata(body(requestMetadata={**CLAIMS, "kmsOperation": "BulkEncrypt", "new": {}}, more=1), call)
    assert found.kms_operation == "BulkEncrypt"
    assert found.aws_principal_arn == CLAIMS["awsPrincipalArn"]
    assert found.kms_via_service is None


@pytest.mark.parametrize(
    ("call", "missing", "is_refused"),
    [
        (Call.HEALTH, "awsPrincipalArn", False),
        (Call.HEALTH, "kmsKeyArn", False),
        (Call.METADATA, "awsPrincipalArn", True),
        (Call.METADATA, "kmsKeyArn", False),
        (Call.ENCRYPT, "awsPrincipalArn", True),
        (Call.ENCRYPT, "kmsKeyArn", True),
        (Call.DECRYPT, "kmsKeyArn", True),
        *((call, name, True) for call in Call for name in ("kmsOperation", "kmsRequestId")),
    ],
)
def test_what_each_call_must_claim(call: Call, missing: str, *, is_refused: bool) -> None:
    text = body(requestMetadata={name: value for name, value in CLAIMS.items() if name != missing})
    if is_refused:
        assert missing in refusal(read_metadata, text, call)
    else:
        read_metadata(text, call)


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b"null", b"{", b"\xff", b'{"requestMetadata":{}}', b'{"requestMetadata":null}', b"[" * 50_000],
)
def test_bodies_without_metadata(text: bytes) -> None:
    for call in Call:
        refusal(read_metadata, text, call)


@pytest.mark.parametrize(
    "changed", [{"kmsOperation": ""}, {"kmsOperation": 1}, {"kmsRequestId": "x" * 513}, {"awsPrincipalArn": "x" * 2049}]
)
def test_claims_of_a_wrong_form(changed: dict[str, Any]) -> None:
    refusal(read_metadata, body(requestMetadata={**CLAIMS, **changed}), Call.ENCRYPT)


def test_a_whole_encrypt() -> None:
    found = read_encrypt(body(plaintext="SGVsbG8gV29ybGQh", encryptionAlgorithm="AES_GCM"))
    assert found.plaintext == b"Hello World!"
    assert found.additional_authenticated_data == b""
    assert found.ciphertext_data_integrity_value_algorithm is None


@pytest.mark.parametrize(
    "changed",
    [
        {"plaintext": None},
        {"plaintext": ""},
        {"plaintext": "SGVsbG8gV29ybGQ!"},
        {"plaintext": "SGVsbG8"},
        {"encryptionAlgorithm": "AES_CBC"},
        {"encryptionAlgorithm": None},
        {"additionalAuthenticatedData": 5},
        {"ciphertextDataIntegrityValueAlgorithm": "SHA_1"},
    ],
)
def test_what_encrypt_refuses(changed: dict[str, Any]) -> None:
    given = {"plaintext": "SGVsbG8gV29ybGQh", "encryptionAlgorithm": "AES_GCM", **changed}
    message = refusal(read_encrypt, body(**given))
    # No text of the request is in a message.
    assert "SGVsbG8" not in message


def test_the_longest_texts_that_the_specification_demands_are_taken() -> None:
    text = body(plaintext=b64(4300), encryptionAlgorithm="AES_GCM", additionalAuthenticatedData=b64(8192))
    assert len(read_encrypt(text).plaintext) == 4300


@pytest.mark.parametrize("length", [12, 16])
def test_a_whole_decrypt(length: int) -> None:
    found = read_decrypt(body(**{**DECRYPT, "initializationVector": b64(length)}))
    assert found.ciphertext_metadata == b"key_version=1"


@pytest.mark.parametrize(
    "changed",
    [
        {"ciphertext": ""},
        {"ciphertext": None},
        {"initializationVector": b64(11)},
        {"initializationVector": b64(13)},
        {"authenticationTag": b64(15)},
        {"authenticationTag": b64(17)},
        {"ciphertextMetadata": b64(21)},
        {"encryptionAlgorithm": "GCM"},
    ],
)
def test_what_decrypt_refuses(changed: dict[str, Any]) -> None:
    refusal(read_decrypt, body(**{**DECRYPT, **changed}))
