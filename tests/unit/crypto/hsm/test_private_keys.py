"""RSA and elliptic-curve keys in two tokens that differ, against OpenSSL and against the same keys in this process."""

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from full_depth import FullDepth, full_depth
from hsm_keys import in_software, made, moved, new_material
from strongroom.crypto.hsm.elliptic import P256, EllipticKind
from strongroom.crypto.hsm.rsa import RsaKind
from strongroom.crypto.key_encodings import pkcs8, spki
from strongroom.crypto.pkcs11 import constants as c
from strongroom.crypto.pkcs11.calls import Calls
from strongroom.crypto.pkcs11.connection import TokenSession
from strongroom.errors import InvalidCiphertextException, KMSInvalidSignatureException, ValidationException
from strongroom.keys.algorithms import SIGNING, EncryptionAlgorithm, MessageType, SigningAlgorithm
from strongroom.keys.specs import KeySpec

RSA = (KeySpec.RSA_2048, KeySpec.RSA_3072, KeySpec.RSA_4096)
NIST = (KeySpec.ECC_NIST_P256, KeySpec.ECC_NIST_P384, KeySpec.ECC_NIST_P521)
SPECS = {"softhsm": (*RSA, *NIST, KeySpec.ECC_SECG_P256K1), "nss": (*RSA, *NIST)}
"""The specs of private keys that a token keeps."""
OAEP = {
    EncryptionAlgorithm.RSAES_OAEP_SHA_1: SHA1(),  # noqa: S303 - AWS's RSAES_OAEP_SHA_1
    EncryptionAlgorithm.RSAES_OAEP_SHA_256: SHA256(),
}
DECRYPTS = [
    ("softhsm", EncryptionAlgorithm.RSAES_OAEP_SHA_1),
    ("nss", EncryptionAlgorithm.RSAES_OAEP_SHA_1),
    ("nss", EncryptionAlgorithm.RSAES_OAEP_SHA_256),
]
HASHES: dict[str, HashAlgorithm] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}
MESSAGE = b"message"
RAW, DIGEST = MessageType.RAW, MessageType.DIGEST

Keys = Callable[[str, KeySpec], Any]


@pytest.fixture(scope="module")
def softhsm() -> Iterator[FullDepth]:
    with full_depth("softhsm") as depth:
        yield depth


@pytest.fixture(scope="module")
def nss() -> Iterator[FullDepth]:
    with full_depth("nss") as depth:
        yield depth


@pytest.fixture(scope="module")
def depth_of(request: pytest.FixtureRequest) -> Callable[[str], FullDepth]:
    return request.getfixturevalue


@pytest.fixture(scope="module")
def made_in(depth_of: Callable[[str], FullDepth]) -> Keys:
    """Return one shared key of a spec for each token, made in the token."""
    return cache(lambda module, spec: made(depth_of(module), spec))


@pytest.fixture(scope="module")
def moved_to(depth_of: Callable[[str], FullDepth]) -> Keys:
    """Return one shared key of a spec for each token, moved there from this process."""
    return cache(lambda module, spec: moved(depth_of(module), spec, new_material(spec)))


def openssl_verifies(public_key: bytes, digest: bytes, algorithm: SigningAlgorithm, signature: bytes) -> None:
    public, hashing = load_der_public_key(public_key), HASHES[algorithm[-3:]]
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, digest, ec.ECDSA(Prehashed(hashing)))
    else:
        assert isinstance(public, rsa.RSAPublicKey)
        pss = padding.PSS(padding.MGF1(hashing), hashing.digest_size)
        scheme = pss if "PSS" in algorithm else padding.PKCS1v15()
        public.verify(signature, digest, scheme, Prehashed(hashing))


def digest_of(message: bytes, algorithm: SigningAlgorithm) -> bytes:
    return hashlib.new(f"sha{algorithm[-3:]}", message).digest()


SIGNS = [(module, spec, algorithm) for module in SPECS for spec in SPECS[module] for algorithm in SIGNING[spec]]


