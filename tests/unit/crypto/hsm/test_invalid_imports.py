"""Imports into two tokens that must fail: damaged bytes, material of another kind, wrapping keys of others."""

import gc
from collections.abc import Iterator
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace

from full_depth import FullDepth, full_depth
from hsm_imports import (
    ELLIPTIC,
    KEY_WRAP_SHA_1,
    OAEP_SHA_1,
    OAEP_SHA_256,
    SECRET_LENGTHS,
    Importer,
    importer,
    material_of,
    pkcs8,
    private_key,
    spki,
)
from hsm_keys import in_software
from key_import import entropy, wrap
from strongroom.crypto.domain_keys import FullDepthKey
from strongroom.crypto.material import WrappedMaterial, WrappingKey
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.token_errors import TokenFaultError, TokenUnavailableError
from strongroom.errors import IncorrectKeyMaterialException, InvalidCiphertextException, UnsupportedOperationException
from strongroom.keys.algorithms import MessageType, SigningAlgorithm
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WrappingKeySpec

RSA = (KeySpec.RSA_2048, KeySpec.RSA_3072)


@pytest.fixture(scope="module", params=["softhsm", "nss"])
def it(request: pytest.FixtureRequest) -> Iterator[Importer]:
    with full_depth(request.param) as depth:
        yield Importer(depth)


@pytest.fixture
def at(it: Importer) -> Iterator[Importer]:
    """Return the importer; afterwards, no connection was lost, and the token keeps nothing of what was refused."""
    generation, before = it.depth.module_token.generation, it.depth.token.run(session_objects)
    yield it
    # A key of the test may be part of a reference cycle, and its object is destroyed once that was collected.
    gc.collect()
    assert it.depth.module_token.generation == generation
    assert it.depth.token.run(session_objects) == before


def session_objects(session: TokenSession) -> int:
    return len(session.calls.find_objects({c.CKA_TOKEN: False}))


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [
        (KeySpec.SYMMETRIC_DEFAULT, OAEP_SHA_1),
        (KeySpec.ECC_NIST_P256, OAEP_SHA_1),
        (KeySpec.ECC_NIST_P256, KEY_WRAP_SHA_1),
        (KeySpec.RSA_2048, KEY_WRAP_SHA_1),
    ],
)
def test_changed_truncated_and_foreign_bytes(at: Importer, spec: KeySpec, algorithm: Any) -> None:
    owner = importer(spec)
    pair, other = at.pair(algorithm, owner), at.pair(algorithm, importer(spec, key_id="another"))
    encrypted = wrap(pair.public_key, algorithm, material_of(spec))
    broken = [
        b"",
        b"\x00",
        encrypted[:-1],
        encrypted[:255],
        encrypted + b"\x00",
        encrypted + bytes(8),
        bytes(len(encrypted)),
        b"\xff" * len(encrypted),
        encrypted[::-1],
        wrap(other.public_key, algorithm, material_of(spec)),
        *(
            bytes((*encrypted[:place], encrypted[place] ^ 1, *encrypted[place + 1 :]))
            for place in range(0, len(encrypted), 61)
        ),
    ]
    if algorithm == KEY_WRAP_SHA_1:
        broken += [encrypted[:256], encrypted[:264], encrypted[:-8], encrypted[256:] + encrypted[:256]]
    for each in broken:
        with pytest.raises(InvalidCiphertextException):
            at.send(algorithm, owner, pair, each)
    assert at.send(algorithm, owner, pair, encrypted).token


def test_another_algorithm_than_the_one_that_was_asked_for(at: Importer) -> None:
    owner = importer(KeySpec.SYMMETRIC_DEFAULT)
    pair = at.pair(OAEP_SHA_1, owner)
    with pytest.raises(InvalidCiphertextException):
        at.send(OAEP_SHA_1, owner, pair, wrap(pair.public_key, OAEP_SHA_256, entropy(32)))


@pytest.mark.parametrize("length", [16, 24])
def test_the_key_in_between_is_a_256_bit_key(at: Importer, length: int) -> None:
    owner = importer(KeySpec.ECC_NIST_P256)
    pair = at.pair(KEY_WRAP_SHA_1, owner)
    encrypted = wrap(pair.public_key, KEY_WRAP_SHA_1, material_of(owner.spec), aes_key_length=length)
    with pytest.raises(InvalidCiphertextException):
        at.send(KEY_WRAP_SHA_1, owner, pair, encrypted)


