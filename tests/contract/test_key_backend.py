"""The contract of every key back end, for every key spec. The same tests run with each of them."""

import re
from collections.abc import Callable
from functools import cache
from typing import cast

import pytest
from Crypto.PublicKey import MLKEM
from cryptography.hazmat.primitives.serialization import load_der_private_key
from msgspec.structs import replace

from key_import import wrap
from local_deployment import entropy
from strongroom.crypto.backing_keys import (
    AgreementKey,
    AsymmetricKey,
    BackingKey,
    DecryptionKey,
    EncapsulationKey,
    MacKey,
    SigningKey,
    SymmetricKey,
)
from strongroom.crypto.hsm.key_backend import HsmKeyBackend
from strongroom.crypto.key_backend import KeyBackend
from strongroom.crypto.key_encodings import spki
from strongroom.crypto.material import MaterialBinding, MaterialOwner, WrappedMaterial
from strongroom.crypto.seal import UnsealError
from strongroom.crypto.service_secrets import ServiceSecrets
from strongroom.crypto.software.private_keys import SoftwareDataKeyPairs
from strongroom.crypto.software.random_source import SoftwareRandomSource
from strongroom.errors import (
    IncorrectKeyMaterialException,
    InvalidCiphertextException,
    KMSInvalidMacException,
    KMSInvalidSignatureException,
    KMSInvalidStateException,
    UnsupportedOperationException,
    ValidationException,
)
from strongroom.keys.algorithms import (
    ENCAPSULATION,
    ENCRYPTION,
    MAC,
    SIGNING,
    EncryptionAlgorithm,
    MessageType,
    SigningAlgorithm,
)
from strongroom.keys.specs import USAGES, KeySpec, KeyUsage
from strongroom.keys.wrapping import WrappingAlgorithm, WrappingKeySpec
from xks_scene import NamedExternally

BACK_ENDS = (
    "key_backend",
    "token_backend",
    "root_depth_backend",
    "softhsm_full_depth",
    "nss_full_depth",
    "external_backend",
)
"""The names of the fixtures that create a key back end."""

NOT_AUTHENTIC = (InvalidCiphertextException, KMSInvalidStateException)
"""How a ciphertext is refused: the second, where a proxy has refused it (KMS Developer Guide, "Troubleshooting")."""

Make = Callable[..., BackingKey]
"""Makes a key of a spec, and perhaps for a usage."""

SPECS = [spec for spec in KeySpec if spec is not KeySpec.SM2]
ASYMMETRIC = [spec for spec in SPECS if spec not in MAC and spec is not KeySpec.SYMMETRIC_DEFAULT]

RSA = "300d06092a864886f70d0101010500"
EC = "06072a8648ce3d0201"
PUBLIC_KEYS = {
    KeySpec.RSA_2048: (RSA, 294),
    KeySpec.RSA_3072: (RSA, 422),
    KeySpec.RSA_4096: (RSA, 550),
    KeySpec.ECC_NIST_P256: (f"3013{EC}06082a8648ce3d030107", 91),
    KeySpec.ECC_NIST_P384: (f"3010{EC}06052b81040022", 120),
    KeySpec.ECC_NIST_P521: (f"3010{EC}06052b81040023", 158),
    KeySpec.ECC_SECG_P256K1: (f"3010{EC}06052b8104000a", 88),
    KeySpec.ECC_NIST_EDWARDS25519: ("300506032b6570", 44),
    KeySpec.ML_DSA_44: ("300b0609608648016503040311", 1312 + 22),
    KeySpec.ML_DSA_65: ("300b0609608648016503040312", 1952 + 22),
    KeySpec.ML_DSA_87: ("300b0609608648016503040313", 2592 + 22),
    KeySpec.ML_KEM_512: ("300b0609608648016503040401", 800 + 22),
    KeySpec.ML_KEM_768: ("300b0609608648016503040402", 1184 + 22),
    KeySpec.ML_KEM_1024: ("300b0609608648016503040403", 1568 + 22),
}
"""AlgorithmIdentifier (RFC 3279, 5480, 8410, 9881, 9935) and length of a SubjectPublicKeyInfo."""

