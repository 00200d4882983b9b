"""Private keys in a token that is gone, or signs wrongly, or has less room than there are keys.

A module has one token at a time, and the one that fails on command calls SoftHSM. So each test here has its own.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec.structs import replace

from full_depth import FullDepth, Module, address_of, full_depth, full_depth_at
from hsm_keys import made, moved, new_material, owner_of
from softhsm import FaultyModule
from strongroom.crypto.key_encodings import spki
from strongroom.crypto.token_errors import TokenUnavailableError
from strongroom.errors import InvalidCiphertextException, UnsupportedOperationException, ValidationException
from strongroom.keys.algorithms import SIGNING, EncryptionAlgorithm, MessageType
from strongroom.keys.specs import KeySpec

RSA, P256 = KeySpec.RSA_2048, KeySpec.ECC_NIST_P256
OAEP = EncryptionAlgorithm.RSAES_OAEP_SHA_1
RAW = MessageType.RAW


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


def test_a_token_that_is_gone_is_told_from_a_wrong_ciphertext_and_a_wrong_peer(faulty: Faulty) -> None:
    rsa_key, p256 = made(faulty.depth, RSA), made(faulty.depth, P256)
    ciphertext = rsa_key.encrypt(b"plaintext", OAEP)
    uses: tuple[Callable[[], bytes], ...] = (
        lambda: rsa_key.sign(b"message", RAW, SIGNING[RSA][0]),
        lambda: rsa_key.decrypt(ciphertext, OAEP),
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
        rsa_key.decrypt(b"", OAEP)
    faulty.module.behave("")
    assert wait_for(faulty, lambda: rsa_key.decrypt(ciphertext, OAEP)) == b"plaintext"
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


@pytest.mark.parametrize("module", ["softhsm", "nss"])
def test_threads_get_the_signatures_and_secrets_of_their_own_keys(module: Module) -> None:
    """More keys than handles, in more threads than keys: each evicts the keys of others."""
    specs = (RSA, P256, KeySpec.ECC_NIST_P384, KeySpec.ECC_NIST_P521)
    with full_depth(module, handles=2) as depth:
        keys = [made(depth, spec) for spec in specs]
        peers = [ec.generate_private_key(public_key_of(key).curve) for key in keys[1:]]
        shared = [peer.exchange(ec.ECDH(), public_key_of(key)) for key, peer in zip(keys[1:], peers, strict=True)]

        def use(number: int) -> None:
            place = number % len(keys)
            key, algorithm = keys[place], SIGNING[specs[place]][0]
            for round_number in range(8):
                message = b"%d %d" % (number, round_number)
                key.verify(message, RAW, algorithm, key.sign(message, RAW, algorithm))
                if place:
                    assert key.agree(spki(peers[place - 1].public_key())) == shared[place - 1]

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(use, range(16)))


def public_key_of(key: Any) -> ec.EllipticCurvePublicKey:
    public = load_der_public_key(key.public_key())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public
