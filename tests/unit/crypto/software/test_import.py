"""Wrapped key material: every wrapping algorithm, every kind of material, and invalid input."""

import hashlib
import hmac
import os
from functools import cache
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from msgspec.structs import replace

from key_import import wrap
from strongroom.crypto.backing_keys import AsymmetricKey, MacKey, SymmetricKey
from strongroom.crypto.material import ImportedMaterial, MaterialOwner, WrappedMaterial
from strongroom.crypto.material_ids import names_of
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.software.aes import NONCES_LENGTH, AesBackingKey
from strongroom.crypto.software.imported_material import accepted_material, material_id_of
from strongroom.crypto.software.key_backend import SoftwareKeyBackend
from strongroom.crypto.software.rsa import generate_rsa
from strongroom.crypto.software.unwrapping import unwrap_material
from strongroom.entropy import Batch
from strongroom.errors import IncorrectKeyMaterialException, InvalidCiphertextException
from strongroom.keys.specs import KeySpec
from strongroom.keys.wrapping import WRAPPING_KEY_BITS, WrappingAlgorithm, WrappingKeySpec

OAEP = [WrappingAlgorithm.RSAES_OAEP_SHA_1, WrappingAlgorithm.RSAES_OAEP_SHA_256]
KEY_WRAP = [WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1, WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256]
RSA = [KeySpec.RSA_2048, KeySpec.RSA_3072, KeySpec.RSA_4096]
CURVES: dict[KeySpec, ec.EllipticCurve] = {
    KeySpec.ECC_NIST_P256: ec.SECP256R1(),
    KeySpec.ECC_NIST_P384: ec.SECP384R1(),
    KeySpec.ECC_NIST_P521: ec.SECP521R1(),
    KeySpec.ECC_SECG_P256K1: ec.SECP256K1(),
}
EDWARDS = KeySpec.ECC_NIST_EDWARDS25519
HMAC_LENGTHS = {KeySpec.HMAC_224: 28, KeySpec.HMAC_256: 32, KeySpec.HMAC_384: 48, KeySpec.HMAC_512: 64}
OWNER = MaterialOwner("111122223333", "us-east-1", "1234abcd-12ab-34cd-56ef-1234567890ab", KeySpec.SYMMETRIC_DEFAULT)
NAME = f"{OWNER.account}/{OWNER.key_id}".encode()
entropy = os.urandom  # noqa: TID251 - the real thing


@cache
def private_key(spec: KeySpec) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey:
    if spec in RSA:
        return rsa.generate_private_key(65537, int(spec[-4:]))
    return Ed25519PrivateKey.generate() if spec == EDWARDS else ec.generate_private_key(CURVES[spec])


def pkcs8(spec: KeySpec) -> bytes:
    return private_key(spec).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@cache
def wrapping_key(bits: int) -> tuple[bytes, bytes]:
    private = generate_rsa(bits)
    public = cast("rsa.RSAPrivateKey", load_der_private_key(private, None)).public_key()
    return private, public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def bring(
    key_backend: SoftwareKeyBackend, spec: KeySpec, material: bytes, algorithm: WrappingAlgorithm
) -> tuple[MaterialOwner, ImportedMaterial]:
    owner = replace(OWNER, spec=spec)
    made = key_backend.wrapping_key(WrappingKeySpec.RSA_2048, algorithm, owner)
    encrypted = wrap(made.public_key, algorithm, material)
    return owner, key_backend.import_material(WrappedMaterial(made.token, algorithm, encrypted), owner)


@pytest.mark.parametrize("wrapping_spec", WRAPPING_KEY_BITS)
@pytest.mark.parametrize("algorithm", OAEP + KEY_WRAP)
def test_every_algorithm_under_every_wrapping_key(algorithm: WrappingAlgorithm, wrapping_spec: WrappingKeySpec) -> None:
    private, public = wrapping_key(WRAPPING_KEY_BITS[wrapping_spec])
    for length in (1, 32, 128, 2400) if algorithm in KEY_WRAP else (1, 32, 128):
        material = entropy(length)
        encrypted = wrap(public, algorithm, material)
        assert unwrap_material(private, algorithm, encrypted) == material
        for other in {*OAEP, *KEY_WRAP} - {algorithm}:
            with pytest.raises(InvalidCiphertextException):
                unwrap_material(private, other, encrypted)