SIGNATURES = {
    KeySpec.ECC_NIST_EDWARDS25519: 64,
    KeySpec.ML_DSA_44: 2420,
    KeySpec.ML_DSA_65: 3309,
    KeySpec.ML_DSA_87: 4627,
}
TAGS = {KeySpec.HMAC_224: 28, KeySpec.HMAC_256: 32, KeySpec.HMAC_384: 48, KeySpec.HMAC_512: 64}
SHARED_SECRETS = {KeySpec.ECC_NIST_P256: 32, KeySpec.ECC_NIST_P384: 48, KeySpec.ECC_NIST_P521: 66}
ENCAPSULATED = {KeySpec.ML_KEM_512: 768, KeySpec.ML_KEM_768: 1088, KeySpec.ML_KEM_1024: 1568}

MESSAGES = {
    MessageType.RAW: b"message",
    MessageType.DIGEST: bytes(range(64)),
    MessageType.EXTERNAL_MU: bytes(range(64)),
}


def owner(spec: KeySpec) -> MaterialBinding:
    return MaterialBinding("111122223333", "us-east-1", "1234abcd-12ab-34cd-56ef-1234567890ab", "ab" * 32, spec)


def require_spec(backend: KeyBackend, spec: KeySpec, usage: KeyUsage | None = None) -> None:
    """Skip a test if a hardware token does not keep keys of a spec; ``test_capabilities`` has the list."""
    try:
        backend.require_spec(spec, usage or USAGES[spec][-1], "us-east-1")
    except UnsupportedOperationException as error:
        assert isinstance(backend, HsmKeyBackend | NamedExternally)
        pytest.skip(str(error))


def require_material(backend: KeyBackend) -> None:
    """Skip a test of material that is imported, or copied to another Region: there is none in a custom key store."""
    if isinstance(backend, NamedExternally):
        pytest.skip("keys in external key stores are neither imported nor multi-Region keys")


