"""What the public half of a key in a token does alone, and what is made of answers that no token should give."""

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from full_depth import FullDepth, full_depth
from hsm_keys import in_software, made, moved, new_material, owner_of
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.token_errors import TokenFaultError, TokenUnavailableError
from strongroom.errors import (
    InvalidCiphertextException,
    KMSInvalidSignatureException,
)
from strongroom.keys.algorithms import SIGNING, EncryptionAlgorithm, MessageType
from strongroom.keys.specs import KeySpec

RSA, P256 = KeySpec.RSA_2048, KeySpec.ECC_NIST_P256
OAEP = EncryptionAlgorithm.RSAES_OAEP_SHA_1
RAW = MessageType.RAW


@pytest.fixture(scope="module")
def depth() -> Iterator[FullDepth]:
    with full_depth() as depth:
        yield depth


@pytest.mark.parametrize("spec", [RSA, P256])
def test_public_keys_verify_and_encrypt_without_the_token(depth: FullDepth, spec: KeySpec) -> None:
    before, algorithm = in_software(spec, new_material(spec)), SIGNING[spec][0]
    key, signature = moved(depth, spec, new_material(spec)), before.sign(b"message", RAW, algorithm)
    depth.token.answers, calls = False, depth.token.calls
    try:
        key.verify(b"message", RAW, algorithm, signature)
        with pytest.raises(KMSInvalidSignatureException):
            key.verify(b"other", RAW, algorithm, signature)
        assert key.public_key() == before.public_key()
        if spec is RSA:
            assert before.decrypt(key.encrypt(b"plaintext", OAEP), OAEP) == b"plaintext"
        assert depth.token.calls == calls
        with pytest.raises(TokenUnavailableError):
            key.sign(b"message", RAW, algorithm)
    finally:
        depth.token.answers = True


@pytest.mark.parametrize("code", [c.CKR_GENERAL_ERROR, c.CKR_FUNCTION_FAILED, 0x7, 0x30, c.CKR_ENCRYPTED_DATA_INVALID])
def test_whatever_a_token_says_of_a_ciphertext_it_is_invalid_if_the_key_works(
    depth: FullDepth, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    key, decrypt = made(depth, RSA), Calls.decrypt
    wrong = key.encrypt(b"wrong", OAEP)

    def fails(calls: Calls, handle: int, ciphertext: bytes, mechanism: Any) -> bytes:
        if ciphertext == wrong:
            raise CryptokiError("C_Decrypt", code)
        return decrypt(calls, handle, ciphertext, mechanism)

    generation = depth.token.generation
    monkeypatch.setattr(Calls, "decrypt", fails)
    with pytest.raises(InvalidCiphertextException):
        key.decrypt(wrong, OAEP)
    assert depth.token.generation == generation


@pytest.mark.parametrize(
    ("code", "error"),
    [(c.CKR_GENERAL_ERROR, TokenUnavailableError), (0x30, TokenUnavailableError), (0x7, TokenFaultError)],
)
def test_a_token_that_decrypts_nothing_is_not_the_callers_fault(
    depth: FullDepth, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    key = made(depth, RSA)

    def fails(*_arguments: Any) -> bytes:
        raise CryptokiError("C_Decrypt", code)

    with monkeypatch.context() as patch:
        patch.setattr(Calls, "decrypt", fails)
        with pytest.raises(error):
            key.decrypt(key.encrypt(b"plaintext", OAEP), OAEP)
    depth.module_token._next_try = 0.0
    assert key.decrypt(key.encrypt(b"plaintext", OAEP), OAEP) == b"plaintext"


def test_the_token_is_not_asked_about_what_is_no_ciphertext_of_the_key(depth: FullDepth) -> None:
    key = made(depth, RSA)
    public = load_der_public_key(key.public_key())
    assert isinstance(public, rsa.RSAPublicKey)
    modulus = public.public_numbers().n
    calls = depth.token.calls
    for wrong in (b"", bytes(255), bytes(257), modulus.to_bytes(256), (modulus + 1).to_bytes(256), b"\xff" * 256):
        with pytest.raises(InvalidCiphertextException):
            key.decrypt(wrong, OAEP)
    assert depth.token.calls == calls
    with pytest.raises(InvalidCiphertextException):
        key.decrypt((modulus - 1).to_bytes(256), OAEP)
    assert depth.token.calls == calls + 1


@pytest.mark.parametrize("length", [0, 63, 65, 70])
def test_a_signature_that_is_not_two_numbers_is_a_fault(
    depth: FullDepth, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    key = made(depth, P256)
    monkeypatch.setattr(Calls, "sign", lambda *_arguments: bytes(length))
    with pytest.raises(TokenFaultError):
        key.sign(b"message", RAW, SIGNING[P256][0])


def test_a_shared_secret_of_another_length_is_a_fault(depth: FullDepth, monkeypatch: pytest.MonkeyPatch) -> None:
    key, attribute = made(depth, P256), Calls.attribute
    key.agree(key.public_key())
    monkeypatch.setattr(Calls, "attribute", lambda calls, handle, kind: attribute(calls, handle, kind)[1:])
    with pytest.raises(TokenFaultError):
        key.agree(key.public_key())


def test_a_point_may_be_without_its_octet_string_and_must_be_on_the_curve(
    depth: FullDepth, monkeypatch: pytest.MonkeyPatch
) -> None:
    attribute = Calls.attribute
    monkeypatch.setattr(Calls, "attribute", lambda calls, handle, kind: attribute(calls, handle, kind)[2:])
    key = made(depth, P256)
    key.verify(b"message", RAW, SIGNING[P256][0], key.sign(b"message", RAW, SIGNING[P256][0]))
    for changed in (lambda point: point[:-1] + bytes((point[-1] ^ 1,)), lambda _point: b"", lambda point: point[:40]):
        monkeypatch.setattr(
            Calls, "attribute", lambda calls, handle, kind, changed=changed: changed(attribute(calls, handle, kind))
        )
        with pytest.raises(TokenFaultError):
            depth.backend.generate(owner_of(P256))


def test_an_rsa_key_of_another_size_or_exponent_is_a_fault(depth: FullDepth, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute, given = Calls.attribute, dict[int, bytes]()

    def answers(calls: Calls, handle: int, kind: int, *length: int) -> bytes:
        return given.get(kind) or attribute(calls, handle, kind, *length)

    monkeypatch.setattr(Calls, "attribute", answers)
    for kind, value in (
        (c.CKA_MODULUS, b"\x7f" + b"\xff" * 255),
        (c.CKA_MODULUS, b"\x01" + b"\xff" * 256),
        (c.CKA_PUBLIC_EXPONENT, b"\x03"),
    ):
        given.clear()
        depth.backend.generate(owner_of(RSA))
        given[kind] = value
        with pytest.raises(TokenFaultError):
            depth.backend.generate(owner_of(RSA))


def test_a_modulus_may_have_zeros_before_it(depth: FullDepth, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute = Calls.attribute

    def answers(calls: Calls, handle: int, kind: int, *length: int) -> bytes:
        return b"\0" + attribute(calls, handle, kind, *length)

    monkeypatch.setattr(Calls, "attribute", answers)
    key = made(depth, RSA)
    key.verify(b"message", RAW, SIGNING[RSA][0], key.sign(b"message", RAW, SIGNING[RSA][0]))