@pytest.mark.parametrize("algorithm", OAEP + KEY_WRAP)
def test_changed_truncated_and_foreign_bytes_do_not_unwrap(algorithm: WrappingAlgorithm) -> None:
    private, public = wrapping_key(2048)
    stranger, _ = wrapping_key(3072)
    encrypted = wrap(public, algorithm, entropy(40))
    broken = [
        b"",
        b"\x00",
        encrypted[:-1],
        encrypted[:256][:-1],
        encrypted + b"\x00",
        encrypted + bytes(8),
        bytes(len(encrypted)),
        b"\xff" * len(encrypted),
        encrypted[256:] + encrypted[:256] if algorithm in KEY_WRAP else encrypted[::-1],
        *(bytes((*encrypted[:at], encrypted[at] ^ 1, *encrypted[at + 1 :])) for at in range(0, len(encrypted), 7)),
    ]
    if algorithm in KEY_WRAP:
        broken += [encrypted[:256], encrypted[:264], encrypted[:-8]]
    for each in broken:
        with pytest.raises(InvalidCiphertextException):
            unwrap_material(private, algorithm, each)
    with pytest.raises(InvalidCiphertextException):
        unwrap_material(stranger, algorithm, encrypted)


@pytest.mark.parametrize("length", [16, 24])
def test_the_key_in_between_is_a_256_bit_key(length: int) -> None:
    private, public = wrapping_key(2048)
    encrypted = wrap(public, KEY_WRAP[1], entropy(40), aes_key_length=length)
    with pytest.raises(InvalidCiphertextException):
        unwrap_material(private, KEY_WRAP[1], encrypted)


@pytest.mark.parametrize("algorithm", OAEP)
def test_an_imported_symmetric_key_is_the_one_that_was_sent(
    key_backend: SoftwareKeyBackend, algorithm: WrappingAlgorithm
) -> None:
    material = entropy(32)
    owner, made = bring(key_backend, KeySpec.SYMMETRIC_DEFAULT, material, algorithm)
    loaded = cast("SymmetricKey", key_backend.load(made.token, owner.binding(made.material_id)))
    assert (
        AesBackingKey(material, Batch(entropy, NONCES_LENGTH)).decrypt(loaded.encrypt(b"text", b"aad"), b"aad")
        == b"text"
    )
    assert material not in made.token


@pytest.mark.parametrize("algorithm", OAEP)
@pytest.mark.parametrize("spec", HMAC_LENGTHS)
def test_an_imported_hmac_key_is_the_one_that_was_sent(
    key_backend: SoftwareKeyBackend, spec: KeySpec, algorithm: WrappingAlgorithm
) -> None:
    for length in (HMAC_LENGTHS[spec], 128):
        material = entropy(length)
        owner, made = bring(key_backend, spec, material, algorithm)
        loaded = cast("MacKey", key_backend.load(made.token, owner.binding(made.material_id)))
        assert loaded.mac(b"message") == hmac.digest(material, b"message", f"sha{spec[-3:]}")


# P-521 does not fit into one block of RSA-2048.
PRIVATE_KEYS = [
    *((spec, algorithm) for spec in [*RSA, *CURVES, EDWARDS] for algorithm in KEY_WRAP),
    *((spec, algorithm) for spec in [*CURVES, EDWARDS] for algorithm in OAEP if spec != KeySpec.ECC_NIST_P521),
]


