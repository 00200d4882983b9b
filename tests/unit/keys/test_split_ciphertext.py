"""Ciphertexts in parts: with the real back end's key, every part is authenticated, and no blob opens as another."""

import pytest

from strongroom.crypto.software.aes import AesBackingKey
from strongroom.entropy import system_entropy
from strongroom.errors import InvalidCiphertextException
from strongroom.keys import ciphertext, split_ciphertext
from strongroom.keys.split_ciphertext import SplitCiphertext, associated_data, join, may_be_of, split

ID = "a1b2c3" + "00" * 29
OTHER = "a1b2c3" + "11" * 29
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def key() -> AesBackingKey:
    return AesBackingKey(system_entropy(32), lambda: system_entropy(28))


def sealed(key: AesBackingKey, plaintext: bytes, sent: bytes = b"aad") -> SplitCiphertext:
    return split(key.encrypt(plaintext, associated_data(ID, KEY_ID, sent)), ID)


def opened(key: AesBackingKey, parts: SplitCiphertext, sent: bytes = b"aad", material_id: str = ID) -> bytes:
    return key.decrypt(join(parts), associated_data(material_id, KEY_ID, sent))


@pytest.mark.parametrize("length", [1, 12, 4300])
def test_the_parts_have_the_lengths_of_the_specification_and_come_back(key: AesBackingKey, length: int) -> None:
    parts = sealed(key, bytes(length))
    assert (len(parts.metadata), len(parts.iv), len(parts.tag)) == (20, 12, 16)
    assert len(parts.ciphertext) == length
    assert may_be_of(parts, ID)
    assert may_be_of(parts, OTHER)
    assert not may_be_of(parts, "ff" * 32)
    assert opened(key, parts) == bytes(length)


def test_each_bit_of_each_part_is_authenticated(key: AesBackingKey) -> None:
    parts = sealed(key, b"text")
    for name in ("metadata", "iv", "ciphertext", "tag"):
        whole = getattr(parts, name)
        for bit in range(8 * len(whole)):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            fields = {each: getattr(parts, each) for each in ("metadata", "iv", "ciphertext", "tag")}
            changed = SplitCiphertext(**{**fields, name: bytes(damaged)})
            if not may_be_of(changed, ID):
                continue
            with pytest.raises(InvalidCiphertextException):
                opened(key, changed)


def test_other_associated_data_or_material_does_not_open_it(key: AesBackingKey) -> None:
    parts = sealed(key, b"text")
    for sent in (b"", b"aa", b"aadd", b"aad\x00"):
        with pytest.raises(InvalidCiphertextException):
            opened(key, parts, sent)
    with pytest.raises(InvalidCiphertextException):
        opened(key, parts, material_id=OTHER)


@pytest.mark.parametrize("context", [b"", b"\x00\x03aad", b"aad"])
def test_a_blob_of_one_interface_does_not_open_at_the_other(key: AesBackingKey, context: bytes) -> None:
    parts = sealed(key, b"text")
    header = ciphertext.header(ID)
    with pytest.raises(InvalidCiphertextException):
        key.decrypt(join(parts), ciphertext.associated_data(header, KEY_ID, context))
    blob = split(key.encrypt(b"text", ciphertext.associated_data(header, KEY_ID, context)), ID)
    for sent in (context, context[2:]):
        with pytest.raises(InvalidCiphertextException):
            opened(key, blob, sent)


@pytest.mark.parametrize(
    "parts",
    [
        SplitCiphertext(b"", bytes(12), b"c", bytes(16)),
        SplitCiphertext(b"\x01" + bytes(18), bytes(12), b"c", bytes(16)),
        SplitCiphertext(b"\x02" + bytes(19), bytes(12), b"c", bytes(16)),
        SplitCiphertext(b"\x01" + bytes(19), bytes(16), b"c", bytes(16)),
    ],
)
def test_parts_that_no_key_here_has_made(parts: SplitCiphertext) -> None:
    with pytest.raises(InvalidCiphertextException):
        join(parts)


def test_a_body_of_another_suite_has_no_such_parts() -> None:
    with pytest.raises(ValueError, match="suite 02"):
        split(b"\x02" + bytes(60), ID)


def test_associated_data_has_a_bound() -> None:
    assert associated_data(ID, KEY_ID, bytes(split_ciphertext.MOST_ASSOCIATED_DATA))
    with pytest.raises(ValueError, match="too long"):
        associated_data(ID, KEY_ID, bytes(split_ciphertext.MOST_ASSOCIATED_DATA + 1))