@pytest.fixture(scope="module", params=BACK_ENDS)
def any_backend(request: pytest.FixtureRequest) -> KeyBackend:
    return cast("KeyBackend", request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def make(any_backend: KeyBackend) -> Make:
    def made(spec: KeySpec, usage: KeyUsage | None = None) -> BackingKey:
        require_spec(any_backend, spec, usage)
        return any_backend.load(any_backend.generate(owner(spec)), owner(spec))

    return made


@pytest.fixture(scope="module")
def key_of(make: Make) -> Make:
    """Return one shared key for each spec, since large RSA keys take a second to make."""
    return cache(make)


@pytest.mark.parametrize("spec", SPECS)
def test_a_token_loads_the_same_key_with_its_binding_and_fails_with_any_other(
    any_backend: KeyBackend, spec: KeySpec
) -> None:
    require_spec(any_backend, spec)
    token, other_token = any_backend.generate(owner(spec)), any_backend.generate(owner(spec))
    first, again, other = (any_backend.load(each, owner(spec)) for each in (token, token, other_token))
    assert is_same(first, again, spec)
    assert not is_same(first, other, spec)
    elsewhere = [
        replace(owner(spec), account="444455556666"),
        replace(owner(spec), region="eu-west-1"),
        replace(owner(spec), key_id="4321abcd-12ab-34cd-56ef-1234567890ab"),
        replace(owner(spec), material_id="cd" * 32),
        *(replace(owner(spec), spec=wrong) for wrong in SPECS if wrong is not spec),
    ]
    for binding in elsewhere:
        with pytest.raises(UnsealError):
            any_backend.load(token, binding)
    for damaged in (b"", token[:-1], token + b"\x00", token[:-1] + bytes((token[-1] ^ 1,)), other_token[::-1]):
        with pytest.raises(UnsealError):
            any_backend.load(damaged, owner(spec))
    any_backend.destroy(token, owner(spec))
    any_backend.destroy(token, owner(spec))
    assert is_same(any_backend.load(other_token, owner(spec)), other, spec)
    any_backend.destroy(other_token, owner(spec))


def test_a_copy_for_another_region_is_the_same_key_there_and_only_there(any_backend: KeyBackend) -> None:
    require_material(any_backend)
    spec = KeySpec.SYMMETRIC_DEFAULT
    here = replace(owner(spec), key_id="mrk-" + "a" * 32)
    there = replace(here, region="eu-west-1")
    token = any_backend.generate(here)
    copy = any_backend.replicate(token, here, there.region)
    assert is_same(any_backend.load(token, here), any_backend.load(copy, there), spec)
    for wrong, bound_to in ((copy, here), (token, there)):
        with pytest.raises(UnsealError):
            any_backend.load(wrong, bound_to)
        with pytest.raises(UnsealError):
            any_backend.replicate(wrong, bound_to, "eu-west-1")
    any_backend.destroy(token, here)
    assert is_same(any_backend.load(copy, there), any_backend.load(copy, there), spec)
    any_backend.destroy(copy, there)


def test_the_material_of_a_single_region_key_stays_in_its_region(any_backend: KeyBackend) -> None:
    single = owner(KeySpec.SYMMETRIC_DEFAULT)
    token = any_backend.generate(single)
    with pytest.raises(UnsealError):
        any_backend.replicate(token, single, "eu-west-1")
    any_backend.destroy(token, single)


def test_imported_material_is_known_by_its_id_and_loads_under_its_binding(any_backend: KeyBackend) -> None:
    require_material(any_backend)
    bound = owner(KeySpec.SYMMETRIC_DEFAULT)
    importer = MaterialOwner(bound.account, bound.region, bound.key_id, bound.spec)
    # SoftHSM has OAEP with SHA-1 alone. Which token refuses what is for the tests of imports.
    algorithm = WrappingAlgorithm.RSAES_OAEP_SHA_1
    wrapping_key = any_backend.wrapping_key(WrappingKeySpec.RSA_2048, algorithm, importer)
    encrypted = wrap(wrapping_key.public_key, algorithm, bytes(range(32)))
    wrapped = WrappedMaterial(wrapping_key.token, algorithm, encrypted)
    first, again = (any_backend.import_material(wrapped, importer) for _ in range(2))
    assert first.material_id == again.material_id
    loaded = [any_backend.load(each.token, importer.binding(each.material_id)) for each in (first, again)]
    assert is_same(loaded[0], loaded[1], KeySpec.SYMMETRIC_DEFAULT)
    with pytest.raises(UnsealError):
        any_backend.load(first.token, bound)
    with pytest.raises(UnsealError):
        any_backend.import_material(wrapped, replace(importer, region="eu-west-1"))
    with pytest.raises(InvalidCiphertextException):
        any_backend.import_material(replace(wrapped, encrypted=bytes(256)), importer)
    short = replace(wrapped, encrypted=wrap(wrapping_key.public_key, algorithm, bytes(31)))
    with pytest.raises(IncorrectKeyMaterialException):
        any_backend.import_material(short, importer)
    for each in (first, again):
        any_backend.destroy(each.token, importer.binding(each.material_id))


def is_same(one: BackingKey, other: BackingKey, spec: KeySpec) -> bool:
    """Return whether two backing keys have the same key material, judged by their results."""
    if spec in MAC:
        return cast("MacKey", one).mac(b"m") == cast("MacKey", other).mac(b"m")
    if spec in ASYMMETRIC:
        return cast("AsymmetricKey", one).public_key() == cast("AsymmetricKey", other).public_key()
    body = cast("SymmetricKey", one).encrypt(b"p", b"")
    try:
        return cast("SymmetricKey", other).decrypt(body, b"") == b"p"
    except NOT_AUTHENTIC:
        return False


@pytest.mark.parametrize("spec", SPECS)
def test_the_text_form_of_a_key_shows_no_key_material(key_of: Make, spec: KeySpec) -> None:
    key = key_of(spec)
    for shown in (repr(key), str(key), f"{key}"):
        assert re.fullmatch(r"<[\w.]+ object at 0x[0-9a-f]+>", shown)


def test_generating_an_unsupported_key_spec_raises(any_backend: KeyBackend) -> None:
    with pytest.raises((LookupError, UnsupportedOperationException)):
        any_backend.generate(owner(KeySpec.SM2))


@pytest.mark.parametrize("spec", ASYMMETRIC)
def test_a_public_key_is_a_subject_public_key_info_of_the_right_algorithm_and_size(key_of: Make, spec: KeySpec) -> None:
    algorithm, length = PUBLIC_KEYS[spec]
    public = cast("AsymmetricKey", key_of(spec)).public_key()
    assert len(public) == length
    header = {True: 2, False: 3 if length < 256 else 4}[length < 128]
    assert public[header:].hex().startswith(algorithm)


def test_symmetric_encryption(key_of: Make) -> None:
    key = cast("SymmetricKey", key_of(KeySpec.SYMMETRIC_DEFAULT))
    for size in (0, 1, 4096):
        body = key.encrypt(bytes(size), b"context")
        assert len(body) <= size + 100
        assert key.decrypt(body, b"context") == bytes(size)
        for altered, context in (
            (body[:-1], b"context"),
            (body, b"other"),
            (body[::-1], b"context"),
            (b"", b"context"),
        ):
            with pytest.raises(NOT_AUTHENTIC):
                key.decrypt(altered, context)


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [(spec, each) for spec in ENCRYPTION if spec in ASYMMETRIC for each in ENCRYPTION[spec]],
)
def test_asymmetric_encryption(key_of: Make, spec: KeySpec, algorithm: EncryptionAlgorithm) -> None:
    key = cast("DecryptionKey", key_of(spec, KeyUsage.ENCRYPT_DECRYPT))
    ciphertext = key.encrypt(b"plaintext", algorithm)
    assert len(ciphertext) == int(spec.removeprefix("RSA_")) // 8
    assert ciphertext != key.encrypt(b"plaintext", algorithm)
    assert key.decrypt(ciphertext, algorithm) == b"plaintext"
    for altered in (ciphertext[:-1], ciphertext + b"\x00", ciphertext[::-1], b"\xff" * len(ciphertext), b""):
        with pytest.raises(InvalidCiphertextException):
            key.decrypt(altered, algorithm)