@pytest.mark.parametrize("spec", SECRET_LENGTHS)
def test_secrets_of_a_wrong_length(at: Importer, spec: KeySpec) -> None:
    least = SECRET_LENGTHS[spec]
    lengths = (0, 1, 16, 31, 33, 64) if spec is KeySpec.SYMMETRIC_DEFAULT else (0, 1, least - 8, least - 1, 129, 136)
    for length in lengths:
        if length <= 214:  # what a block of RSA-2048 holds
            with pytest.raises(IncorrectKeyMaterialException):
                at.bring(OAEP_SHA_1, importer(spec), entropy(length))


@pytest.mark.parametrize("spec", [KeySpec.RSA_2048, KeySpec.RSA_3072, *ELLIPTIC[:3]])
def test_a_private_key_of_another_spec(at: Importer, spec: KeySpec) -> None:
    for other in {*RSA, *ELLIPTIC} - {spec}:
        with pytest.raises(IncorrectKeyMaterialException):
            at.bring(KEY_WRAP_SHA_1, importer(spec), material_of(other))


@pytest.mark.parametrize("spec", [KeySpec.RSA_2048, KeySpec.ECC_NIST_P256])
def test_what_is_no_private_key_in_pkcs8(at: Importer, spec: KeySpec) -> None:
    key = private_key(spec)
    encrypted = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    older = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    for wrong in (b"\x30", b"\x30\x82", bytes(32), entropy(100), pkcs8(key)[:-1], spki(key), encrypted, pem, older):
        with pytest.raises(IncorrectKeyMaterialException):
            at.bring(KEY_WRAP_SHA_1, importer(spec), wrong)