@pytest.mark.parametrize(("spec", "algorithm"), PRIVATE_KEYS)
def test_an_imported_private_key_has_the_public_key_of_the_one_that_was_sent(
    key_backend: SoftwareKeyBackend, spec: KeySpec, algorithm: WrappingAlgorithm
) -> None:
    owner, made = bring(key_backend, spec, pkcs8(spec), algorithm)
    loaded = cast("AsymmetricKey", key_backend.load(made.token, owner.binding(made.material_id)))
    public = private_key(spec).public_key()
    assert loaded.public_key() == public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_an_id_is_the_same_for_the_same_material_of_the_same_key_and_for_nothing_else(
    key_backend: SoftwareKeyBackend,
) -> None:
    material = entropy(32)
    _, first = bring(key_backend, KeySpec.SYMMETRIC_DEFAULT, material, OAEP[0])
    _, second = bring(key_backend, KeySpec.SYMMETRIC_DEFAULT, material, OAEP[1])
    assert first.material_id == second.material_id
    assert first.token != second.token
    elsewhere = replace(OWNER, region="eu-west-1")
    made = key_backend.wrapping_key(WrappingKeySpec.RSA_2048, OAEP[0], elsewhere)
    wrapped = WrappedMaterial(made.token, OAEP[0], wrap(made.public_key, OAEP[0], material))
    assert key_backend.import_material(wrapped, elsewhere).material_id == first.material_id
    assert material_id_of(material, OWNER.spec, ["another key"]) != first.material_id
    in_another_account = replace(OWNER, account="999988887777")
    assert material_id_of(material, OWNER.spec, names_of(in_another_account)) != first.material_id
    # The format, written down: a length in two bytes before each text, then the material.
    assert len(NAME) == 0x31
    text = b"\x00\x15imported-key-material\x00\x31" + NAME
    assert first.material_id == hashlib.sha256(text + material).hexdigest()


@pytest.mark.parametrize("spec", [KeySpec.RSA_2048, KeySpec.ECC_NIST_P256, EDWARDS])
def test_the_id_of_a_private_key_is_that_of_its_public_key(spec: KeySpec) -> None:
    material = accepted_material(pkcs8(spec), spec)
    public = private_key(spec).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = b"\x00\x14imported-private-key\x00\x31" + NAME
    assert material_id_of(material, spec, names_of(OWNER)) == hashlib.sha256(text + public).hexdigest()


def test_material_keeps_the_id_that_it_got_by_another_formula() -> None:
    # Earlier releases took the bytes of private keys, and some hardware tokens can only make an HMAC with a secret key.
    spec, prefix = KeySpec.ECC_NIST_P256, b"\x00\x15imported-key-material\x00\x24" + OWNER.key_id.encode()
    # Earlier releases had no account in the ids.
    older = hashlib.sha256(prefix + pkcs8(spec)).hexdigest()
    assert material_id_of(pkcs8(spec), spec, names_of(OWNER), {"other", older}) == older
    secret, message = entropy(32), b"\x00\x19imported-key-material-mac\x00\x24" + OWNER.key_id.encode()
    of_token = hashlib.sha256(hmac.digest(secret, message, "sha256")).hexdigest()
    for each in (KeySpec.SYMMETRIC_DEFAULT, KeySpec.HMAC_256):
        usual = material_id_of(secret, each, names_of(OWNER))
        older = hashlib.sha256(prefix + secret).hexdigest()
        assert material_id_of(secret, each, names_of(OWNER), {"other", older}) == older
        assert material_id_of(secret, each, names_of(OWNER), {of_token}) == of_token
        assert material_id_of(secret, each, names_of(OWNER), {of_token, usual}) == usual
        assert material_id_of(secret, each, names_of(OWNER), {"other"}) == usual


def test_a_wrapping_key_serves_the_key_it_was_made_for(key_backend: SoftwareKeyBackend) -> None:
    made = key_backend.wrapping_key(WrappingKeySpec.RSA_2048, OAEP[0], OWNER)
    wrapped = WrappedMaterial(made.token, OAEP[0], wrap(made.public_key, OAEP[0], entropy(32)))
    for field, value in (
        ("account", "444455556666"),
        ("region", "eu-west-1"),
        ("key_id", "other"),
        ("spec", KeySpec.HMAC_256),
    ):
        with pytest.raises(UnsealError):
            key_backend.import_material(wrapped, replace(OWNER, **{field: value}))