@pytest.mark.parametrize(
    ("spec", "algorithm", "kind"),
    [
        (spec, algorithm, kind)
        for spec in SIGNING
        if spec in SPECS
        for algorithm in SIGNING[spec]
        for kind in MessageType
        if kind
        in {
            SigningAlgorithm.ED25519_SHA_512: [MessageType.RAW],
            SigningAlgorithm.ED25519_PH_SHA_512: [MessageType.DIGEST],
            SigningAlgorithm.ML_DSA_SHAKE_256: [MessageType.RAW, MessageType.EXTERNAL_MU],
        }.get(algorithm, [MessageType.RAW, MessageType.DIGEST])
    ],
)
def test_signing(key_of: Make, spec: KeySpec, algorithm: SigningAlgorithm, kind: MessageType) -> None:
    key = cast("SigningKey", key_of(spec, KeyUsage.SIGN_VERIFY))
    bits = int(algorithm[-3:])
    message = MESSAGES[kind][: bits // 8] if kind is MessageType.DIGEST else MESSAGES[kind]
    signature = key.sign(message, kind, algorithm)
    assert len(signature) == SIGNATURES.get(spec, len(signature))
    key.verify(message, kind, algorithm, signature)
    other = bytes((message[0] ^ 1,)) + message[1:]
    altered = bytes((*signature[:-1], signature[-1] ^ 1))
    for wrong, about in (
        (signature, other),
        (altered, message),
        (signature[:-1], message),
        (signature + b"\x00", message),
        (b"", message),
    ):
        with pytest.raises(KMSInvalidSignatureException) as caught:
            key.verify(about, kind, algorithm, wrong)
        assert caught.value.message is None


@pytest.mark.parametrize("spec", MAC)
def test_macs(key_of: Make, spec: KeySpec) -> None:
    key = cast("MacKey", key_of(spec))
    tag = key.mac(b"message")
    assert len(tag) == TAGS[spec]
    key.verify_mac(b"message", tag)
    for message, wrong in ((b"other", tag), (b"message", tag[:-1]), (b"message", tag + b"\x00"), (b"message", b"")):
        with pytest.raises(KMSInvalidMacException) as caught:
            key.verify_mac(message, wrong)
        assert caught.value.message is None


@pytest.mark.parametrize("spec", SHARED_SECRETS)
def test_key_agreement(make: Make, spec: KeySpec) -> None:
    one, other = (cast("AgreementKey", make(spec)) for _ in range(2))
    secret = one.agree(other.public_key())
    assert secret == other.agree(one.public_key())
    assert len(secret) == SHARED_SECRETS[spec]
    wrong = next(each for each in SHARED_SECRETS if each is not spec)
    for public in (cast("AgreementKey", make(wrong)).public_key(), other.public_key()[:-1], b"", b"\x00" * 91):
        with pytest.raises(ValidationException):
            one.agree(public)


@pytest.mark.parametrize("spec", ENCAPSULATION)
def test_encapsulation(make: Make, spec: KeySpec) -> None:
    key, other = (cast("EncapsulationKey", make(spec)) for _ in range(2))
    secret, ciphertext = key.encapsulate()
    assert (len(secret), len(ciphertext)) == (32, ENCAPSULATED[spec])
    assert (secret, ciphertext) != key.encapsulate()
    assert key.decapsulate(ciphertext) == secret
    for length in (0, len(ciphertext) - 1):
        with pytest.raises(InvalidCiphertextException):
            key.decapsulate(ciphertext[:length])
    with pytest.raises(InvalidCiphertextException):
        key.decapsulate(ciphertext + b"\x00")
    # Implicit rejection: a bad ciphertext always gives the same secret, and a different one with another key.
    altered = bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]
    assert key.decapsulate(altered) == key.decapsulate(altered)
    assert len({secret, key.decapsulate(altered), other.decapsulate(ciphertext), other.decapsulate(altered)}) == 4


