import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from strongroom.crypto.software.aes import NONCES_LENGTH, AesBackingKey
from strongroom.entropy import Batch
from strongroom.errors import InvalidCiphertextException

KEY = bytes(range(32))
NONCES = bytes(range(100, 128))


def backing_key(key: bytes = KEY) -> AesBackingKey:
    return AesBackingKey(key, Batch(os.urandom, NONCES_LENGTH))  # noqa: TID251 - the real thing


def test_the_body_is_what_the_format_says_by_another_implementation_of_the_kdf() -> None:
    body = AesBackingKey(KEY, lambda: NONCES).encrypt(b"plaintext", b"aad")
    kdf = KBKDFHMAC(
        algorithm=SHA256(),
        mode=Mode.CounterMode,
        length=32,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=b"strongroom:encrypt:aes-256-gcm",
        context=NONCES[:16],
        fixed=None,
    )
    expected = AESGCM(kdf.derive(KEY)).encrypt(NONCES[16:], b"plaintext", b"aad")
    assert body == b"\x01" + NONCES + expected


@pytest.mark.parametrize("size", [0, 1, 15, 16, 4096])
def test_round_trip(size: int) -> None:
    key = backing_key()
    assert key.decrypt(key.encrypt(bytes(size), b"aad"), b"aad") == bytes(size)


def test_the_same_plaintext_never_encrypts_to_the_same_body() -> None:
    key = backing_key()
    assert len({key.encrypt(b"x", b"") for _ in range(1000)}) == 1000


def test_every_changed_bit_every_cut_and_other_associated_data_are_refused() -> None:
    key = backing_key()
    body = key.encrypt(b"secret", b"aad")
    altered = [
        bytes((*body[:at], body[at] ^ (1 << bit), *body[at + 1 :])) for at in range(len(body)) for bit in range(8)
    ]
    for bad in (*altered, *(body[:length] for length in range(len(body))), body + b"\x00"):
        with pytest.raises(InvalidCiphertextException):
            key.decrypt(bad, b"aad")
    with pytest.raises(InvalidCiphertextException):
        key.decrypt(body, b"AAD")
    with pytest.raises(InvalidCiphertextException):
        backing_key(bytes(32)).decrypt(body, b"aad")