@pytest.mark.parametrize(("module", "spec", "algorithm"), SIGNS)
def test_keys_that_a_token_has_made_sign_as_openssl_verifies(
    made_in: Keys, module: str, spec: KeySpec, algorithm: SigningAlgorithm
) -> None:
    key = made_in(module, spec)
    digest = digest_of(MESSAGE, algorithm)
    for message, kind in ((MESSAGE, RAW), (digest, DIGEST)):
        signature = key.sign(message, kind, algorithm)
        openssl_verifies(key.public_key(), digest, algorithm, signature)
        key.verify(message, kind, algorithm, signature)
        for wrong, about in ((signature[:-1], message), (signature, digest_of(b"other", algorithm)), (b"", message)):
            with pytest.raises(KMSInvalidSignatureException):
                key.verify(about, kind, algorithm, wrong)


@pytest.mark.parametrize(("module", "spec", "algorithm"), SIGNS)
def test_keys_that_were_moved_sign_and_verify_as_before(
    moved_to: Keys, module: str, spec: KeySpec, algorithm: SigningAlgorithm
) -> None:
    before, after = in_software(spec, new_material(spec)), moved_to(module, spec)
    assert after.public_key() == before.public_key()
    for signs, verifies in ((before, after), (after, before)):
        signature = signs.sign(MESSAGE, RAW, algorithm)
        verifies.verify(MESSAGE, RAW, algorithm, signature)
        with pytest.raises(KMSInvalidSignatureException):
            verifies.verify(b"other", RAW, algorithm, signature)
    if "PKCS1" in algorithm:
        assert before.sign(MESSAGE, RAW, algorithm) == after.sign(MESSAGE, RAW, algorithm)


@pytest.mark.parametrize("module", SPECS)
@pytest.mark.parametrize("exponent", [2**16 + 3, 2**255 - 19], ids=["short", "long"])
@pytest.mark.parametrize("swapped", [False, True], ids=["p, q", "q, p"])
def test_rsa_keys_of_others_move_too(
    depth_of: Callable[[str], FullDepth], module: str, exponent: int, *, swapped: bool
) -> None:
    """Imported keys may have other public exponents, and their primes in any order (FIPS 186-5, A.1.1)."""
    # A new modulus each time: NSS remembers how it blinds one, for the exponent that it met first.
    known = rsa.generate_private_key(65537, 2048).private_numbers()
    p, q = known.p, known.q
    if swapped:
        p, q = q, p
    d = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        *(p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)),
        rsa.RSAPublicNumbers(exponent, p * q),
    )
    material = pkcs8(numbers.private_key())
    before, after = in_software(KeySpec.RSA_2048, material), moved(depth_of(module), KeySpec.RSA_2048, material)
    assert after.public_key() == before.public_key()
    for algorithm in SIGNING[KeySpec.RSA_2048]:
        before.verify(MESSAGE, RAW, algorithm, after.sign(MESSAGE, RAW, algorithm))
    ciphertext = before.encrypt(b"plaintext", EncryptionAlgorithm.RSAES_OAEP_SHA_1)
    assert after.decrypt(ciphertext, EncryptionAlgorithm.RSAES_OAEP_SHA_1) == b"plaintext"


@pytest.mark.parametrize(("module", "spec"), [(module, spec) for module in SPECS for spec in SPECS[module][3:]])
def test_elliptic_keys_move_whatever_their_number_is(
    depth_of: Callable[[str], FullDepth], made_in: Keys, module: str, spec: KeySpec
) -> None:
    curve, algorithm = _curve(made_in(module, spec)), SIGNING[spec][0]
    for number in (1, 2, 255, 256, 2**128, 2**252 + 1):
        material = pkcs8(ec.derive_private_key(number, curve))
        before, after = in_software(spec, material), moved(depth_of(module), spec, material)
        assert after.public_key() == before.public_key()
        before.verify(MESSAGE, RAW, algorithm, after.sign(MESSAGE, RAW, algorithm))
        if spec in NIST:
            peer = made_in(module, spec).public_key()
            assert after.agree(peer) == before.agree(peer)