@pytest.mark.parametrize("spec", [spec for spec in ASYMMETRIC if spec not in SIGNING or not spec.startswith("ML_DSA")])
def test_a_data_key_pair_is_a_private_key_and_its_public_key(spec: KeySpec) -> None:
    pairs = SoftwareDataKeyPairs()
    pair, other = pairs.generate(spec), pairs.generate(spec)
    assert repr(pair) == str(pair) == "KeyPair(...)"
    assert pair.public_key != other.public_key
    assert len(pair.public_key) == PUBLIC_KEYS[spec][1]
    if spec is KeySpec.ML_KEM_512:  # which OpenSSL's bindings do not load
        assert MLKEM.import_key(pair.private_key).public_key() == MLKEM.import_key(pair.public_key)
    else:
        assert spki(load_der_private_key(pair.private_key, None).public_key()) == pair.public_key


def test_random_bytes() -> None:
    source = SoftwareRandomSource(entropy)
    assert [len(source.random_bytes(length)) for length in (1, 32, 1024)] == [1, 32, 1024]
    assert source.random_bytes(32) != source.random_bytes(32)


def test_secrets_are_bound_to_their_owner(service_secrets: ServiceSecrets) -> None:
    wrapped = service_secrets.wrap(b"secret", b"AKIA1")
    assert b"secret" not in wrapped
    assert service_secrets.unwrap(wrapped, b"AKIA1") == b"secret"
    for other, owned_by in ((wrapped, b"AKIA2"), (wrapped[:-1], b"AKIA1"), (b"", b"AKIA1")):
        with pytest.raises(UnsealError):
            service_secrets.unwrap(other, owned_by)
