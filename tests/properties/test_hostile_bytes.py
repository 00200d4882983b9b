"""Arbitrary bytes as a signature, ciphertext, tag or peer's key: they get a typed refusal, and nothing else."""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.crypto.domain_keys import DomainKeys, create_domain_key
from strongroom.crypto.material import MaterialBinding
from strongroom.crypto.seals.root_key import RootKey, RootKeySeal
from strongroom.crypto.software.imported_material import accepted_material
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.errors import (
    IncorrectKeyMaterialException,
    InvalidCiphertextException,
    KmsError,
    KMSInvalidMacException,
    KMSInvalidSignatureException,
    ValidationException,
)
from strongroom.keys.algorithms import ENCAPSULATION, ENCRYPTION, KEY_AGREEMENT, MAC, SIGNING, MessageType
from strongroom.keys.specs import KeySpec

entropy = os.urandom  # noqa: TID251 - tests want the real thing
SMALL = [spec for spec in KeySpec if spec not in {KeySpec.RSA_3072, KeySpec.RSA_4096, KeySpec.SM2}]
IMPORTED = [KeySpec.RSA_2048, KeySpec.ECC_NIST_P256, KeySpec.ECC_SECG_P256K1, KeySpec.ECC_NIST_EDWARDS25519]
MESSAGE = bytes(64)


class Edit:
    """A change of a byte string: bytes of it replaced, inserted or cut out, or all of it replaced."""

    def __init__(self, at: int, cut: int, inserted: bytes, *, whole: bool) -> None:
        self._at, self._cut, self._inserted, self._whole = at, cut, inserted, whole

    def __call__(self, value: bytes) -> bytes:
        at = self._at % (len(value) + 1)
        return self._inserted if self._whole else value[:at] + self._inserted + value[at + self._cut :]


edits = st.builds(
    Edit, st.integers(0, 8192), st.integers(0, 4), st.binary(max_size=4), whole=st.just(value=False)
) | st.builds(Edit, st.just(0), st.just(0), st.binary(max_size=6144), whole=st.just(value=True))


@cache
def key_of(spec: KeySpec) -> Any:
    seal = RootKeySeal(RootKey(bytes(32)), entropy)
    backend = SoftwareKeyBackend(DomainKeys([create_domain_key("us-east-1", 1, seal, entropy)], seal, entropy), entropy)
    owner = MaterialBinding("111122223333", "us-east-1", "key", "ab" * 32, spec)
    return backend.load(backend.generate(owner), owner)


def refuses(use: Callable[..., object], good: bytes, edit: Edit, refusal: type[KmsError], *how: Any) -> None:
    bad = edit(good)
    if bad != good:
        with pytest.raises(refusal):
            use(bad, *how)


@pytest.mark.parametrize("spec", [spec for spec in SIGNING if spec in SMALL])
@given(edit=edits)
def test_signatures(spec: KeySpec, edit: Edit) -> None:
    key = key_of(spec)
    for algorithm in SIGNING[spec]:
        good = key.sign(MESSAGE, MessageType.RAW, algorithm)
        verify = partial(key.verify, MESSAGE, MessageType.RAW, algorithm)
        refuses(verify, good, edit, KMSInvalidSignatureException)


@pytest.mark.parametrize("spec", [spec for spec in ENCRYPTION if spec in SMALL])
@given(edit=edits)
def test_ciphertexts(spec: KeySpec, edit: Edit) -> None:
    key = key_of(spec)
    how: list[Any] = [b"bound"] if spec is KeySpec.SYMMETRIC_DEFAULT else list(ENCRYPTION[spec])
    for each in how:
        good = key.encrypt(MESSAGE, each)
        refuses(key.decrypt, good, edit, InvalidCiphertextException, each)


@pytest.mark.parametrize("spec", MAC)
@given(edit=edits)
def test_tags(spec: KeySpec, edit: Edit) -> None:
    key = key_of(spec)
    refuses(partial(key.verify_mac, MESSAGE), key.mac(MESSAGE), edit, KMSInvalidMacException)


@pytest.mark.parametrize("spec", ENCAPSULATION)
@given(edit=edits)
def test_encapsulated_secrets(spec: KeySpec, edit: Edit) -> None:
    """Of the right length, they give an unrelated secret."""
    key = key_of(spec)
    secret, good = key.encapsulate()
    bad = edit(good)
    if len(bad) != len(good):
        refuses(key.decapsulate, good, edit, InvalidCiphertextException)
    else:
        assert (key.decapsulate(bad) == secret) == (bad == good)


@cache
def private_keys() -> list[bytes]:
    """Return private keys of every kind that PKCS #8 has a name for, also those that no key spec accepts."""
    keys = (
        *(kind.generate() for kind in (Ed25519PrivateKey, Ed448PrivateKey, X25519PrivateKey, X448PrivateKey)),
        *(ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP256K1())),
        rsa.generate_private_key(65537, 2048),
        dsa.generate_private_key(2048),
    )
    return [key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()) for key in keys]


@settings(max_examples=500)
@given(data=st.data(), edit=edits, spec=st.sampled_from(IMPORTED))
def test_private_keys(data: st.DataObject, edit: Edit, spec: KeySpec) -> None:
    """An edited private key is taken if it still is one of the spec; everything else is refused."""
    with suppress(IncorrectKeyMaterialException):
        accepted_material(edit(data.draw(st.sampled_from(private_keys()))), spec)


@pytest.mark.parametrize("name", ["2b6571", "2b656f"])
@pytest.mark.parametrize("spec", IMPORTED)
def test_a_private_key_under_the_name_of_a_longer_one(spec: KeySpec, name: str) -> None:
    """Named Ed448 or X448 (RFC 8410), it makes the library raise an exception of another kind."""
    ed25519 = private_keys()[0]
    with pytest.raises(IncorrectKeyMaterialException):
        accepted_material(ed25519.replace(bytes.fromhex("2b6570"), bytes.fromhex(name)), spec)


@pytest.mark.parametrize("spec", [spec for spec in KEY_AGREEMENT if spec in SMALL])
@settings(max_examples=300)
@given(edit=edits)
def test_peers(spec: KeySpec, edit: Edit) -> None:
    """An edited point that is on the curve still is a peer; everything else is refused."""
    key = key_of(spec)
    try:
        secret = key.agree(edit(key.public_key()))
    except ValidationException:
        return
    assert len(secret) == {"256": 32, "384": 48, "521": 66}[spec[-3:]]