def test_an_rsa_key_that_does_not_hold_together(at: Importer) -> None:
    der, owner = pkcs8(private_key(KeySpec.RSA_2048)), importer(KeySpec.RSA_2048)
    numbers = cast("rsa.RSAPrivateKey", private_key(owner.spec)).private_numbers()

    def with_another(part: int) -> bytes:
        encoded = part.to_bytes((part.bit_length() + 7) // 8)
        changed = der.replace(encoded, (part ^ 4).to_bytes(len(encoded)))
        assert changed != der
        return changed

    with pytest.raises(IncorrectKeyMaterialException):
        at.bring(KEY_WRAP_SHA_1, owner, with_another(numbers.public_numbers.n))
    for part in (numbers.p, numbers.q, numbers.dmp1, numbers.iqmp, numbers.d):
        # In this process, it is refused. A token that can do without the part may take it: then it is the same key.
        try:
            made = at.bring(KEY_WRAP_SHA_1, owner, with_another(part))
        except IncorrectKeyMaterialException:
            continue
        key: Any = at.depth.backend.load(made.token, owner.binding(made.material_id))
        algorithm = SigningAlgorithm.RSASSA_PSS_SHA_256
        signature = key.sign(b"message", MessageType.RAW, algorithm)
        in_software(owner.spec, der).verify(b"message", MessageType.RAW, algorithm, signature)


def test_rsa_keys_of_another_size_or_with_a_small_exponent(at: Importer) -> None:
    for key in (rsa.generate_private_key(3, 2048), rsa.generate_private_key(65537, 3080)):
        with pytest.raises(IncorrectKeyMaterialException):
            at.bring(KEY_WRAP_SHA_1, importer(KeySpec.RSA_2048), pkcs8(key))


def test_an_elliptic_key_with_the_public_key_of_another_is_known_by_its_own(at: Importer) -> None:
    # In this process, it is refused. A token uses the private half, and shows its public key.
    spec = KeySpec.ECC_NIST_P256
    mine, other = pkcs8(private_key(spec)), spki(ec.generate_private_key(ec.SECP256R1()))
    try:
        made = at.bring(OAEP_SHA_1, importer(spec), mine[:-65] + other[-65:])
    except IncorrectKeyMaterialException:
        return
    loaded: Any = at.depth.backend.load(made.token, importer(spec).binding(made.material_id))
    assert loaded.public_key() == spki(private_key(spec))


def test_a_wrapping_key_serves_the_key_it_was_made_for(it: Importer) -> None:
    owner = importer(KeySpec.SYMMETRIC_DEFAULT)
    pair = it.pair(OAEP_SHA_1, owner)
    encrypted = wrap(pair.public_key, OAEP_SHA_1, entropy(32))
    others = [
        importer(owner.spec, account="444455556666"),
        importer(owner.spec, region="eu-west-1"),
        importer(owner.spec, key_id="another"),
        importer(KeySpec.HMAC_256),
    ]
    for other in others:
        with pytest.raises(UnsealError):
            it.send(OAEP_SHA_1, other, pair, encrypted)
    token = pair.token
    for damaged in (b"", token[:5], token[:-1], token + b"\0", token[:-1] + bytes((token[-1] ^ 1,)), token[::-1]):
        with pytest.raises(UnsealError):
            it.send(OAEP_SHA_1, owner, WrappingKey(damaged, pair.public_key), encrypted)
    # The token of a backing key is none of a wrapping key, nor the other way round.
    made = it.send(OAEP_SHA_1, owner, pair, encrypted)
    with pytest.raises(UnsealError):
        it.send(OAEP_SHA_1, owner, WrappingKey(made.token, pair.public_key), encrypted)
    with pytest.raises(UnsealError):
        it.depth.backend.load(pair.token, owner.binding(made.material_id))


def test_wrapping_keys_of_this_process_and_of_the_token_are_not_exchanged(it: Importer) -> None:
    owner = importer(KeySpec.SYMMETRIC_DEFAULT)
    here = it.depth.software.wrapping_key(WrappingKeySpec.RSA_2048, OAEP_SHA_1, owner)
    with pytest.raises(UnsealError):
        it.send(OAEP_SHA_1, owner, here, wrap(here.public_key, OAEP_SHA_1, entropy(32)))
    pair = it.pair(OAEP_SHA_1, owner)
    encrypted = wrap(pair.public_key, OAEP_SHA_1, entropy(32))
    with pytest.raises(UnsealError):
        it.depth.software.import_material(WrappedMaterial(pair.token, OAEP_SHA_1, encrypted), owner)


def test_a_wrapping_key_of_an_older_domain_key(it: Importer) -> None:
    owner = importer(KeySpec.SYMMETRIC_DEFAULT, region="eu-west-1", key_id="older")
    version = newest(it.depth, owner.region).version
    pair = it.pair(OAEP_SHA_1, owner)
    encrypted = wrap(pair.public_key, OAEP_SHA_1, entropy(32))
    first = it.send(OAEP_SHA_1, owner, pair, encrypted)
    it.depth.add(owner.region, version + 1)
    second = it.send(OAEP_SHA_1, owner, pair, encrypted)
    for made, expected in ((first, version), (second, version + 1)):
        assert made.token[:5] == b"\x13" + expected.to_bytes(4)
    assert first.material_id == second.material_id
    it.depth.drop(owner.region, version)
    with pytest.raises(UnsealError):
        it.send(OAEP_SHA_1, owner, pair, encrypted)


def test_a_key_encryption_key_that_is_gone_is_a_fault_of_the_token(it: Importer) -> None:
    owner = importer(KeySpec.SYMMETRIC_DEFAULT, region="eu-west-1", key_id="gone")
    pair, known = it.pair(OAEP_SHA_1, owner), newest(it.depth, owner.region)

    def destroy(session: TokenSession) -> None:
        for handle in session.calls.find_objects({c.CKA_ID: known.object_id}):
            session.calls.destroy_object(handle)

    it.depth.token.run(destroy)
    with pytest.raises((TokenFaultError, TokenUnavailableError)):
        it.send(OAEP_SHA_1, owner, pair, wrap(pair.public_key, OAEP_SHA_1, entropy(32)))
    it.depth.add(owner.region, known.version + 1)


def newest(depth: FullDepth, region: str) -> FullDepthKey:
    found = depth.domain_keys.newest_of_full_depth(region)
    assert found is not None
    return found


def test_a_token_that_is_away(it: Importer) -> None:
    owner = importer(KeySpec.SYMMETRIC_DEFAULT)
    pair = it.pair(OAEP_SHA_1, owner)
    encrypted = wrap(pair.public_key, OAEP_SHA_1, entropy(32))
    it.depth.token.answers = False
    try:
        with pytest.raises(TokenUnavailableError):
            it.send(OAEP_SHA_1, owner, pair, encrypted)
        with pytest.raises(TokenUnavailableError):
            it.depth.backend.wrapping_key(WrappingKeySpec.RSA_2048, OAEP_SHA_1, owner)
    finally:
        it.depth.token.answers = True
    assert it.send(OAEP_SHA_1, owner, pair, encrypted).token


def test_a_spec_that_no_token_keeps(it: Importer) -> None:
    owner = replace(importer(KeySpec.RSA_2048), spec=KeySpec.ECC_NIST_EDWARDS25519)
    with pytest.raises(UnsupportedOperationException):
        it.pair(KEY_WRAP_SHA_1, owner)