def test_a_private_key_is_the_same_material_however_it_was_encoded() -> None:
    key = cast("ec.EllipticCurvePrivateKey", private_key(KeySpec.ECC_NIST_P256))
    # The same key without its public half, which PKCS #8 may leave out (RFC 5915, 3).
    scalar = key.private_numbers().private_value.to_bytes(32)
    algorithm = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    inner = b"\x30\x25\x02\x01\x01\x04\x20" + scalar
    body = b"\x02\x01\x00" + algorithm + b"\x04" + bytes((len(inner),)) + inner
    short = b"\x30" + bytes((len(body),)) + body
    assert short != pkcs8(KeySpec.ECC_NIST_P256)
    assert accepted_material(short, KeySpec.ECC_NIST_P256) == accepted_material(
        pkcs8(KeySpec.ECC_NIST_P256), KeySpec.ECC_NIST_P256
    )


def wrong_secrets() -> list[tuple[KeySpec, int]]:
    lengths = [(KeySpec.SYMMETRIC_DEFAULT, length) for length in (0, 16, 24, 31, 33, 64)]
    return lengths + [(spec, length) for spec, least in HMAC_LENGTHS.items() for length in (0, least - 1, 129)]


@pytest.mark.parametrize(("spec", "length"), wrong_secrets())
def test_secrets_of_a_wrong_length(spec: KeySpec, length: int) -> None:
    with pytest.raises(IncorrectKeyMaterialException):
        accepted_material(bytes(length), spec)


@pytest.mark.parametrize("spec", [*RSA, *CURVES, EDWARDS])
def test_a_private_key_of_another_spec(spec: KeySpec) -> None:
    for other in {*RSA, *CURVES, EDWARDS} - {spec}:
        with pytest.raises(IncorrectKeyMaterialException):
            accepted_material(pkcs8(other), spec)


@pytest.mark.parametrize("spec", [KeySpec.RSA_2048, KeySpec.ECC_NIST_P256, EDWARDS])
def test_what_is_no_private_key_in_pkcs8(spec: KeySpec) -> None:
    key, der = private_key(spec), pkcs8(spec)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    encrypted = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    older = (
        [] if spec == EDWARDS else [key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())]
    )
    for wrong in (b"", b"\x30", b"\x30\x82", bytes(32), der[:-1], der + b"\x00", public, encrypted, pem, *older):
        with pytest.raises(IncorrectKeyMaterialException):
            accepted_material(wrong, spec)


def test_an_rsa_key_that_does_not_hold_together() -> None:
    der = bytearray(pkcs8(KeySpec.RSA_2048))
    numbers = cast("rsa.RSAPrivateKey", private_key(KeySpec.RSA_2048)).private_numbers()
    for part in (numbers.p, numbers.d, numbers.dmp1, numbers.iqmp, numbers.public_numbers.n):
        encoded = part.to_bytes((part.bit_length() + 7) // 8)
        changed = bytes(der).replace(encoded, (part ^ 4).to_bytes(len(encoded)))
        assert changed != bytes(der)
        with pytest.raises(IncorrectKeyMaterialException):
            accepted_material(changed, KeySpec.RSA_2048)


def test_an_rsa_key_with_a_small_public_exponent() -> None:
    key = rsa.generate_private_key(3, 2048)
    with pytest.raises(IncorrectKeyMaterialException):
        accepted_material(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), KeySpec.RSA_2048)


def test_an_elliptic_key_with_the_public_key_of_another() -> None:
    mine, other = pkcs8(KeySpec.ECC_NIST_P256), ec.generate_private_key(ec.SECP256R1())
    point = other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    with pytest.raises(IncorrectKeyMaterialException):
        accepted_material(mine[:-65] + point, KeySpec.ECC_NIST_P256)
