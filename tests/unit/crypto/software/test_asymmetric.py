"""Properties of the software key back end beyond the contract of all back ends: key formats, salts, hedging, errors."""

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from strongroom.crypto.key_encodings import spki
from strongroom.crypto.software.edwards import EdwardsBackingKey, generate_edwards
from strongroom.crypto.software.elliptic import EllipticBackingKey, generate_elliptic
from strongroom.crypto.software.hmac_key import hmac_key_length
from strongroom.crypto.software.ml_dsa import MlDsaBackingKey, generate_ml_dsa
from strongroom.crypto.software.ml_kem import MlKem512BackingKey, generate_ml_kem, generate_ml_kem_512
from strongroom.crypto.software.rsa import RsaBackingKey, generate_rsa
from strongroom.errors import ValidationException
from strongroom.keys.algorithms import MessageType, SigningAlgorithm
from strongroom.keys.specs import KeySpec

MESSAGE = b"message"
RAW, DIGEST = MessageType.RAW, MessageType.DIGEST


@pytest.fixture(scope="module")
def rsa_key() -> RsaBackingKey:
    return RsaBackingKey(generate_rsa(2048))


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        (SigningAlgorithm.RSASSA_PSS_SHA_256, SHA256()),
        (SigningAlgorithm.RSASSA_PSS_SHA_384, SHA384()),
        (SigningAlgorithm.RSASSA_PSS_SHA_512, SHA512()),
    ],
)
def test_the_salt_of_pss_is_as_long_as_the_hash(
    rsa_key: RsaBackingKey, algorithm: SigningAlgorithm, digest: HashAlgorithm
) -> None:
    public = load_der_public_key(rsa_key.public_key())
    assert isinstance(public, rsa.RSAPublicKey)
    signature = rsa_key.sign(MESSAGE, RAW, algorithm)
    public.verify(signature, MESSAGE, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    for salt in (0, 20, digest.digest_size - 1, digest.digest_size + 1):
        with pytest.raises(InvalidSignature):
            public.verify(signature, MESSAGE, padding.PSS(padding.MGF1(digest), salt), digest)


def test_rsa_keys_have_the_exponent_that_everyone_has() -> None:
    key = load_der_private_key(generate_rsa(3072), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert (key.key_size, key.public_key().public_numbers().e) == (3072, 65537)


def test_a_digest_is_not_hashed_again(rsa_key: RsaBackingKey) -> None:
    digest = hashlib.sha256(MESSAGE).digest()
    pkcs1 = SigningAlgorithm.RSASSA_PKCS1_V1_5_SHA_256
    assert rsa_key.sign(digest, DIGEST, pkcs1) == rsa_key.sign(MESSAGE, RAW, pkcs1)
    elliptic = EllipticBackingKey(generate_elliptic(ec.SECP256R1()))
    for key, algorithm in (
        (rsa_key, SigningAlgorithm.RSASSA_PSS_SHA_256),
        (elliptic, SigningAlgorithm.ECDSA_SHA_256),
    ):
        key.verify(MESSAGE, RAW, algorithm, key.sign(digest, DIGEST, algorithm))
        key.verify(digest, DIGEST, algorithm, key.sign(MESSAGE, RAW, algorithm))


def test_ecdsa_signatures_are_der_and_never_the_same() -> None:
    key = EllipticBackingKey(generate_elliptic(ec.SECP521R1()))
    signatures = {key.sign(MESSAGE, RAW, SigningAlgorithm.ECDSA_SHA_512) for _ in range(20)}
    assert len(signatures) == len({decode_dss_signature(each)[0] for each in signatures}) == 20


def test_ed25519_signs_the_same_message_alike_and_not_as_ed25519ph_does() -> None:
    key = EdwardsBackingKey(generate_edwards())
    digest = hashlib.sha512(MESSAGE).digest()
    pure, prehashed = SigningAlgorithm.ED25519_SHA_512, SigningAlgorithm.ED25519_PH_SHA_512
    assert key.sign(digest, RAW, pure) == key.sign(digest, RAW, pure)
    assert key.sign(digest, DIGEST, prehashed) == key.sign(digest, DIGEST, prehashed)
    assert key.sign(digest, DIGEST, prehashed) != key.sign(digest, RAW, pure)


def test_ml_dsa_is_hedged_and_binds_mu_to_its_key() -> None:
    key = MlDsaBackingKey(generate_ml_dsa(MLDSA44PrivateKey))
    algorithm = SigningAlgorithm.ML_DSA_SHAKE_256
    assert key.sign(MESSAGE, RAW, algorithm) != key.sign(MESSAGE, RAW, algorithm)
    # FIPS 204, algorithms 2 and 7: mu = H(H(pk) || 0 || |ctx| || ctx || M).
    bound_to = hashlib.shake_256(key.public_key()[-1312:]).digest(64)
    mu = hashlib.shake_256(bound_to + b"\x00\x00" + MESSAGE).digest(64)
    key.verify(mu, MessageType.EXTERNAL_MU, algorithm, key.sign(MESSAGE, RAW, algorithm))
    key.verify(MESSAGE, RAW, algorithm, key.sign(mu, MessageType.EXTERNAL_MU, algorithm))


def test_post_quantum_keys_are_kept_as_seeds_where_the_library_can() -> None:
    """RFC 9881, 6 and RFC 9935, 6: [0] around a seed of 32 or 64 bytes."""
    assert generate_ml_dsa(MLDSA44PrivateKey)[-36:-32].hex() == "04228020"
    assert generate_ml_kem(MLKEM768PrivateKey)[-68:-64].hex() == "04428040"
    assert len(generate_ml_kem_512()) == 28 + 1632


def test_what_is_no_ml_kem_512_key() -> None:
    with pytest.raises(TypeError):
        MlKem512BackingKey(generate_ml_kem(MLKEM768PrivateKey))


@pytest.mark.parametrize(
    "peer",
    [
        spki(ec.generate_private_key(ec.SECP384R1()).public_key()),
        spki(ec.generate_private_key(ec.SECP256K1()).public_key()),
        spki(ec.generate_private_key(ec.BrainpoolP256R1()).public_key()),
        spki(x25519.X25519PrivateKey.generate().public_key()),
        spki(MLKEM768PrivateKey.generate().public_key()),
        generate_elliptic(ec.SECP256R1()),
        b"",
        b"\x30\x00",
    ],
    ids=["P-384", "secp256k1", "brainpool", "X25519", "ML-KEM", "private key", "nothing", "empty sequence"],
)
def test_what_is_no_peer(peer: bytes) -> None:
    with pytest.raises(ValidationException) as caught:
        EllipticBackingKey(generate_elliptic(ec.SECP256R1())).agree(peer)
    assert caught.value.message is None


def test_hmac_keys_are_as_long_as_their_tags() -> None:
    lengths = {spec: hmac_key_length(spec) for spec in KeySpec if spec.startswith("HMAC")}
    assert lengths == {"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}