@pytest.mark.parametrize("module", SPECS)
def test_public_keys_are_those_of_the_spec(made_in: Keys, module: str) -> None:
    for spec in SPECS[module]:
        public = load_der_public_key(made_in(module, spec).public_key())
        ours = load_der_private_key(new_material(spec), None)
        if isinstance(public, rsa.RSAPublicKey):
            assert public.public_numbers().e == 65537
        else:
            assert isinstance(public, ec.EllipticCurvePublicKey)
            assert isinstance(ours, ec.EllipticCurvePrivateKey)
            assert public.curve.name == ours.curve.name
        assert public.key_size == ours.key_size  # type: ignore[union-attr]


@pytest.mark.parametrize(("module", "algorithm"), DECRYPTS)
@pytest.mark.parametrize("spec", RSA)
def test_rsa_decrypts_what_openssl_and_the_same_key_here_have_encrypted(
    made_in: Keys, moved_to: Keys, module: str, spec: KeySpec, algorithm: EncryptionAlgorithm
) -> None:
    key, before, after = made_in(module, spec), in_software(spec, new_material(spec)), moved_to(module, spec)
    public, hashing = load_der_public_key(key.public_key()), OAEP[algorithm]
    assert isinstance(public, rsa.RSAPublicKey)
    most = public.key_size // 8 - 2 * hashing.digest_size - 2
    for plaintext in (b"", b"plaintext", bytes(most)):
        encrypted = public.encrypt(plaintext, padding.OAEP(padding.MGF1(hashing), hashing, None))
        assert key.decrypt(encrypted, algorithm) == plaintext
        assert key.decrypt(key.encrypt(plaintext, algorithm), algorithm) == plaintext
        assert after.decrypt(before.encrypt(plaintext, algorithm), algorithm) == plaintext
        assert before.decrypt(after.encrypt(plaintext, algorithm), algorithm) == plaintext


@pytest.mark.parametrize(("module", "algorithm"), DECRYPTS)
def test_wrong_ciphertexts_are_the_callers_fault_and_no_loss_of_the_token(
    made_in: Keys, depth_of: Callable[[str], FullDepth], module: str, algorithm: EncryptionAlgorithm
) -> None:
    key = made_in(module, KeySpec.RSA_2048)
    generation = depth_of(module).token.generation
    ciphertext = key.encrypt(b"plaintext", algorithm)
    public = load_der_public_key(key.public_key())
    assert isinstance(public, rsa.RSAPublicKey)
    modulus = public.public_numbers().n.to_bytes(256)
    labelled = public.encrypt(b"plaintext", padding.OAEP(padding.MGF1(OAEP[algorithm]), OAEP[algorithm], b"label"))
    pkcs1 = public.encrypt(b"plaintext", padding.PKCS1v15())
    other = next(each for each in OAEP if each is not algorithm)
    for wrong in (
        *(b"", ciphertext[:-1], ciphertext + b"\0", ciphertext[:-1] + bytes((ciphertext[-1] ^ 1,))),
        *(bytes(256), bytes(255) + b"\1", b"\xff" * 256, modulus, labelled, pkcs1, key.encrypt(b"plaintext", other)),
    ):
        with pytest.raises(InvalidCiphertextException):
            key.decrypt(wrong, algorithm)
    assert key.decrypt(ciphertext, algorithm) == b"plaintext"
    assert depth_of(module).token.generation == generation


AGREES = [(module, spec) for module in SPECS for spec in NIST]


