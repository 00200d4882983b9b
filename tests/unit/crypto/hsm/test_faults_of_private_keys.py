"""What keys in a token do while it is away, and what is made of answers that no token should give."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from full_depth import FullDepth, address_of, full_depth, full_depth_at
from hsm_keys import in_software, made, moved, new_material, owner_of
from softhsm import FaultyModule
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.return_codes import CryptokiError
from strongroom.crypto.token_errors import TokenFaultError, TokenUnavailableError
from strongroom.errors import (
    InvalidCiphertextException,
    KMSInvalidSignatureException,
    UnsupportedOperationException,
    ValidationException,
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


class Faulty:
    """A key back end over a module that fails on command."""

    def __init__(self, depth: FullDepth, module: FaultyModule) -> None:
        self.depth = depth
        self.module = module


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    module = FaultyModule(tmp_path)
    for name, value in module.environment.items():
        monkeypatch.setenv(name, value)
    with address_of("softhsm") as address, full_depth_at(replace(address, module=module.path)) as depth:
        yield Faulty(depth, module)
        module.behave("")


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


def test_a_token_that_is_gone_is_told_from_a_wrong_ciphertext_and_a_wrong_peer(faulty: Faulty) -> None:
    rsa, p256 = made(faulty.depth, RSA), made(faulty.depth, P256)
    ciphertext = rsa.encrypt(b"plaintext", OAEP)
    uses: tuple[Callable[[], bytes], ...] = (
        lambda: rsa.sign(b"message", RAW, SIGNING[RSA][0]),
        lambda: rsa.decrypt(ciphertext, OAEP),
        lambda: p256.sign(b"message", RAW, SIGNING[P256][0]),
        lambda: p256.agree(p256.public_key()),
    )
    for use in uses:
        use()
    faulty.module.behave("gone")
    for use in uses:
        with pytest.raises(TokenUnavailableError):
            use()
    with pytest.raises(ValidationException):
        p256.agree(b"")
    with pytest.raises(InvalidCiphertextException):
        rsa.decrypt(b"", OAEP)
    faulty.module.behave("")
    assert wait_for(faulty, lambda: rsa.decrypt(ciphertext, OAEP)) == b"plaintext"
    assert p256.agree(p256.public_key())


def wait_for(faulty: Faulty, use: Any) -> Any:
    """Use a key until the token is back."""
    while True:
        try:
            return use()
        except TokenUnavailableError:
            faulty.depth.module_token._next_try = 0.0


@pytest.mark.parametrize("spec", [RSA, P256])
def test_keys_of_a_token_that_signs_wrongly_are_refused(faulty: Faulty, spec: KeySpec) -> None:
    faulty.depth.backend.generate(owner_of(spec))
    faulty.module.behave("wrong")
    for material in (None, new_material(spec)):
        with pytest.raises(UnsupportedOperationException, match="comes back as another"):
            made(faulty.depth, spec) if material is None else moved(faulty.depth, spec, material)


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
    attribute = Calls.attribute
    for kind, value in ((c.CKA_MODULUS, b"\x7f" + b"\xff" * 255), (c.CKA_PUBLIC_EXPONENT, b"\x03")):
        monkeypatch.setattr(
            Calls,
            "attribute",
            lambda calls, handle, asked, kind=kind, value=value: (
                value if asked == kind else attribute(calls, handle, asked)
            ),
        )
        with pytest.raises(TokenFaultError):
            depth.backend.generate(owner_of(RSA))
