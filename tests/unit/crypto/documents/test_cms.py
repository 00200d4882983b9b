"""``CiphertextForRecipient``: AWS's format, and openssl decrypts it."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from openssl_cms import decrypt, describe
from strongroom.crypto.documents.cms import envelop
from strongroom.errors import ValidationException

entropy = os.urandom  # noqa: TID251 - the real thing

# Recorded from AWS: Decrypt of 28 bytes for an RSA-2048 key. Only identifier, key, vector and content differ.
AWS_SHAPE = (
    "308006092a864886f70d010703a08030800201023182016b308201670201028020",
    "303c06092a864886f70d010107302fa00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d0609608648016503040201050004820100",
    "308006092a864886f70d010701301d060960864801650304012a0410",
    "a0800420",
    "00000000000000000000",
)
VARYING = (32, 256, 16, 32, 0)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_the_shape_is_that_of_aws(key: rsa.RSAPrivateKey) -> None:
    message = envelop(b"hello world - goodbye world!", key.public_key(), entropy)
    at = 0
    for fixed, varying in zip(AWS_SHAPE, VARYING, strict=True):
        expected = bytes.fromhex(fixed)
        assert message[at : at + len(expected)] == expected
        at += len(expected) + varying
    assert at == len(message) == 477


@pytest.mark.parametrize("size", [1, 15, 16, 17, 32, 4096])
@pytest.mark.parametrize("bits", [2048, 4096])
def test_openssl_opens_it(tmp_path: Path, size: int, bits: int) -> None:
    key = rsa.generate_private_key(65537, bits)
    secret = entropy(size)
    message = envelop(secret, key.public_key(), entropy)
    assert decrypt(message, key, tmp_path) == secret
    # The limit of the member in the model.
    assert len(message) <= 6144


def test_openssl_reads_its_parts(key: rsa.RSAPrivateKey) -> None:
    described = describe(envelop(b"x", key.public_key(), entropy))
    for part in ("pkcs7-envelopedData", "d.subjectKeyIdentifier", "rsaesOaep", "aes-256-cbc", "mgf1"):
        assert part in described
    assert described.count(":sha256") == 2


def test_no_two_are_alike(key: rsa.RSAPrivateKey) -> None:
    first, second = (envelop(b"x" * 16, key.public_key(), entropy) for _ in range(2))
    assert first[-60:] != second[-60:]


def test_a_public_key_that_cannot_encrypt(key: rsa.RSAPrivateKey) -> None:
    even = rsa.RSAPublicNumbers(3, key.public_key().public_numbers().n + 1).public_key()
    with pytest.raises(ValidationException, match="cannot encrypt"):
        envelop(b"x", even, entropy)