@pytest.mark.parametrize(("module", "spec"), AGREES)
def test_shared_secrets_are_those_of_openssl(made_in: Keys, moved_to: Keys, module: str, spec: KeySpec) -> None:
    key, before, after = made_in(module, spec), in_software(spec, new_material(spec)), moved_to(module, spec)
    public = load_der_public_key(key.public_key())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    for _ in range(20):
        peer = ec.generate_private_key(public.curve)
        assert key.agree(spki(peer.public_key())) == peer.exchange(ec.ECDH(), public)
        assert after.agree(spki(peer.public_key())) == before.agree(spki(peer.public_key()))


@pytest.mark.parametrize(("module", "spec"), AGREES)
def test_peers_that_are_not_on_the_curve_are_refused(made_in: Keys, module: str, spec: KeySpec) -> None:
    key = made_in(module, spec)
    peer = spki(ec.generate_private_key(_curve(key)).public_key())
    other = next(each for each in NIST if each is not spec)
    wrong = (
        *(b"", peer[:-1], peer[:-1] + bytes((peer[-1] ^ 1,)), peer[: -2 * 32] + bytes(64)),
        *(made_in(module, other).public_key(), made_in(module, KeySpec.RSA_2048).public_key()),
    )
    for each in wrong:
        with pytest.raises(ValidationException):
            key.agree(each)


def _curve(key: Any) -> ec.EllipticCurve:
    public = load_der_public_key(key.public_key())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public.curve


@pytest.mark.parametrize(("module", "spec"), AGREES)
def test_no_shared_secret_stays_in_the_token(
    made_in: Keys, depth_of: Callable[[str], FullDepth], module: str, spec: KeySpec
) -> None:
    def secrets(session: TokenSession) -> list[int]:
        return session.calls.find_objects({c.CKA_CLASS: c.CKO_SECRET_KEY, c.CKA_SENSITIVE: False})

    key = made_in(module, spec)
    for _ in range(3):
        key.agree(key.public_key())
    assert depth_of(module).token.run(secrets) == []


@pytest.mark.parametrize("module", SPECS)
def test_objects_are_sensitive_and_have_only_the_uses_of_their_kind(made_in: Keys, module: str) -> None:
    for spec in SPECS[module]:
        sensitive, extractable, uses = made_in(module, spec)._key.run(_attributes)
        assert (sensitive, extractable) == (c.TRUE, c.FALSE)
        if spec in RSA:
            # NSS allows an RSA key to unwrap, whatever it is told.
            assert uses - ({c.CKA_UNWRAP} if module == "nss" else set()) == {c.CKA_SIGN, c.CKA_DECRYPT}
        else:
            # There are no mechanisms by which such a key decrypts or unwraps, so templates do not name these uses.
            agrees = {c.CKA_DERIVE} if spec in NIST else set()
            assert uses - {c.CKA_DECRYPT, c.CKA_UNWRAP} == {c.CKA_SIGN} | agrees


def _attributes(calls: Calls, handle: int) -> tuple[bytes, bytes, set[int]]:
    uses = (c.CKA_SIGN, c.CKA_DECRYPT, c.CKA_UNWRAP, c.CKA_DERIVE)
    return (
        calls.attribute(handle, c.CKA_SENSITIVE),
        calls.attribute(handle, c.CKA_EXTRACTABLE),
        {each for each in uses if calls.attribute(handle, each) == c.TRUE},
    )


@pytest.mark.parametrize("module", SPECS)
@pytest.mark.parametrize("kind", [RsaKind(2048), EllipticKind(P256)], ids=["rsa", "p256"])
def test_another_key_is_not_the_same(
    depth_of: Callable[[str], FullDepth], module: str, kind: RsaKind | EllipticKind
) -> None:
    def work(session: TokenSession) -> list[bool]:
        first, second = (kind.generate(session.calls) for _ in range(2))
        return [
            kind.is_same(session.calls, one.handle, other.handle, public.public_key)
            for one, other, public in (
                *((first, first, first), (second, second, second)),
                *((first, second, first), (second, first, first), (first, first, second)),
            )
        ]

    assert depth_of(module).token.run(work) == [True, True, False, False, False]
